// Package tenancy holds who may call and under which terms: plans, tenants, subscriptions, keys, users.
//
// Types here are plain values with their validation; they know neither SQL nor HTTP.
package tenancy

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
)

// Overage says what happens above the included tokens.
type Overage string

// Block refuses the call that would pass the limit; Charge goes on and counts the excess.
const (
	Block  Overage = "block"
	Charge Overage = "charge"
)

// Plan is what is sold. Its terms live in versions.
type Plan struct {
	ID          int64
	Slug        string
	Name        string
	Description string
	ArchivedAt  *time.Time
	CreatedAt   time.Time
	Published   *PlanVersion // newest published version, nil while there is only a draft
	Draft       *PlanVersion // at most one
	Subscribers int          // current subscriptions on any version
}

// PlanVersion is one set of terms. Once published it never changes; subscriptions pin one.
type PlanVersion struct {
	ID          int64
	PlanID      int64
	Number      int
	Terms       Terms
	PublishedAt *time.Time
	CreatedAt   time.Time
	Subscribers int // current subscriptions on this version
}

// Terms is what a plan promises for one period. Zero rates mean no limit; no models means all.
type Terms struct {
	Price             money.Micros // BRL a period
	InputTokens       int64
	OutputTokens      int64
	Overage           Overage
	OveragePrice      money.Micros // BRL a token above
	RequestsPerMinute int
	TokensPerMinute   int
	ParallelCalls     int
	AllowedModels     []string
	Cache             CacheMode // empty: off
	CacheMinutes      int       // how long an answer may be given again
	CacheBilled       int       // percent of the tokens served from the cache that are billed
}

// Rates gives the limits a minute and at once.
func (t Terms) Rates() Rates { return Rates{t.RequestsPerMinute, t.TokensPerMinute, t.ParallelCalls} }

// Policy gives how calls under these terms use the cache.
func (t Terms) Policy() CachePolicy {
	return CachePolicy{Mode: t.Cache, Lifetime: time.Duration(t.CacheMinutes) * time.Minute, BilledPercent: t.CacheBilled}
}

// Equal tells whether both promise the same; the order of the models does not matter.
func (t Terms) Equal(other Terms) bool {
	a, b := slices.Sorted(slices.Values(t.AllowedModels)), slices.Sorted(slices.Values(other.AllowedModels))
	t.AllowedModels, other.AllowedModels = nil, nil
	t.normalise()
	other.normalise()
	return reflect.DeepEqual(t, other) && slices.Equal(a, b)
}

// Smaller tells whether the terms include less than other of either kind of token.
func (t Terms) Smaller(other Terms) bool {
	return t.InputTokens < other.InputTokens || t.OutputTokens < other.OutputTokens
}

// PlanDraft is what a form or the command line gives to create or edit a plan.
type PlanDraft struct {
	Slug        string
	Name        string
	Description string
	Terms       Terms
}

// MaxTokens bounds what a plan may include: far above any sale, far below an overflow.
const MaxTokens = 1_000_000_000_000

var slugPattern = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

// Validate tells every rejected field at once, by its form name.
func (d *PlanDraft) Validate() error {
	d.Name, d.Slug = Tidy(d.Name), strings.TrimSpace(d.Slug)
	d.Description = strings.TrimSpace(d.Description)
	var f fault.Form
	f.Check(d.Name != "", "name", "error.required")
	f.Check(len([]rune(d.Name)) <= 80, "name", "error.too_long", "max", 80)
	f.Check(slugPattern.MatchString(d.Slug) && len(d.Slug) <= 60, "slug", "error.slug", "value", d.Slug)
	f.Check(len([]rune(d.Description)) <= 300, "description", "error.too_long", "max", 300)
	d.Terms.normalise()
	d.Terms.check(&f)
	return f.Err()
}

// normalise fills in what a form or a command may leave out.
func (t *Terms) normalise() {
	if t.Cache == "" {
		t.Cache = CacheOff
	}
	if t.CacheMinutes == 0 {
		t.CacheMinutes = 60
	}
}

func (t Terms) check(f *fault.Form) {
	const maxPrice, maxOveragePrice = 10_000_000, 1000 // R$
	f.Check(t.Price >= 0 && t.Price <= maxPrice*money.Unit, "price", "error.money_range", "max", maxPrice)
	f.Check(t.InputTokens >= 0 && t.InputTokens <= MaxTokens, "input_tokens", "error.range", "min", 0, "max", MaxTokens)
	f.Check(t.OutputTokens >= 0 && t.OutputTokens <= MaxTokens, "output_tokens", "error.range", "min", 0, "max", MaxTokens)
	f.Check(t.Overage == Block || t.Overage == Charge, "overage", "error.choice", "value", string(t.Overage), "accepted", "block, charge")
	f.Check(t.OveragePrice >= 0 && t.OveragePrice <= maxOveragePrice*money.Unit, "overage_price", "error.money_range", "max", maxOveragePrice)
	f.Check(t.Overage != Charge || t.OveragePrice > 0, "overage_price", "error.overage_price_missing")
	t.Rates().check(f)
	f.Check(t.Cache.Valid(), "cache", "error.choice", "value", string(t.Cache), "accepted", "off, exact, smart")
	f.Check(t.CacheMinutes >= 1 && t.CacheMinutes <= 43_200, "cache_minutes", "error.range", "min", 1, "max", 43_200)
	f.Check(t.CacheBilled >= 0 && t.CacheBilled <= 100, "cache_billed", "error.range", "min", 0, "max", 100)
}

func (r Rates) check(f *fault.Form) {
	const maxRate, maxParallel = 1_000_000_000, 100_000
	f.Check(r.RequestsPerMinute >= 0 && r.RequestsPerMinute <= maxRate, "rpm", "error.range", "min", 1, "max", maxRate)
	f.Check(r.TokensPerMinute >= 0 && r.TokensPerMinute <= maxRate, "tpm", "error.range", "min", 1, "max", maxRate)
	f.Check(r.ParallelCalls >= 0 && r.ParallelCalls <= maxParallel, "parallel", "error.range", "min", 1, "max", maxParallel)
}

// Slugify makes a slug from a name: "Básico 2" → "basico-2".
func Slugify(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(foldAccents(name)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := b.String()
	return strings.Trim(s[:min(len(s), 60)], "-")
}
