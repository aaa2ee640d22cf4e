package plans

import (
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/ui"
)

// Rates are limits a minute and at once, of a plan, of a customer or of one key; zero means none.
type Rates struct {
	RPM, TPM, Parallel int
}

// rate writes a limit that may be absent.
func rate(p i18n.Printer, n int) string {
	if n == 0 {
		return p.T("plans.no_limit")
	}
	return p.Int(int64(n))
}

// Facts are the three limits, each on its line.
func (r Rates) Facts(p i18n.Printer) []ui.Fact {
	return []ui.Fact{
		{Label: p.T("plans.field.rpm"), Text: rate(p, r.RPM)},
		{Label: p.T("plans.field.tpm"), Text: rate(p, r.TPM)},
		{Label: p.T("plans.field.parallel"), Text: rate(p, r.Parallel)},
	}
}

// Short names the limits that there are, in one line; empty where there is none.
func (r Rates) Short(p i18n.Printer) string {
	var parts []string
	for _, l := range []struct {
		key string
		n   int
	}{{"plans.short.rpm", r.RPM}, {"plans.short.tpm", r.TPM}, {"plans.short.parallel", r.Parallel}} {
		if l.n > 0 {
			parts = append(parts, strings.ReplaceAll(p.T(l.key, "n", l.n), " ", "\u00a0"))
		}
	}
	return strings.Join(parts, " · ")
}

// Cache is how calls under a plan use the cache of answers.
type Cache struct {
	Mode    string // off, exact or smart
	Minutes int    // how long an answer may be given again
	Billed  int    // percent of the tokens served from the cache
}

func (c Cache) on() bool { return c.Mode != "" && c.Mode != "off" }

// CacheWord names a mode; empty is that of the plan.
func CacheWord(p i18n.Printer, mode string) string {
	if mode == "" {
		return p.T("plans.cache.inherit")
	}
	return p.T("plans.cache." + mode)
}

// CacheOptions are the modes with a sentence each.
func CacheOptions(p i18n.Printer) []ui.Option {
	return []ui.Option{
		{Value: "off", Label: p.T("plans.cache.off"), Text: p.T("plans.cache.off_text")},
		{Value: "exact", Label: p.T("plans.cache.exact"), Text: p.T("plans.cache.exact_text")},
		{Value: "smart", Label: p.T("plans.cache.smart"), Text: p.T("plans.cache.smart_text")},
	}
}

func (c Cache) lifetime(p i18n.Printer) string {
	return p.Duration(time.Duration(c.Minutes) * time.Minute)
}

func (c Cache) billed(p i18n.Printer) string {
	if c.Billed == 0 {
		return p.T("plans.cache.free")
	}
	return p.T("plans.cache.billed", "percent", c.Billed)
}

func (c Cache) facts(p i18n.Printer) []ui.Fact {
	facts := []ui.Fact{{Label: p.T("plans.field.cache"), Text: CacheWord(p, c.Mode)}}
	if !c.on() {
		return facts
	}
	return append(facts, ui.Fact{Label: p.T("plans.field.cache_minutes"), Text: c.lifetime(p)},
		ui.Fact{Label: p.T("plans.field.cache_billed"), Text: c.billed(p)})
}

// hitTokens is the size of the answer that the preview takes as its example.
const hitTokens = 1000

// costs says in words what an answer of the cache costs the customer.
func (c Cache) costs(p i18n.Printer, t Terms) string {
	counted := int64(hitTokens * c.Billed / 100)
	switch {
	case !c.on():
		return p.T("plans.preview.cache_off")
	case counted == 0:
		return p.T("plans.preview.cache_free")
	case t.Blocks || t.OveragePrice == 0:
		return p.T("plans.preview.cache_counted", "tokens", hitTokens, "counted", counted)
	}
	return p.T("plans.preview.cache_charged", "tokens", hitTokens, "counted", counted,
		"price", p.Money(int64(t.OveragePrice)*counted, string(money.BRL)))
}

// mayBeEmpty makes a field optional where the card says so once for all of them.
func mayBeEmpty() templ.Attributes { return templ.Attributes{"required": false} }
