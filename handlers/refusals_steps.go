package handlers

import (
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/refusals"
	"github.com/fila-ia/filaia/views/ui"
)

// advice collects what to do about a refused call.
type advice struct {
	say  i18n.Printer
	r    tenancy.Refusal
	now  time.Time
	list []refusals.Step
}

// add gives a piece of advice by its key, which may speak of when the limit resets and of what remained.
func (a *advice) add(keys ...string) {
	for _, key := range keys {
		a.list = append(a.list, refusals.Step{Text: a.text(key)})
	}
}

// link is add with a way there.
func (a *advice) link(key, label, href string) {
	a.list = append(a.list, refusals.Step{Text: a.text(key), Link: ui.Link{Label: a.say.T("refusals.link." + label), Href: href}})
}

func (a *advice) text(key string) string {
	return a.say.T("refusals.do."+key, "when", a.when(), "remaining", a.r.Remaining, "n", a.r.LimitValue, "key", a.r.KeyName, "model", a.r.Model)
}

// when names the moment of the reset.
func (a *advice) when() string {
	if a.r.Reason == "quota_exhausted" {
		return a.say.DateTime(a.r.ResetsAt)
	}
	return a.r.ResetsAt.In(a.say.Zone()).Format("15:04:05")
}

// wait says until when, or that it is over.
func (a *advice) wait() {
	switch {
	case a.r.ResetsAt.IsZero():
		a.add("retry")
	case a.r.ResetsAt.After(a.now):
		a.add("wait")
	case a.r.Limit == "":
		a.add("again")
	default:
		a.add("over")
	}
}

// customerSteps is what a customer can do.
func customerSteps(say i18n.Printer, r tenancy.Refusal, now time.Time) []refusals.Step {
	a := &advice{say: say, r: r, now: now}
	switch kind := refusalKind(r); kind {
	case "rate_requests", "rate_parallel", "rate_tokens":
		a.wait()
		a.add(map[string]string{"rate_requests": "spread", "rate_parallel": "fewer_at_once", "rate_tokens": "lower_max"}[kind], "sdk_waits")
		switch scopeOf(r) {
		case "key":
			a.link("more_key", "keys", "/portal/keys")
		case "tenant":
			a.add("more_tenant")
		default:
			a.link("more_plan", "plan", "/portal")
		}
	case "quota_input", "quota_output":
		if r.Remaining > 0 && r.ResetsAt.After(now) {
			a.add(map[string]string{"quota_input": "shorten_to", "quota_output": "lower_max_to"}[kind])
		}
		if r.ResetsAt.After(now) {
			a.link("bigger_plan", "plan", "/portal")
			a.add("until")
		} else {
			a.add("renewed")
		}
	case "spend_cap":
		if !r.ResetsAt.After(now) {
			a.add("renewed")
			break
		}
		a.link("raise_cap", "spend_cap", "/portal/spend-cap")
		if r.Remaining > 0 {
			a.add("lower_max")
		}
		a.add("until")
	case "quota_busy":
		a.add("retry", "lower_max")
		a.link("bigger_plan", "plan", "/portal")
	case "provider_away", "provider_busy", "provider_timeout":
		a.add("not_you")
		a.wait()
		if kind == "provider_timeout" {
			a.add("stream")
		}
		a.link("other_model", "keys", "/portal/keys")
	case "not_recordable", "database_away":
		a.add("not_you")
		a.wait()
		a.add("tell_us")
	case "unknown_model":
		a.add("spelling")
		a.link("key_models", "keys", "/portal/keys")
		a.add("ask_model")
	case "expired_key":
		a.link("new_key", "keys", "/portal/keys")
		a.add("replace_key")
	case "tenant_inactive":
		a.add("contact")
	default:
		a.add("retry", "tell_us")
	}
	return a.list
}

// teamSteps is what the team can do; who may change nothing is led to no form.
func teamSteps(say i18n.Printer, r tenancy.Refusal, now time.Time, mayEdit bool) []refusals.Step {
	a := &advice{say: say, r: r, now: now}
	tenant, key := tenantPath(r.TenantID), keyPath(r.KeyID)
	form := func(page, form string) string {
		if mayEdit {
			return page + form
		}
		return page
	}
	switch kind := refusalKind(r); kind {
	case "rate_requests", "rate_parallel", "rate_tokens":
		a.wait()
		switch scopeOf(r) {
		case "key":
			a.link("team.raise_key", "limits", form(key, "/limits"))
		case "tenant":
			a.link("team.raise_tenant", "tenant", form(tenant, "/edit"))
		default:
			a.link("team.raise_plan", "change_plan", form(tenant, "/plan"))
		}
	case "quota_input", "quota_output":
		if r.ResetsAt.After(now) {
			a.link("team.bigger_plan", "change_plan", form(tenant, "/plan"))
			a.add("team.until")
		} else {
			a.add("renewed")
		}
	case "spend_cap":
		if !r.ResetsAt.After(now) {
			a.add("renewed")
			break
		}
		a.link("team.raise_cap", "spend_cap", form(tenant, "/spend-cap"))
		a.link("team.bigger_plan", "change_plan", form(tenant, "/plan"))
		a.add("team.until")
	case "quota_busy":
		a.add("team.busy")
		a.link("team.bigger_plan", "change_plan", form(tenant, "/plan"))
	case "provider_away", "provider_busy", "provider_timeout":
		a.link("team.look", "operations", "/operations")
		a.link("team.route", "models", "/models")
	case "not_recordable":
		a.add("team.disk")
	case "database_away":
		a.add("team.database")
	case "unknown_model":
		a.link("team.model", "models", "/models")
		a.link("team.key_models", "key", key)
	case "expired_key":
		if mayEdit {
			a.link("team.new_key", "new_key", "/keys/new?tenant="+strconv.FormatInt(r.TenantID, 10))
		} else {
			a.link("team.new_key", "key", key)
		}
	case "tenant_inactive":
		a.link("team.tenant", "tenant", tenant)
	default:
		a.add("team.log")
	}
	return a.list
}
