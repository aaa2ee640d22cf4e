package handlers

import (
	"net/url"
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/ui"
	usageviews "github.com/fila-ia/filaia/views/usage"
)

// The service levels that the operator promises.
const (
	successGoal = 0.99
	latencyGoal = 2 * time.Second
)

// figureCards are the numbers on top of a page. The panel's have cost; a customer's don't. refusals is where calls are that
// were refused: they are no failures, as they never reached a provider.
func (f figures) figureCards(say i18n.Printer, cost bool, refusals string) []usageviews.Figure {
	pick := func(of func(usage.Totals) int64) []int64 {
		values := make([]int64, len(f.spark.Points))
		for i, p := range f.spark.Points {
			values[i] = of(p.Totals)
		}
		return values
	}
	against := say.T("usage.against.yesterday")
	if f.view == thirty {
		against = say.T("usage.against.thirty")
	}
	count := func(label string, of func(usage.Totals) int64) usageviews.Figure {
		return f.changed(say, usageviews.Figure{
			Label: label, Value: say.Compact(of(f.totals)), Exact: say.Int(of(f.totals)), Note: against, Spark: pick(of),
		}, of)
	}
	cards := []usageviews.Figure{
		count(say.T("usage.figure.requests"), func(t usage.Totals) int64 { return t.Requests }),
		count(say.T("usage.figure.input"), func(t usage.Totals) int64 { return t.Tokens.Input }),
		count(say.T("usage.figure.output"), func(t usage.Totals) int64 { return t.Tokens.Output }),
	}
	if cost {
		of := func(t usage.Totals) int64 { return int64(t.CostUSD) }
		cards = append(cards, f.changed(say, usageviews.Figure{
			Label: say.T("usage.figure.cost"), Value: say.Money(of(f.totals), string(money.USD)), Note: against, Spark: pick(of),
		}, of))
	}
	success := f.successCard(say)
	success.More = ui.Link{Label: say.T("usage.calls.refused"), Href: refusals}
	return append(cards, f.chargeCard(say), success, f.latencyCard(say))
}

// changed adds the change against before, where there was a before.
func (f figures) changed(say i18n.Printer, card usageviews.Figure, of func(usage.Totals) int64) usageviews.Figure {
	ratio, ok := usage.Change(of(f.totals), of(f.before))
	if !ok {
		card.Note = say.T("usage.against.nothing")
		return card
	}
	card.Up = ratio >= 0
	if card.Trend = say.Percent(max(ratio, -ratio)); card.Up {
		card.Trend = "+" + card.Trend
	} else {
		card.Trend = "-" + card.Trend
	}
	return card
}

// meanCard is how large a call is.
func (f figures) meanCard(say i18n.Printer) usageviews.Figure {
	card := usageviews.Figure{Label: say.T("usage.figure.mean"), Value: "–", Note: say.T("usage.figure.mean_note")}
	if f.totals.Requests > 0 {
		card.Value = say.Int(f.totals.Tokens.Total() / f.totals.Requests)
	}
	return card
}

func (f figures) chargeCard(say i18n.Printer) usageviews.Figure {
	return usageviews.Figure{
		Label: say.T("usage.figure.charge"), Value: say.Money(int64(f.totals.ChargeBRL), string(money.BRL)), Note: say.T("usage.figure.charge_note"),
	}
}

func (f figures) successCard(say i18n.Printer) usageviews.Figure {
	card := usageviews.Figure{Label: say.T("usage.figure.success"), Value: "–", Note: say.T("usage.goal.success")}
	if rate, ok := f.totals.SuccessRate(); ok {
		card.Value, card.Tone = say.Percent(rate), reached(rate > successGoal)
		card.Exact = say.T("usage.figure.failures", "n", f.totals.Failures)
	}
	if n := f.totals.CallerErrors; n > 0 {
		card.Note += " · " + say.T("usage.figure.caller_errors", "n", n)
	}
	return card
}

func (f figures) latencyCard(say i18n.Printer) usageviews.Figure {
	card := usageviews.Figure{Label: say.T("usage.figure.latency"), Value: "–", Note: say.T("usage.goal.latency")}
	if f.latency.Calls > 0 {
		card.Value, card.Tone = say.Duration(f.latency.P95), reached(f.latency.P95 < latencyGoal)
		card.Note = say.T("usage.figure.median", "median", say.Duration(f.latency.P50)) + " · " + card.Note
		card.Exact = say.T("usage.figure.sample", "n", f.latency.Calls)
	}
	return card
}

func reached(ok bool) ui.Tone {
	if ok {
		return ui.OK
	}
	return ui.Warn
}

// chartModel is the chart of tokens, with the stream's own name for what it sends.
func (f figures) chartModel(say i18n.Printer) ui.ChartModel {
	m := ui.ChartModel{ID: "tokens", Title: say.T("usage.chart.minutes"), Lead: say.T("usage.chart.minutes_lead"), Unit: ui.Minute}
	if f.view == thirty {
		m.Title, m.Lead, m.Unit = say.T("usage.chart.days"), say.T("usage.chart.days_lead"), ui.Day
	}
	for _, p := range f.chart.Points {
		m.Data.Labels = append(m.Data.Labels, p.Start)
		m.Data.Input = append(m.Data.Input, p.Tokens.Input)
		m.Data.Output = append(m.Data.Output, p.Tokens.Output)
	}
	return m
}

// switchModel leads between today and thirty days, other parameters kept.
func switchModel(say i18n.Printer, path string, now view, query url.Values) []usageviews.Choice {
	address := func(v view) string {
		q := url.Values{}
		for name, values := range query {
			if name != "view" {
				q[name] = values
			}
		}
		if v != today {
			q.Set("view", string(v))
		}
		if len(q) == 0 {
			return path
		}
		return path + "?" + q.Encode()
	}
	return []usageviews.Choice{
		{Label: say.T("usage.view.today"), Href: address(today), Active: now == today},
		{Label: say.T("usage.view.days"), Href: address(thirty), Active: now == thirty},
	}
}

func callsModel(say i18n.Printer, calls []usage.Call, now time.Time) usageviews.Calls {
	m := usageviews.Calls{Now: now, Empty: ui.EmptyModel{Icon: "inbox", Title: say.T("usage.calls.none"), Text: say.T("usage.calls.none_text")}}
	for _, c := range calls {
		row := usageviews.Call{
			At: c.CreatedAt, Tenant: c.TenantName, TenantRef: tenantPath(c.TenantID), Key: c.KeyName, Model: c.Model,
			Detail: c.Endpoint, Input: c.Tokens.Input, Output: c.Tokens.Output, Cached: c.Tokens.Cached, Estimated: c.Estimated,
			Latency: time.Duration(c.LatencyMS) * time.Millisecond, Cost: int64(c.CostUSD), Served: c.Served.Total(), Provider: c.Provider,
		}
		row.CacheTone, row.Cache = cacheWord(say, c.Cache)
		if c.Streamed {
			row.Detail += " · " + say.T("usage.calls.streamed")
		}
		row.Detail += " · " + c.RequestID
		row.Tone, row.Word = callState(say, c.Event)
		m.Rows = append(m.Rows, row)
	}
	return m
}

func callState(say i18n.Printer, e usage.Event) (ui.Tone, string) {
	switch e.Status {
	case usage.OK:
		return ui.OK, say.T("usage.status.ok")
	case usage.Aborted:
		return ui.Neutral, say.T("usage.status.aborted")
	case usage.Interrupted:
		return ui.Warn, say.T("usage.status.interrupted")
	}
	if e.CallersFault() {
		return ui.Warn, say.T("usage.status.failed", "status", strconv.Itoa(e.HTTPStatus))
	}
	return ui.Bad, say.T("usage.status.failed", "status", strconv.Itoa(e.HTTPStatus))
}

func sharesModel(say i18n.Printer, head string, shares []usage.Share, all int64, href func(usage.Share) string) usageviews.Shares {
	m := usageviews.Shares{Head: head}
	for _, s := range shares {
		row := usageviews.Share{
			Name: s.Name, Requests: s.Requests, Input: s.Tokens.Input, Output: s.Tokens.Output, Cost: int64(s.CostUSD),
			ServedIn: s.ServedInput, Served: s.Served(),
		}
		row.HitRate, row.HitNote = hitRate(say, s.Totals)
		if href != nil {
			row.Href = href(s)
		}
		if all > 0 {
			row.Ratio = min(1, float64(s.Tokens.Total())/float64(all))
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// tokensOf adds up the tokens of all shares.
func tokensOf(shares []usage.Share) (sum int64) {
	for _, s := range shares {
		sum += s.Tokens.Total()
	}
	return sum
}

// quotasModel shows plans with the names of their tenants, or of one tenant without.
func quotasModel(say i18n.Printer, list []usage.Allowance, now time.Time, named bool) usageviews.Quotas {
	var m usageviews.Quotas
	for _, a := range list {
		q := usageviews.Quota{
			Name: a.KeyName, Plan: a.PlanName, Note: resets(say, a.Period.End, now),
			Input: meterModel(say.T("usage.tokens.input"), a.Input, a.Hard), Output: meterModel(say.T("usage.tokens.output"), a.Output, a.Hard),
		}
		if named {
			q.Name, q.Href = a.TenantName, tenantPath(a.TenantID)
			if a.KeyName != "" {
				q.Name += " · " + a.KeyName
			}
		}
		q.Tone, q.Word = allowanceState(say, a)
		m.Items = append(m.Items, q)
	}
	return m
}

func meterModel(label string, m usage.Meter, hard bool) usageviews.Meter {
	return usageviews.Meter{Label: label, Used: m.Used, Limit: m.Limit, Hard: hard}
}

func allowanceState(say i18n.Printer, a usage.Allowance) (ui.Tone, string) {
	switch ratio := a.Ratio(); {
	case a.CapReached():
		return ui.Bad, say.T("spend.word.reached")
	case ratio >= 1 && a.Hard:
		return ui.Bad, say.T("usage.quota.blocked")
	case ratio > 1:
		return ui.Info, say.T("usage.quota.excess", "amount", say.Money(int64(a.Charge()), string(money.BRL)))
	case ratio >= 0.8:
		return ui.Warn, say.T("usage.quota.near")
	}
	return ui.Neutral, ""
}

// resets says when a period ends: in how many days where it is near, else the date.
func resets(say i18n.Printer, end, now time.Time) string {
	if when := say.Relative(end, now); when != say.Date(end) {
		return say.T("usage.quota.resets", "when", when)
	}
	return say.T("usage.quota.resets_on", "date", say.Date(end))
}
