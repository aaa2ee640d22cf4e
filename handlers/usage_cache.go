package handlers

import (
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/ui"
	usageviews "github.com/fila-ia/filaia/views/usage"
)

// hitGoal is the share of answers that the operator wants from the cache.
const hitGoal = 0.7

// hitRate writes how often the cache answered, and of how many calls; a dash where none could have been.
func hitRate(say i18n.Printer, t usage.Totals) (rate, note string) {
	ratio, ok := t.HitRate()
	if !ok {
		return "–", say.T("usage.cache.none")
	}
	return say.Percent(ratio), say.T("usage.cache.hits", "hits", t.CacheHits, "n", t.CacheLookups)
}

// cacheModel is how far the cache answered in the time that the page covers. The items given come last.
func (f figures) cacheModel(say i18n.Printer, more ...usageviews.CacheItem) usageviews.CacheModel {
	m := usageviews.CacheModel{Lead: say.T("usage.view.today"), Tone: ui.OK}
	if f.view == thirty {
		m.Lead = say.T("usage.chart.days_lead")
	}
	t := f.totals
	m.Rate, m.Note = hitRate(say, t)
	m.Ratio, _ = t.HitRate()
	served, billed := t.Served(), t.Tokens.Total()
	m.Items = append([]usageviews.CacheItem{{
		Label: say.T("usage.cache.served"), Value: say.Compact(served), Exact: say.Int(served),
		Note: say.T("usage.cache.split", "input", say.Compact(t.ServedInput), "output", say.Compact(t.ServedOutput)),
	}, {
		Label: say.T("usage.cache.billed"), Value: say.Compact(billed), Exact: say.Int(billed), Note: spared(say, served-billed),
	}}, more...)
	return m
}

// aimed adds the operator's goal, which is none of a customer's business.
func aimed(say i18n.Printer, m usageviews.CacheModel) usageviews.CacheModel {
	m.Goal, m.Aim = say.T("usage.cache.goal", "goal", say.Percent(hitGoal)), hitGoal
	if m.Ratio < hitGoal {
		m.Tone = ui.Neutral
	}
	return m
}

func spared(say i18n.Printer, tokens int64) string {
	if tokens <= 0 {
		return say.T("usage.cache.spared_none")
	}
	return say.T("usage.cache.spared", "tokens", say.Compact(tokens))
}

// savedItem is what providers would have charged for what the cache answered.
func savedItem(say i18n.Printer, label string, saved money.Micros) usageviews.CacheItem {
	value := say.Money(int64(saved), string(money.USD))
	if cent := money.Unit / 100; saved > 0 && saved < cent {
		value = "< " + say.Money(int64(cent), string(money.USD))
	}
	return usageviews.CacheItem{
		Label: label, Value: value, Exact: say.Price(int64(saved), string(money.USD)),
		Note: say.T("usage.cache.saved_note"),
	}
}

// cacheWord says how the cache answered a call; nothing where it did not.
func cacheWord(say i18n.Printer, c usage.Cache) (ui.Tone, string) {
	switch c {
	case usage.CacheHit:
		return ui.OK, say.T("usage.cache.hit")
	case usage.CacheCoalesced:
		return ui.Info, say.T("usage.cache.coalesced")
	}
	return ui.Neutral, ""
}
