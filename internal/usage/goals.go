package usage

import "github.com/fila-ia/filaia/internal/money"

// Goal is where a figure started and where the operator wants it.
type Goal struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Reached is the actual's share of the target, 0..1.
func (g Goal) Reached(actual int64) float64 {
	if g.To <= 0 {
		return 1
	}
	return min(max(float64(actual)/float64(g.To), 0), 1)
}

// Goals are the operator's growth goals. The JSON is what the settings keep.
type Goals struct {
	Customers Goal `json:"customers"`      // active ones
	Revenue   Goal `json:"revenue_micros"` // BRL micros a month
	Tokens    Goal `json:"tokens"`         // a month
}

// DefaultGoals hold until the operator sets others.
func DefaultGoals() Goals {
	return Goals{
		Customers: Goal{From: 10, To: 25},
		Revenue:   Goal{From: int64(2_000 * money.Unit), To: int64(8_000 * money.Unit)},
		Tokens:    Goal{From: 5_000_000, To: 20_000_000},
	}
}

// Growth is what the goals are compared with, but for what the month's usage tells.
type Growth struct {
	Goals     Goals
	Customers int64        // active tenants with a plan
	Fees      money.Micros // BRL a month: the prices of the plans in force
}
