package emails

import (
	"fmt"

	"github.com/fila-ia/filaia/internal/i18n"
)

// platform tells the team of what runs the gateway; false for a metric that is not known.
func (t *teller) platform() (story, bool) {
	switch t.Metric {
	case "provider_cost":
		return t.providerCost(), true
	case "breaker_open":
		return t.breakerOpen(), true
	case "provider_429":
		return t.provider429(), true
	case "queue_age":
		return t.queueAge(), true
	case "spool_lag":
		return t.spoolLag(), true
	case "rate_stale":
		return t.rateStale(), true
	}
	return story{}, false
}

func (t *teller) providerCost() story {
	cost := usd(t.Printer, t.Value)
	s := story{tone: warn, figure: cost, caption: t.t("provider_cost.caption"), filled: -1, button: link{t.t("button.panel"), t.base + "/"}}
	s.subject = t.t("provider_cost.subject", "cost", cost)
	s.lead = t.t("provider_cost.lead", "cost", cost, "threshold", quantity(t.Printer, t.Unit, t.Threshold))
	if t.Calls > 0 {
		s.fact(t.t("fact.calls_today"), t.Int(t.Calls))
	}
	t.at(&s, "fact.measured", t.RaisedAt)
	s.next = []string{t.t("provider_cost.next"), t.t("provider_cost.do")}
	return s
}

func (t *teller) breakerOpen() story {
	house := t.house()
	s := story{tone: bad, figure: lasting(t.Printer, seconds(t.Value)), caption: t.t("breaker.caption"), filled: -1, button: t.ofProvider()}
	s.subject = t.t("breaker.subject", "house", house, "time", lasting(t.Printer, seconds(t.Value)))
	s.lead = t.t("breaker.lead", "house", house)
	t.houseFacts(&s)
	t.sinceFact(&s, "fact.away_since")
	s.next = []string{t.t("breaker.next"), t.t("breaker.do")}
	return s
}

func (t *teller) provider429() story {
	words := []any{"n", t.Value, "house", t.house(), "window", t.Window}
	s := story{tone: warn, figure: t.Int(t.Value), caption: t.t("provider_429.caption"), filled: -1, button: t.ofProvider()}
	s.subject = t.windowed("provider_429.subject", words...)
	s.lead = t.t("provider_429.lead", words...)
	t.houseFacts(&s)
	if t.Calls > 0 {
		s.fact(t.t("fact.calls"), t.Int(t.Calls))
	}
	t.at(&s, "fact.measured", t.RaisedAt)
	s.next = []string{t.t("provider_429.next"), t.t("provider_429.do")}
	return s
}

func (t *teller) queueAge() story {
	waits := lasting(t.Printer, seconds(t.Value))
	s := t.ofOperations(waits)
	s.caption = t.t("queue_age.caption")
	s.subject = t.t("queue_age.subject", "time", waits)
	s.lead = t.t("queue_age.lead", "time", waits)
	t.sinceFact(&s, "fact.waiting_since")
	s.next = []string{t.t("queue_age.next"), t.t("queue_age.do")}
	return s
}

func (t *teller) spoolLag() story {
	lag := lasting(t.Printer, seconds(t.Value))
	s := t.ofOperations(lag)
	s.caption = t.t("spool_lag.caption")
	s.subject = t.t("spool_lag.subject", "time", lag)
	s.lead = t.t("spool_lag.lead", "time", lag)
	s.fact(t.t("fact.replica"), t.Replica)
	t.sinceFact(&s, "fact.oldest")
	s.next = []string{t.t("spool_lag.next"), t.t("spool_lag.do")}
	return s
}

func (t *teller) rateStale() story {
	s := story{tone: warn, figure: t.t("days", "n", t.Value), caption: t.t("rate_stale.caption"), filled: -1, button: link{t.t("button.rate"), t.base + "/models"}}
	s.subject = t.t("rate_stale.subject", "n", t.Value)
	s.lead = t.t("rate_stale.lead", "n", t.Value)
	if !t.Since.IsZero() {
		s.fact(t.t("fact.rate_day"), i18n.NewPrinter(t.Lang(), nil).Date(t.Since)) // a day, not a moment
	}
	s.next = []string{t.t("rate_stale.next"), t.t("rate_stale.do")}
	return s
}

// house is the provider and its model, as far as they are known.
func (t *teller) house() string {
	house := t.named(t.Provider, "provider_unknown")
	if t.Model != "" {
		house += " (" + t.Model + ")"
	}
	return house
}

func (t *teller) houseFacts(s *story) {
	s.fact(t.t("fact.provider"), t.Provider)
	s.fact(t.t("fact.model"), t.Model)
}

func (t *teller) sinceFact(s *story, label string) {
	since := t.Since
	if since.IsZero() && !t.RaisedAt.IsZero() {
		since = t.RaisedAt.Add(-seconds(t.Value))
	}
	t.at(s, label, since)
}

func (t *teller) ofProvider() link {
	if t.ProviderID == 0 {
		return link{t.t("button.providers"), t.base + "/providers"}
	}
	return link{t.t("button.provider"), fmt.Sprintf("%s/providers/%d", t.base, t.ProviderID)}
}

func (t *teller) ofOperations(figure string) story {
	s := story{tone: warn, figure: figure, filled: -1, button: link{t.t("button.operations"), t.base + "/operations"}}
	if t.Value >= 600 {
		s.tone = bad
	}
	return s
}
