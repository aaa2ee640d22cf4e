package handlers

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// typedRule is a rule as its form was sent.
type typedRule struct {
	alert.Rule
	thresholds []string // as typed, empty ones left out
	reshaped   bool     // another metric, audience or unit than the fields were made for: what they held was replaced by what is usual
	remetered  bool     // of those, another metric
}

// ruleShape says what the form's fields were made for.
func ruleShape(r alert.Rule) string {
	return string(r.Metric) + "|" + string(r.Audience) + "|" + string(r.Unit)
}

// The usual times of a rule's form.
const (
	usualQuietFrom  = alert.Minute(22 * 60)
	usualQuietUntil = alert.Minute(7 * 60)
	usualDaily      = alert.Minute(8 * 60)
	usualEscalation = 60
	usualRearm      = 60
)

// usualRule is what the form of a new rule begins with.
func usualRule(m alert.Metric, a alert.Audience) alert.Rule {
	r := alert.Rule{Metric: m, Audience: a, Scope: alert.All, Direction: alert.Up, Rearm: usualRearm, Enabled: true, LastAtOnce: true}
	r.To.Language = i18n.PtBR
	meter(&r)
	address(&r)
	return r
}

// meter gives the rule what is usual for its metric.
func meter(r *alert.Rule) {
	kind, known := r.Metric.Kind()
	if !known {
		kind = alert.Kinds()[0]
		r.Metric = kind.Metric
	}
	r.Unit, r.Thresholds, r.Window, r.Direction = kind.Units[0], kind.Usual, kind.Window, alert.Up
	if !slices.Contains(kind.Audiences, r.Audience) {
		r.Audience = kind.Audiences[0]
	}
	if !slices.Contains(kind.Scopes, r.Scope) {
		r.Scope = kind.Scopes[0]
	}
}

// address gives the rule the usual recipients of its audience.
func address(r *alert.Rule) {
	r.To.Roles, r.To.Contacts, r.To.Channels = []tenancy.Role{tenancy.Owner, tenancy.Manager}, false, nil
	if r.Audience == alert.Customer {
		r.To.Roles, r.To.Contacts = []tenancy.Role{tenancy.TenantAdmin}, true
	}
	if r.Escalation != nil {
		r.Escalation.Roles = nil
	}
}

// usualTokens is the threshold that a quota counted in tokens begins with.
const usualTokens = 1_000_000

// readRule reads the form. What cannot be read is noted in f.
func readRule(f *form) typedRule {
	t := typedRule{Rule: alert.Rule{
		Name: f.Text("name"), Audience: alert.Audience(f.Text("audience")), Scope: alert.Scope(f.Text("scope")),
		PlanID: f.id("plan"), TenantID: f.id("tenant"), KeyID: f.id("key"), Metric: alert.Metric(f.Text("metric")), Unit: alert.Unit(f.Text("unit")),
		Direction: alert.Direction(f.Text("direction")), Enabled: f.Checked("enabled"), LastAtOnce: f.Checked("last_at_once"),
	}}
	before := strings.Split(f.Text("shape"), "|")
	metricBefore, audienceBefore, unitBefore := string(t.Metric), string(t.Audience), string(t.Unit)
	if len(before) == 3 {
		metricBefore, audienceBefore, unitBefore = before[0], before[1], before[2]
	}
	t.readRecipients(f)
	t.readTimes(f)
	t.Rearm = usualRearm
	if kind, _ := t.Metric.Kind(); kind.Repeats == alert.PerEpisode && string(t.Metric) == metricBefore {
		t.Rearm = int(min(f.IntOr("rearm", usualRearm), beyondRange))
	}
	switch {
	case string(t.Metric) != metricBefore:
		meter(&t.Rule)
		t.reshaped, t.remetered = true, true
	case string(t.Unit) != unitBefore:
		t.Thresholds, t.reshaped = usualIn(t.Metric, t.Unit), true
	default:
		t.readThresholds(f)
		if kind, _ := t.Metric.Kind(); kind.Window > 0 {
			t.Window = int(min(f.Int("window"), beyondRange))
		}
	}
	if string(t.Audience) != audienceBefore {
		address(&t.Rule)
		t.reshaped = true
	}
	return t
}

func usualIn(m alert.Metric, u alert.Unit) []int64 {
	if kind, _ := m.Kind(); u != alert.Tokens && len(kind.Usual) > 0 {
		return kind.Usual
	}
	return []int64{usualTokens}
}

// id reads what was chosen from a list; nothing chosen is 0.
func (f *form) id(name string) int64 {
	n, err := strconv.ParseInt(f.Text(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (t *typedRule) readThresholds(f *form) {
	wrong := ""
	for _, text := range f.All("thresholds") {
		for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' }) { // a list may be pasted
			one = strings.TrimSpace(one)
			if one == "" || len(t.thresholds) > 4*alert.MaxThresholds {
				continue
			}
			t.thresholds = append(t.thresholds, one)
			n, key := readAmount(at(f.c).Say, t.Metric, t.Unit, one)
			if key != "" && wrong == "" {
				f.Reject("thresholds", key, "value", short(one, 40), "n", decimalsOf(t.Metric, t.Unit))
				wrong = key
			}
			t.Thresholds = append(t.Thresholds, n)
		}
	}
}

func (t *typedRule) readRecipients(f *form) {
	for _, role := range f.All("roles") {
		if role == "contacts" {
			t.To.Contacts = true
		} else {
			t.To.Roles = append(t.To.Roles, tenancy.Role(role))
		}
	}
	t.To.Addresses = typedAddresses(f.Text("addresses"))
	t.To.Language = i18n.Lang(f.Text("language"))
	for _, text := range f.All("channels") {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			t.To.Channels = append(t.To.Channels, id)
		}
	}
}

// typedAddresses are apart by lines, commas or semicolons, and by spaces where nothing but addresses is between them. Of what a mail
// program copies, "Ana Silva <ana@empresa.com.br>", the address is taken.
func typedAddresses(text string) []string {
	quoted := false
	pieces := strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == '\r' || r == '\n' || !quoted && (r == ',' || r == ';')
	})
	var list []string
	for _, piece := range pieces {
		piece = strings.TrimSpace(piece)
		words := strings.Fields(piece)
		if from := strings.LastIndex(piece, "<"); from >= 0 && strings.HasSuffix(piece, ">") {
			words = []string{piece[from+1 : len(piece)-1]}
		} else if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(w, "@") }) {
			words = []string{piece}
		}
		list = append(list, words...)
	}
	return list
}

func (t *typedRule) readTimes(f *form) {
	if f.Checked("quiet") {
		t.Quiet = &alert.Quiet{From: f.minute("quiet_from"), Until: f.minute("quiet_until")}
		if read := problemsOf(f.Err()); read["quiet_from"].Key != "" || read["quiet_until"].Key != "" {
			t.Quiet = &alert.Quiet{From: usualQuietFrom, Until: usualQuietUntil} // nothing that could not be read is also wrong
		}
	}
	if f.Checked("daily") {
		at := f.minute("daily_at")
		t.DailyAt = &at
	}
	if f.Checked("escalate") {
		e := alert.Escalation{After: int(min(f.Int("escalate_after"), beyondRange)), Addresses: typedAddresses(f.Text("escalate_addresses"))}
		for _, role := range f.All("escalate_roles") {
			e.Roles = append(e.Roles, tenancy.Role(role))
		}
		t.Escalation = &e
	}
}

// minute reads a time of day such as 22:00.
func (f *form) minute(name string) alert.Minute {
	at, err := time.Parse("15:04", short(f.Text(name), 5))
	if err != nil {
		f.Reject(name, "alerts.error.time")
		return 0
	}
	return alert.Minute(at.Hour()*60 + at.Minute())
}
