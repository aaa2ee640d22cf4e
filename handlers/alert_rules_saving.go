package handlers

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/alerts"
)

// alertRuleForesight says what saving a rule will do.
type alertRuleForesight interface {
	// RuleAlike gives another rule that watches the same for the same; 0: there is none.
	RuleAlike(ctx context.Context, r alert.Rule) (int64, error)
	ToldAtOnce(ctx context.Context, r alert.Rule) (alert.AtOnce, error)
}

// atOnceNames is how many of those that are told at once are named.
const atOnceNames = 3

// onSaving says what saving the rule, which is valid but for who is told, will do.
func (p *Panel) onSaving(c *fiber.Ctx, r alert.Rule) (alerts.OnSaving, error) {
	var m alerts.OnSaving
	alike, err := p.AlertRules.RuleAlike(c.UserContext(), r)
	if err != nil {
		return m, err
	}
	if alike != 0 {
		m.Alike = rulePath(alike)
	}
	if !r.Enabled || !r.Metric.MayTellAtOnce() {
		return m, nil
	}
	told, err := p.AlertRules.ToldAtOnce(c.UserContext(), r)
	if err != nil {
		return m, err
	}
	m.Known, m.Now, m.Before, m.More, m.Held = true, len(told.News), told.Old, told.More, r.Quiet != nil || r.DailyAt != nil
	say := at(c).Say
	for i, e := range told.News {
		if i == atOnceNames {
			break
		}
		name := e.Details.Tenant
		if e.Details.Key != "" {
			name += " · " + e.Details.Key
		}
		m.Names = append(m.Names, name+" ("+reachedWords(say, e)+")")
	}
	return m, nil
}

// twinPath is the page of the rule of which a refused one is the twin; empty: it was refused for something else.
func twinPath(cause error) string {
	var twin *alert.Twin
	if !errors.As(cause, &twin) {
		return ""
	}
	return rulePath(twin.ID)
}

// reachedWords is how much of what it counts an alert about a billing period has come to.
func reachedWords(say i18n.Printer, e alert.Event) string {
	switch e.Unit {
	case alert.Percent:
		return say.Percent(float64(e.Value) / alert.Whole)
	case alert.BRL:
		return say.Money(e.Value, string(money.BRL))
	}
	return say.Int(e.Value)
}
