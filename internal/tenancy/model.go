package tenancy

import (
	"regexp"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

// Model is a public model name, who answers for it, and its longest answer.
type Model struct {
	Name            string
	OwnedBy         string
	MaxOutputTokens int64
	Default         bool
	Active          bool
	CreatedAt       time.Time
	Price           Price   // that holds now for routes without one of their own
	Routes          []Route // by priority
}

// Price is what a million tokens cost the operator in USD, from Since on. Cached tokens are part of the input,
// reasoning tokens of the output; each has its price instead of that of the whole.
type Price struct {
	ProviderID  int64 // 0: of any provider
	Since       time.Time
	Input       money.Micros
	CachedInput money.Micros
	Output      money.Micros
	Reasoning   money.Micros
	Request     money.Micros // a call, whatever its tokens
}

// Cost is what one call costs the operator in USD.
func (p Price) Cost(t usage.Tokens) money.Micros {
	return p.Request + money.Cost(
		money.Term{Tokens: t.Input - t.Cached, PerMillion: p.Input},
		money.Term{Tokens: t.Cached, PerMillion: p.CachedInput},
		money.Term{Tokens: t.Output - t.Reasoning, PerMillion: p.Output},
		money.Term{Tokens: t.Reasoning, PerMillion: p.Reasoning},
	)
}

// Route is one way to have a model answered.
type Route struct {
	ID            int64
	ProviderID    int64
	UpstreamModel string // the provider's name of it; at Azure the deployment
	Priority      int    // the lowest goes first
	Weight        int    // shares the calls within a priority
	Active        bool
	Price         Price // that holds now
}

// ModelDraft is what a form or the command line gives to make or edit a model.
type ModelDraft struct {
	Name            string
	OwnedBy         string
	MaxOutputTokens int64
	Active          bool
	Default         bool
	Routes          []Route // IDs and prices are not read
}

var modelPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

// ValidModelName tells whether a model can be called so.
func ValidModelName(name string) bool {
	return modelPattern.MatchString(name) && len(name) <= 200 && !reservedModelName(name)
}

// reservedModelName tells whether the panel has a page of its own where the model's would be.
func reservedModelName(name string) bool {
	switch strings.ToLower(name) {
	case "new", "rate", "preview":
		return true
	}
	return false
}

// Validate tells every rejected field at once. A model may have no route yet: then its calls are refused as unavailable.
func (d *ModelDraft) Validate() error {
	d.Name, d.OwnedBy = Tidy(d.Name), strings.TrimSpace(d.OwnedBy)
	var f fault.Form
	f.Check(!reservedModelName(d.Name), "name", "models.error.name_reserved", "value", d.Name)
	f.Check(ValidModelName(d.Name) || reservedModelName(d.Name), "name", "models.error.name", "value", d.Name)
	f.Check(len(d.OwnedBy) <= 80, "owned_by", "error.too_long", "max", 80)
	const maxOutput = 1 << 31
	f.Check(d.MaxOutputTokens >= 1 && d.MaxOutputTokens <= maxOutput, "max_output_tokens", "error.range", "min", 1, "max", maxOutput)
	f.Check(d.Active || !d.Default, "default", "models.error.default_off")
	seen := map[Route]bool{}
	for i := range d.Routes {
		r := &d.Routes[i]
		r.UpstreamModel = strings.TrimSpace(r.UpstreamModel)
		if r.UpstreamModel == "" {
			r.UpstreamModel = d.Name
		}
		f.Check(r.ProviderID > 0, "routes", "models.error.route_provider")
		f.Check(len(r.UpstreamModel) <= 200, "routes", "error.too_long", "max", 200)
		f.Check(r.Priority >= 1 && r.Priority <= 100, "routes", "models.error.priority", "min", 1, "max", 100)
		f.Check(r.Weight >= 1 && r.Weight <= 1000, "routes", "models.error.weight", "min", 1, "max", 1000)
		same := Route{ProviderID: r.ProviderID, UpstreamModel: r.UpstreamModel}
		f.Check(!seen[same], "routes", "models.error.route_twice", "value", r.UpstreamModel)
		seen[same] = true
	}
	return f.Err()
}

// maxPrice is far above any provider's, in US$ a million tokens.
const maxPrice = 100_000

// Validate tells every rejected field at once.
func (p *Price) Validate() error {
	var f fault.Form
	check := func(name string, amount money.Micros) {
		f.Check(amount >= 0 && amount <= maxPrice*money.Unit, name, "models.error.price_range", "max", maxPrice)
	}
	check("input_price", p.Input)
	check("cached_input_price", p.CachedInput)
	check("output_price", p.Output)
	check("reasoning_price", p.Reasoning)
	check("request_price", p.Request)
	return f.Err()
}

// ExchangeRate is what one US$ costs in R$ from a day on.
type ExchangeRate struct {
	Day    time.Time // midnight UTC of the date
	BRL    money.Micros
	Source string // who says so
}

// Convert gives an amount of US$ in R$.
func (r ExchangeRate) Convert(usd money.Micros) money.Micros {
	if usd < 0 {
		return -r.Convert(-usd)
	}
	return money.Cost(money.Term{Tokens: int64(usd), PerMillion: r.BRL})
}

// Validate tells every rejected field at once. The bounds catch an amount typed in cents or with a lost comma.
func (r *ExchangeRate) Validate() error {
	const maxRate = 1000
	r.Source = strings.TrimSpace(r.Source)
	var f fault.Form
	f.Check(!r.Day.IsZero(), "day", "error.required")
	f.Check(r.BRL > 0 && r.BRL <= maxRate*money.Unit, "brl", "rates.error.amount", "max", maxRate)
	f.Check(len([]rune(r.Source)) <= 80, "source", "error.too_long", "max", 80)
	return f.Err()
}

// StoredResponse is a response that a provider keeps for a tenant.
type StoredResponse struct {
	ID       string
	TenantID int64
	Provider string // its slug
	Model    string // public name
	Tokens   int64  // of it and what went before: a bound of what continuing it puts in
}
