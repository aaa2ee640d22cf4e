package alert

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// The most that a rule may hold.
const (
	MaxName       = 120
	MaxThresholds = 10
	MaxAddresses  = 20
	MaxChannels   = 10
	MaxWindow     = 24 * 60     // minutes
	MaxWait       = 7 * 24 * 60 // minutes until something is raised again, or others are told
)

// Validate normalises the rule and tells every rejected field at once, by the names of its form: name, audience, scope, plan,
// tenant, key, metric, unit, thresholds, direction, window, rearm, roles, contacts, addresses, language, channels, to,
// quiet, daily_at, escalate_after, escalate_roles, escalate_addresses and escalate_to.
func (r *Rule) Validate() error {
	var f fault.Form
	r.Name = strings.Join(strings.Fields(r.Name), " ")
	f.Check(utf8.RuneCountInString(r.Name) <= MaxName, "name", "error.too_long", "max", MaxName)
	f.Check(!hasControl(r.Name), "name", "alerts.error.control")
	kind, known := r.Metric.Kind()
	if known {
		r.checkKind(&f, kind)
	} else {
		f.Reject("metric", "error.choice", "value", short(string(r.Metric)), "accepted", joined(metrics()))
	}
	r.checkScope(&f)
	r.checkTimes(&f)
	r.To.check(&f, r)
	r.checkEscalation(&f)
	return f.Err()
}

func metrics() []Metric {
	var list []Metric
	for _, k := range Kinds() {
		list = append(list, k.Metric)
	}
	return list
}

func (r *Rule) checkKind(f *fault.Form, kind Kind) {
	accept(f, "audience", kind.Audiences, r.Audience)
	accept(f, "scope", kind.Scopes, r.Scope)
	if accept(f, "unit", kind.Units, r.Unit) {
		r.checkThresholds(f)
	}
	r.Direction = cmp.Or(r.Direction, Up)
	directions := []Direction{Up}
	if kind.Both {
		directions = append(directions, Down, Both)
	}
	accept(f, "direction", directions, r.Direction)
	if kind.Window == 0 {
		r.Window = 0
	} else {
		f.Check(r.Window >= 1 && r.Window <= MaxWindow, "window", "alerts.error.window", "value", r.Window, "min", 1, "max", MaxWindow)
	}
}

// checkThresholds sorts them; the same one twice is one.
func (r *Rule) checkThresholds(f *fault.Form) {
	r.Thresholds = slices.Clone(r.Thresholds)
	slices.Sort(r.Thresholds)
	r.Thresholds = slices.Compact(r.Thresholds)
	if n := len(r.Thresholds); n == 0 || n > MaxThresholds {
		f.Reject("thresholds", "alerts.error.thresholds", "max", MaxThresholds)
		return
	}
	least, most := r.Metric.bounds(r.Unit)
	for _, t := range r.Thresholds {
		if t < least || t > most {
			f.Reject("thresholds", "alerts.error.threshold."+string(r.Unit), "value", plain(r.Unit, t), "min", plain(r.Unit, least), "max", plain(r.Unit, most))
			return
		}
	}
	// A third and three times the usual are both 300 %: less than a whole would be neither more nor less.
	f.Check(r.Metric != SuddenChange || r.Thresholds[0] > Whole, "thresholds", "alerts.error.change", "value", plain(Percent, r.Thresholds[0]))
}

// bounds is what a threshold may be.
func (m Metric) bounds(u Unit) (least, most int64) {
	switch {
	case u == Percent && (m == ErrorRate || m == SpendCap):
		return 1, Whole
	case u == Percent:
		return 1, 10 * Whole
	case u == Tokens:
		return 1, tenancy.MaxTokens
	case u == BRL || u == USD:
		return brl / 100, 1_000_000_000 * brl
	case u == Millis:
		return 1, 3_600_000
	case u == Seconds:
		return 1, 7 * 24 * 3600
	case u == Days:
		return 1, 3650
	}
	return 1, 1_000_000_000
}

// plain is a threshold's number as messages take it: a float64 where it is not whole.
func plain(u Unit, n int64) any {
	one := int64(1)
	switch u {
	case Percent:
		one = 100
	case BRL, USD:
		one = brl
	}
	if n%one == 0 {
		return n / one
	}
	return float64(n) / float64(one)
}

// checkScope keeps what the scope is about and drops what it is not.
func (r *Rule) checkScope(f *fault.Form) {
	if r.Scope != Plan {
		r.PlanID, r.PlanName = 0, ""
	}
	if r.Scope != Tenant && r.Scope != Key {
		r.TenantID, r.TenantName = 0, ""
	}
	if r.Scope != Key {
		r.KeyID, r.KeyName = 0, ""
	}
	f.Check(r.Scope != Plan || r.PlanID > 0, "plan", "alerts.error.plan")
	f.Check(r.Scope != Tenant && r.Scope != Key || r.TenantID > 0, "tenant", "alerts.error.tenant")
	f.Check(r.Scope != Key || r.KeyID > 0, "key", "alerts.error.key")
}

func (r *Rule) checkTimes(f *fault.Form) {
	f.Check(r.Rearm >= 0 && r.Rearm <= MaxWait, "rearm", "alerts.error.minutes", "value", r.Rearm, "min", 0, "max", MaxWait)
	if q := r.Quiet; q != nil {
		f.Check(q.From.valid() && q.Until.valid(), "quiet", "alerts.error.time")
		f.Check(q.From != q.Until, "quiet", "alerts.error.quiet_whole_day")
	}
	f.Check(r.DailyAt == nil || r.DailyAt.valid(), "daily_at", "alerts.error.time")
}

func (m Minute) valid() bool { return m >= 0 && m < 24*60 }

func (r *Rule) checkEscalation(f *fault.Form) {
	e := r.Escalation
	if e == nil {
		return
	}
	f.Check(e.After >= 1 && e.After <= MaxWait, "escalate_after", "alerts.error.minutes", "value", e.After, "min", 1, "max", MaxWait)
	e.Roles = checkRoles(f, "escalate_roles", r.Audience, e.Roles)
	e.Addresses = checkAddresses(f, "escalate_addresses", e.Addresses)
	f.Check(len(e.Roles)+len(e.Addresses) > 0, "escalate_to", "alerts.error.nobody_escalated")
}

func (t *Recipients) check(f *fault.Form, r *Rule) {
	t.Roles = checkRoles(f, "roles", r.Audience, t.Roles)
	t.Addresses = checkAddresses(f, "addresses", t.Addresses)
	t.Language = cmp.Or(t.Language, i18n.PtBR)
	accept(f, "language", i18n.Langs(), t.Language)
	f.Check(!t.Contacts || r.Audience == Customer, "contacts", "alerts.error.contacts")
	t.Channels = slices.Clone(t.Channels)
	slices.Sort(t.Channels)
	t.Channels = slices.Compact(t.Channels)
	f.Check(len(t.Channels) <= MaxChannels, "channels", "alerts.error.channels_many", "given", len(t.Channels), "max", MaxChannels)
	ofOne := r.Scope == Tenant || r.Scope == Key
	f.Check(len(t.Channels) == 0 || r.Audience != Customer || ofOne, "channels", "alerts.error.channels_scope")
	told := len(t.Roles)+len(t.Addresses)+len(t.Channels) > 0 || t.Contacts
	f.Check(told || !r.Enabled, "to", "alerts.error.nobody")
}

// RolesFor are the roles that an audience has, in order of power.
func RolesFor(a Audience) []tenancy.Role {
	var fitting []tenancy.Role
	for _, role := range tenancy.Roles {
		if role.OfTenant() == (a == Customer) {
			fitting = append(fitting, role)
		}
	}
	return fitting
}

// checkRoles puts the roles in order, each once.
func checkRoles(f *fault.Form, field string, a Audience, given []tenancy.Role) []tenancy.Role {
	fitting := RolesFor(a)
	for _, role := range given {
		if !accept(f, field, fitting, role) {
			return given
		}
	}
	var roles []tenancy.Role
	for _, role := range fitting {
		if slices.Contains(given, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// checkAddresses writes addresses in small letters, each once.
func checkAddresses(f *fault.Form, field string, given []string) []string {
	var list []string
	for _, text := range given {
		address := strings.ToLower(strings.TrimSpace(text))
		if address == "" {
			continue
		}
		if !tenancy.ValidEmail(address) || hasControl(address) {
			f.Reject(field, "error.email", "value", short(strings.Map(visible, address)))
			return given
		}
		if _, domain, _ := strings.Cut(address, "@"); !strings.Contains(domain, ".") { // what only this network knows is nobody's address
			f.Reject(field, "alert_saving.error.domain", "value", short(address))
			return given
		}
		if !slices.ContainsFunc(list, func(known string) bool { return SameAddress(known) == SameAddress(address) }) {
			list = append(list, address)
		}
	}
	f.Check(len(list) <= MaxAddresses, field, "alerts.error.addresses_many", "given", len(list), "max", MaxAddresses)
	return list
}

// accept rejects what is none of the choices.
func accept[T ~string](f *fault.Form, field string, choices []T, given T) bool {
	if slices.Contains(choices, given) {
		return true
	}
	f.Reject(field, "error.choice", "value", short(string(given)), "accepted", joined(choices))
	return false
}

func joined[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = string(one)
	}
	return strings.Join(texts, ", ")
}

// visible shows a control character as a space.
func visible(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// short keeps a message readable whatever was sent.
func short(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:60]) + "…"
	}
	return text
}
