package handlers

import (
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/refusals"
	"github.com/fila-ia/filaia/views/ui"
)

// refusalKind is the gateway's reason, with the limit that was in the way: each has texts of its own.
func refusalKind(r tenancy.Refusal) string {
	switch r.Reason {
	case "rate_limited":
		switch r.Limit {
		case "requests_per_minute":
			return "rate_requests"
		case "tokens_per_minute":
			return "rate_tokens"
		case "parallel_calls":
			return "rate_parallel"
		}
	case "quota_exhausted":
		switch r.Limit {
		case "input_tokens":
			return "quota_input"
		case tenancy.LimitSpendCap:
			return "spend_cap"
		}
		return "quota_output"
	case "unknown_model", "quota_busy", "provider_away", "provider_timeout", "provider_busy", "not_recordable", "database_away",
		"expired_key", "tenant_inactive":
		return r.Reason
	}
	return "other"
}

// refusalTone is bad where it was the service's doing.
func refusalTone(kind string) ui.Tone {
	switch kind {
	case "provider_away", "provider_timeout", "provider_busy", "not_recordable", "database_away":
		return ui.Bad
	case "unknown_model", "expired_key", "tenant_inactive", "other":
		return ui.Neutral
	}
	return ui.Warn
}

// refusalWhy says in a sentence what was in the way.
func refusalWhy(say i18n.Printer, r tenancy.Refusal) string {
	kind := refusalKind(r)
	key := "refusals.why." + kind
	switch kind {
	case "rate_requests", "rate_tokens", "rate_parallel":
		key += "." + scopeOf(r)
	case "quota_input", "quota_output":
		if r.Remaining <= 0 {
			key += ".none"
		}
	case "spend_cap":
		return say.T(key, "amount", brlOf(say, r.LimitValue), "asked", priceOf(say, r.Asked), "remaining", priceOf(say, r.Remaining))
	}
	return say.T(key, "n", r.LimitValue, "asked", r.Asked, "remaining", r.Remaining, "key", r.KeyName, "model", r.Model)
}

// brlOf writes an amount that a refusal keeps.
func brlOf(say i18n.Printer, micros int64) string { return say.Money(micros, string(money.BRL)) }

// priceOf is brlOf for what may be less than a cent.
func priceOf(say i18n.Printer, micros int64) string { return say.Price(micros, string(money.BRL)) }

// scopeOf is whose limit it was.
func scopeOf(r tenancy.Refusal) string {
	switch r.Scope {
	case "key", "tenant":
		return r.Scope
	}
	return "plan"
}

// refusalModel is the page of one refused call, but for where it leads and what to do.
func refusalModel(say i18n.Printer, r tenancy.Refusal, now time.Time) refusals.Model {
	kind := refusalKind(r)
	m := refusals.Model{
		Title: say.T("refusals.kind." + kind), Why: refusalWhy(say, r), Tone: refusalTone(kind), Status: strconv.Itoa(r.HTTPStatus),
		At: r.At, Now: now, RequestID: requestID(r.ID), Figures: refusalFigures(say, r, now),
	}
	given := func(text string) string {
		if text == "" {
			return "–"
		}
		return text
	}
	m.Facts = []ui.Fact{
		{Label: say.T("refusals.col.key"), Text: given(r.KeyName)}, {Label: say.T("refusals.col.model"), Text: given(r.Model)},
		{Label: say.T("refusals.endpoint"), Text: endpointPath(r.Endpoint)},
	}
	return m
}

// endpointPath is where the call was sent to: chat.completions is /v1/chat/completions.
func endpointPath(name string) string {
	if name == "" {
		return "–"
	}
	return "/v1/" + strings.ReplaceAll(name, ".", "/")
}

// refusalFigures are the limit, what was asked of it, what remained and when it resets; none where no limit was in the way.
func refusalFigures(say i18n.Printer, r tenancy.Refusal, now time.Time) []ui.StatModel {
	if r.Limit == "" || r.LimitValue == 0 && r.Asked == 0 {
		return resetFigure(say, r, now)
	}
	if r.Limit == tenancy.LimitSpendCap {
		return append([]ui.StatModel{
			{Label: say.T("spend.cap"), Value: brlOf(say, r.LimitValue), Note: say.T("spend.refused.limit_note")},
			{Label: say.T("refusals.asked"), Value: priceOf(say, r.Asked), Note: say.T("spend.refused.asked_note")},
			{Label: say.T("refusals.remaining"), Value: priceOf(say, r.Remaining), Note: say.T("refusals.remaining_note")},
		}, resetFigure(say, r, now)...)
	}
	unit := say.T("refusals.unit." + r.Limit)
	list := []ui.StatModel{{
		Label: say.T("refusals.limit"), Value: say.Compact(r.LimitValue), Exact: say.Int(r.LimitValue),
		Note: say.T("refusals.of."+scopeOf(r), "unit", unit, "key", r.KeyName),
	}}
	tokens := strings.Contains(r.Limit, "tokens")
	if tokens {
		list = append(list, ui.StatModel{Label: say.T("refusals.asked"), Value: say.Compact(r.Asked), Exact: say.Int(r.Asked), Note: say.T("refusals.asked_note")})
	}
	if r.Reason != "rate_limited" || !tokens { // what is left of tokens a minute is not kept: it grows back all the time
		list = append(list, ui.StatModel{Label: say.T("refusals.remaining"), Value: say.Compact(r.Remaining), Exact: say.Int(r.Remaining), Note: say.T("refusals.remaining_note")})
	}
	return append(list, resetFigure(say, r, now)...)
}

// resetFigure is when trying again makes sense, at a moment and from now; none where time alone changes nothing.
func resetFigure(say i18n.Printer, r tenancy.Refusal, now time.Time) []ui.StatModel {
	if r.ResetsAt.IsZero() || r.Reason == "quota_busy" { // what is held comes back long before the period ends
		return nil
	}
	at := r.ResetsAt.In(say.Zone())
	figure := ui.StatModel{Label: say.T("refusals.resets"), Value: at.Format("15:04:05"), Exact: say.DateTime(at), Note: untilReset(say, r.ResetsAt, now)}
	switch {
	case r.Reason == "quota_exhausted":
		figure.Label, figure.Value, figure.Note = say.T("refusals.renews"), say.Date(at), say.Clock(at)+" · "+say.Relative(r.ResetsAt, now)
		if !r.ResetsAt.After(now) {
			figure.Note = say.T("refusals.renewed")
		}
	case r.Limit == "":
		figure.Label = say.T("refusals.again")
	}
	return []ui.StatModel{figure}
}

// untilReset is how long it still takes, to the second where that is soon, or that it is over.
func untilReset(say i18n.Printer, reset, now time.Time) string {
	switch left := reset.Sub(now); {
	case left <= 0:
		return say.T("refusals.over", "ago", say.Relative(reset, now))
	case left < time.Hour:
		return say.T("refusals.in", "time", (left + time.Second - 1).Truncate(time.Second))
	}
	return say.Relative(reset, now)
}
