package alerts

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/ui"
)

// What is what an alert is about, as it was when it was raised. What does not belong to its metric is zero.
type What struct {
	Metric, Unit     string
	Customer         bool // said to the customer, of itself
	Threshold, Value int64

	Tenant, Plan, Key, Provider, Model, Replica, Address string

	LimitIn, UsedIn, LimitOut, UsedOut int64
	Blocks                             bool
	Price, Charged, Cap                int64 // BRL micros
	PeriodStart, PeriodEnd             time.Time
	Window                             int
	Base, Now, Calls, Failures         int64
	RunsOutAt, Since                   time.Time
}

// whole is a hundred percent.
const whole = 10_000

// Figure writes a value or a threshold in its unit.
func Figure(p i18n.Printer, unit string, n int64) string {
	switch unit {
	case "percent":
		return p.Percent(float64(n) / whole)
	case "tokens":
		return p.T("alert_events.unit.tokens", "n", p.Compact(n))
	case "brl":
		return p.Money(n, string(money.BRL))
	case "usd":
		return p.Money(n, string(money.USD))
	case "ms":
		return p.Duration(time.Duration(n) * time.Millisecond)
	case "seconds":
		return p.Duration(time.Duration(n) * time.Second)
	case "days":
		return p.T("alert_events.unit.days", "n", n)
	}
	return p.Int(n)
}

// Limit is the threshold that was reached, in a word.
func (w What) Limit(p i18n.Printer) string { return Figure(p, w.Unit, w.Threshold) }

// Sentence says what happened: "Padaria Sol usou 80% da franquia de entrada".
func (w What) Sentence(p i18n.Printer) string {
	key := "alert_events.what." + w.Metric
	switch {
	case w.Customer:
		key += ".own"
	case w.Tenant == "":
		switch w.Metric {
		case "error_rate", "latency_p95", "sudden_change":
			key += ".all"
		}
	}
	if w.Metric == "sudden_change" && w.Now < w.Base {
		key += ".less"
	}
	text := p.T(key, "tenant", w.Tenant, "value", Figure(p, w.Unit, w.Value), "key", w.Key, "address", w.Address, "provider", w.Provider,
		"model", w.Model, "replica", w.Replica, "now", p.Compact(w.Now), "usual", p.Compact(w.Base))
	switch w.Metric {
	case "key_unused", "key_address":
		return text
	}
	if w.Key != "" {
		return p.T("alert_events.of_key", "text", text, "key", w.Key)
	}
	return text
}

// Next says what happens now, for what has a consequence of its own; "" for the rest.
func (w What) Next(p i18n.Printer) string {
	full := w.Unit == "percent" && w.Threshold >= whole
	switch w.Metric {
	case "input_quota", "output_quota":
		switch {
		case w.Blocks && full:
			return p.T("alert_events.next.blocked", "when", p.DateTime(w.PeriodEnd))
		case w.Blocks:
			return p.T("alert_events.next.will_block", "when", p.DateTime(w.PeriodEnd))
		case full:
			return p.T("alert_events.next.charged", "price", p.Price(w.Price, string(money.BRL)))
		default:
			return p.T("alert_events.next.will_charge", "price", p.Price(w.Price, string(money.BRL)))
		}
	case "overage":
		return p.T("alert_events.next.overage", "price", p.Price(w.Price, string(money.BRL)), "when", p.Date(w.PeriodEnd))
	case "spend_cap":
		if full {
			return p.T("alert_events.next.capped", "when", p.DateTime(w.PeriodEnd))
		}
		return p.T("alert_events.next.will_cap")
	case "forecast":
		if w.RunsOutAt.IsZero() {
			return ""
		}
		return p.T("alert_events.next.runs_out", "when", p.DateTime(w.RunsOutAt), "end", p.DateTime(w.PeriodEnd))
	case "key_unused":
		return p.T("alert_events.next.key_unused")
	case "key_address":
		return p.T("alert_events.next.key_address")
	case "breaker_open":
		return p.T("alert_events.next.breaker_open")
	case "provider_429":
		return p.T("alert_events.next.provider_429")
	case "spool_lag":
		return p.T("alert_events.next.spool_lag")
	case "queue_age":
		return p.T("alert_events.next.queue_age")
	case "rate_stale":
		return p.T("alert_events.next.rate_stale")
	}
	return ""
}

// Tone is how grave it is.
func (w What) Tone() ui.Tone {
	switch w.Metric {
	case "input_quota", "output_quota", "spend_cap":
		switch {
		case w.Unit != "percent" || w.Threshold >= 8000 && w.Threshold < whole:
			return ui.Warn
		case w.Threshold >= whole:
			return ui.Bad
		}
		return ui.Info
	case "breaker_open", "spool_lag", "error_rate":
		return ui.Bad
	case "key_unused":
		return ui.Info
	}
	return ui.Warn
}

// Figures are the numbers behind the sentence.
func (w What) Figures(p i18n.Printer) []ui.StatModel {
	stat := func(name, value, exact, note string) ui.StatModel {
		return ui.StatModel{Label: p.T("alert_events.figure." + name), Value: value, Exact: exact, Note: note}
	}
	brl := func(n int64) string { return p.Money(n, string(money.BRL)) }
	limit := "alert_events.figure.threshold"
	if w.Customer {
		limit += ".own"
	}
	list := []ui.StatModel{stat("value", Figure(p, w.Unit, w.Value), "", p.T(limit, "limit", w.Limit(p)))}
	tokens := func(name string, used, limit int64) {
		list = append(list, stat(name, p.Compact(used), p.Int(used), p.T("alert_events.figure.of", "limit", p.Compact(limit))))
	}
	switch w.Metric {
	case "input_quota":
		tokens("used_in", w.UsedIn, w.LimitIn)
	case "output_quota":
		tokens("used_out", w.UsedOut, w.LimitOut)
	case "forecast":
		tokens("used_in", w.UsedIn, w.LimitIn)
		tokens("used_out", w.UsedOut, w.LimitOut)
	case "overage", "spend_cap":
		note := p.T("alert_events.figure.no_cap")
		if w.Cap > 0 {
			note = p.T("alert_events.figure.cap", "cap", brl(w.Cap))
		}
		list = append(list, stat("charged", brl(w.Charged), "", note))
	case "sudden_change":
		list = append(list, stat("now", p.Compact(w.Now), p.Int(w.Now), p.T("alert_events.figure.in_hour")),
			stat("usual", p.Compact(w.Base), p.Int(w.Base), p.T("alert_events.figure.same_hour")))
	case "error_rate", "provider_429":
		list = append(list, stat("failures", p.Int(w.Failures), "", p.T("alert_events.figure.of_calls", "n", w.Calls)))
	case "latency_p95":
		list = append(list, stat("calls", p.Int(w.Calls), "", ""))
	}
	if w.Window > 0 && len(list) > 1 {
		last := &list[len(list)-1]
		if window := p.T("alert_events.figure.window", "n", w.Window); last.Note == "" {
			last.Note = window
		} else {
			last.Note += ", " + window
		}
	}
	return list
}
