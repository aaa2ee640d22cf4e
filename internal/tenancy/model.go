package tenancy

import (
	"time"

	"github.com/fila-ia/filaia/internal/money"
)

// Model is a public model name, what a million of its tokens cost the operator (USD), and its longest answer.
type Model struct {
	Name             string
	OwnedBy          string
	InputPrice       money.Micros
	CachedInputPrice money.Micros
	OutputPrice      money.Micros
	MaxOutputTokens  int64
	Default          bool
	CreatedAt        time.Time
}

// Cost is what one call costs the operator in USD; cached tokens are part of input.
func (m Model) Cost(input, cached, output int64) money.Micros {
	return money.Cost(
		money.Term{Tokens: input - cached, PerMillion: m.InputPrice},
		money.Term{Tokens: cached, PerMillion: m.CachedInputPrice},
		money.Term{Tokens: output, PerMillion: m.OutputPrice},
	)
}
