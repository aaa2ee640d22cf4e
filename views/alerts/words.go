package alerts

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
)

// Rule is a rule as pages show it. Audience, scope, metric, unit, direction and roles are as they are stored.
type Rule struct {
	ID             string // "" before it is saved
	Name           string // given by a person; may be empty
	Audience       string
	Scope          string
	Plan           string // names of what it covers
	Tenant, Key    string
	PlanID         string
	TenantID       string
	KeyID          string
	Metric, Unit   string
	Thresholds     []int64 // percent in hundredths, money in micros
	Direction      string
	Window         int  // minutes; 0: it looks at no window
	Whole          bool // it looks at the installation as a whole, not at each customer
	Enabled        bool
	Roles          []string
	Contacts       bool
	Addresses      []string
	Channels       []Channel
	Quiet          *Span
	DailyAt        *int // minute of the day
	LastAtOnce     bool
	EscalateAfter  int // minutes; 0: it does not
	EscalateRoles  []string
	EscalateTo     []string
	Plans, Tenants int // how many have closer rules
	Keys           int
	Nearer         bool // it stands in place of a wider rule
}

// Channel is a way besides e-mail.
type Channel struct {
	Name string
	Gone bool // switched off
}

// Span is a time of day, in minutes.
type Span struct{ From, Until int }

// When says in a sentence what a rule watches.
func (r Rule) When(p i18n.Printer) string { return p.T("alerts.sentence", "what", r.Condition(p)) }

// Condition is the sentence after "when".
func (r Rule) Condition(p i18n.Printer) string {
	key := "alerts.when." + r.Metric + "." + r.Unit
	if r.Metric == changeMetric {
		key = "alerts.when." + r.Metric + "." + r.Direction
	}
	if r.Whole {
		key += ".whole"
	}
	n := int64(0)
	if len(r.Thresholds) > 0 {
		n = r.Thresholds[len(r.Thresholds)-1]
	}
	if len(r.Thresholds) > 1 {
		n = 0 // more than one, whatever they are
	}
	return p.T(key, "subject", r.subject(p), "key", r.keyWords(p), "values", r.values(p), "n", n, "window", p.Duration(time.Duration(r.Window)*time.Minute))
}

// changeMetric is watched in multiples of the usual.
const changeMetric = "sudden_change"

func (r Rule) subject(p i18n.Printer) string {
	return p.T("alerts.subject."+r.Scope, "plan", r.Plan, "tenant", r.Tenant, "key", r.Key)
}

func (r Rule) keyWords(p i18n.Printer) string {
	return p.T("alerts.subject_key."+r.Scope, "plan", r.Plan, "tenant", r.Tenant, "key", r.Key)
}

// Covers says in few words how far a rule reaches.
func (r Rule) Covers(p i18n.Printer) string {
	return p.T("alerts.covers."+r.Scope, "plan", r.Plan, "tenant", r.Tenant, "key", r.Key)
}

func (r Rule) values(p i18n.Printer) string {
	if len(r.Thresholds) == 0 {
		return "…"
	}
	words := make([]string, len(r.Thresholds))
	for i, t := range r.Thresholds {
		words[i] = Amount(p, r.Metric, r.Unit, t)
	}
	return list(p, words, "alerts.or")
}

// Amount writes a threshold or value: 80%, R$ 50,00, 10 min. What a sentence counts (tokens, days, calls) is a number alone, and a
// sudden change a multiple.
func Amount(p i18n.Printer, metric, unit string, n int64) string {
	switch unit {
	case "percent":
		if metric == changeMetric {
			return decimal(p, n, 10_000)
		}
		return decimal(p, n, 100) + "%"
	case "brl":
		return p.Money(n, "BRL")
	case "usd":
		return p.Money(n, "USD")
	case "ms":
		return p.Duration(time.Duration(n) * time.Millisecond)
	case "seconds":
		return p.Duration(time.Duration(n) * time.Second)
	}
	return p.Int(n)
}

// decimal writes n/one without decimals that say nothing.
func decimal(p i18n.Printer, n, one int64) string {
	if n%one == 0 {
		return p.Int(n / one)
	}
	places := len(strconv.FormatInt(one, 10)) - 1
	text := p.Decimal(float64(n)/float64(one), places)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".,")
}

// list joins words: a, b ou c.
func list(p i18n.Printer, words []string, joint string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + p.T(joint) + " " + words[last]
}

// Told says who is told, and by which ways.
func (r Rule) Told(p i18n.Printer) string {
	people := r.people(p, r.Roles, r.Addresses)
	if r.Contacts {
		people = slices.Insert(people, len(r.Roles), p.T("alerts.contacts"))
	}
	for _, c := range r.Channels {
		if c.Gone {
			people = append(people, p.T("alerts.channel_gone", "name", c.Name))
		} else {
			people = append(people, c.Name)
		}
	}
	if len(people) == 0 {
		return p.T("alerts.told_nobody")
	}
	return sentence(list(p, people, "alerts.and"))
}

func (r Rule) people(p i18n.Printer, roles, addresses []string) []string {
	var words []string
	for _, role := range roles {
		words = append(words, p.T("alerts.role."+role))
	}
	if len(addresses) > namedAddresses+1 { // the form names them all
		return append(append(words, addresses[:namedAddresses]...), p.T("alerts.more_addresses", "n", len(addresses)-namedAddresses))
	}
	return append(words, addresses...)
}

// namedAddresses is how many addresses a sentence names one by one.
const namedAddresses = 2

// sentence begins with a capital letter.
func sentence(text string) string {
	for _, first := range text {
		return strings.ToUpper(string(first)) + text[len(string(first)):]
	}
	return text
}

// Notes are what else holds for a rule, each in few words: what becomes of it by night, a daily summary, who is told next.
func (r Rule) Notes(p i18n.Printer) []string {
	var notes []string
	if r.Quiet != nil {
		notes = append(notes, p.T("alerts.note.quiet", "from", Clock(r.Quiet.From), "until", Clock(r.Quiet.Until)))
	}
	if r.DailyAt != nil {
		notes = append(notes, p.T("alerts.note.daily", "at", Clock(*r.DailyAt)))
	}
	if r.EscalateAfter > 0 && len(r.EscalateRoles)+len(r.EscalateTo) > 0 {
		who := list(p, r.people(p, r.EscalateRoles, r.EscalateTo), "alerts.and")
		notes = append(notes, p.T("alerts.note.escalate", "after", p.Duration(time.Duration(r.EscalateAfter)*time.Minute), "who", who))
	}
	return notes
}

// Scopes tells what stands in place of the rule, and what it stands in place of.
func (r Rule) Scopes(p i18n.Printer) string {
	var own []string
	count := func(n int, key string) {
		if n > 0 {
			own = append(own, p.T(key, "n", n))
		}
	}
	count(r.Plans, "alerts.own.plans")
	count(r.Tenants, "alerts.own.tenants")
	count(r.Keys, "alerts.own.keys")
	switch {
	case len(own) > 0:
		return p.T("alerts.own", "who", list(p, own, "alerts.and"))
	case r.Nearer:
		return p.T("alerts.nearer")
	}
	return ""
}

// Clock writes a minute of the day: 22:00. Fields of time take and give the same.
func Clock(minute int) string {
	return time.Date(2000, 1, 1, 0, minute, 0, 0, time.UTC).Format("15:04")
}
