package usage

import (
	"time"

	"github.com/fila-ia/filaia/internal/money"
)

// Meter is one kind of token of a plan in one period. Used counts what was billed; Overrun is the part of it that no
// limit could stop; Leased is held for calls in flight.
type Meter struct {
	Used, Limit, Leased, Overrun int64
}

// Ratio is the used share of the limit, above 1 where more was used. Use without any limit counts as full.
func (m Meter) Ratio() float64 {
	if m.Limit == 0 {
		return min(float64(m.Used), 1)
	}
	return float64(m.Used) / float64(m.Limit)
}

// Remaining is what is left of the limit, never below zero.
func (m Meter) Remaining() int64 { return max(0, m.Limit-m.Used) }

// Excess is what was used above the limit.
func (m Meter) Excess() int64 { return max(0, m.Used-m.Limit) }

// Allowance is what a plan grants in its current period and what was used of it: a tenant's own, or that of one key
// with a plan of its own.
type Allowance struct {
	TenantID     int64
	TenantName   string
	KeyName      string // only for a key's own plan
	PlanName     string
	Hard         bool // a limit; otherwise the excess is charged
	Price        money.Micros
	OveragePrice money.Micros  // BRL a token above, where the excess is charged
	SpendCap     *money.Micros // BRL that may be charged in the period; nil: without an end
	Charged      money.Micros  // BRL that was charged in the period so far
	Period       Period
	Input        Meter
	Output       Meter
}

// Ratio is that of the fuller meter.
func (a Allowance) Ratio() float64 { return max(a.Input.Ratio(), a.Output.Ratio()) }

// Charge is what the excess comes to so far.
func (a Allowance) Charge() money.Micros {
	if a.Hard {
		return 0
	}
	perMillion := a.OveragePrice * money.Unit
	return money.Cost(money.Term{Tokens: a.Input.Excess(), PerMillion: perMillion}, money.Term{Tokens: a.Output.Excess(), PerMillion: perMillion})
}

// Capped tells whether a cap ends what may be charged.
func (a Allowance) Capped() bool { return a.SpendCap != nil }

// CapLeft is what the cap still allows to be charged, never below zero.
func (a Allowance) CapLeft() money.Micros {
	if a.SpendCap == nil {
		return 0
	}
	return max(*a.SpendCap-a.Charged, 0)
}

// CapReached tells whether calls are refused because of the cap: a limit is used up, and not one more token may be charged.
func (a Allowance) CapReached() bool {
	return a.Capped() && a.Ratio() >= 1 && a.CapLeft() < a.OveragePrice
}

// Latency is how long the newest calls took until their answer was complete.
type Latency struct {
	P50, P95 time.Duration
	Calls    int // how many calls that was measured on; zero: nothing is known
}

// Share is the part of one tenant, model or key in the totals.
type Share struct {
	ID   int64 // tenant or key; 0 for a model
	Name string
	Totals
}

// Call is an event with the names that a person knows it by.
type Call struct {
	Event
	TenantName string
	KeyName    string
}
