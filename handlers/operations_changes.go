package handlers

import (
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/operations"
)

// breakerChanges are at most so many lines of the breakers' history, the newest first. While a provider stays dead its
// breaker tries, fails and opens every few seconds: that is one line, which says how often.
func breakerChanges(list []tenancy.BreakerChange, most int) []operations.Change {
	type circuit struct {
		provider       int64
		model, replica string
	}
	var lines []operations.Change
	trying := map[circuit]int{} // the line that this breaker's newest tries went into, from 1
	for _, one := range list {
		key := circuit{one.ProviderID, one.Model, one.Replica}
		again := inVain(one)
		if at := trying[key]; at > 0 && again {
			if one.To == operations.HalfOpen {
				lines[at-1].Tries++
			}
			continue
		}
		line := operations.Change{
			At: one.At, Provider: one.Provider, Model: one.Model, From: one.From, To: one.To, Reason: one.Reason,
			FailurePercent: one.FailurePercent, Calls: one.Calls, Replica: one.Replica,
		}
		lines = append(lines, line)
		if delete(trying, key); again {
			trying[key] = len(lines)
			if one.To == operations.HalfOpen {
				lines[len(lines)-1].Tries++
			}
		}
	}
	for i := range lines {
		if lines[i].Tries == 1 { // once is told as what it was
			lines[i].Tries = 0
		}
	}
	return lines[:min(len(lines), most)]
}

// inVain tells whether a change is part of going from open to half-open and back.
func inVain(c tenancy.BreakerChange) bool {
	return c.From == "open" && c.To == operations.HalfOpen || c.From == operations.HalfOpen && c.To == "open"
}

// forceBreaker carries out what a person decided: open, close, or auto for giving it back.
func (p *Panel) forceBreaker(c *fiber.Ctx) error {
	model, err := textParam(c, "model")
	if err != nil {
		return err
	}
	states := map[string]string{"open": operations.ForcedOpen, "close": operations.ForcedClosed, "auto": ""}
	act := c.Params("act")
	state, known := states[act]
	if !known {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	h, err := p.house(c)
	if err != nil {
		return err
	}
	if _, forced := h.forces[model]; model != "" && !h.routed(model) && !(forced && state == "") {
		return fault.New(fault.NotFound, "operations.error.no_route")
	}
	if err := p.Breakers.ForceBreaker(c.UserContext(), h.ID, model, state); err != nil {
		return err
	}
	subject := model
	if model == "" {
		subject = at(c).Say.T("operations.all_models")
	}
	return p.done(c, p.backTo(c, "/operations"), "operations.done."+act, "model", subject, "provider", h.Name)
}
