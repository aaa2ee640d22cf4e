package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// drawSituation invents a group: of one subject, by rules of either audience, with people who are reached in several ways.
func drawSituation(t *rapid.T) Situation {
	addresses := []string{"ana@x.com", "Ana@X.com", "bia@x.com", "dono@x.com", "BIA@x.com", "caixa@x.com"}
	zones := []string{"America/Sao_Paulo", "America/Manaus", "Europe/Lisbon", "Australia/Lord_Howe", "UTC"}
	zone := func(label string) *time.Location {
		z, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, label))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	language := rapid.SampledFrom(i18n.Langs())
	someAddresses := rapid.SliceOfN(rapid.SampledFrom(addresses), 0, 3)
	minute := rapid.Custom(func(t *rapid.T) Minute { return Minute(rapid.IntRange(0, 1439).Draw(t, "minute")) })
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 365*24*3600).Draw(t, "now")) * time.Second)
	s := Situation{Now: at, Zone: zone("installation"), Rules: map[int64]Rule{}}
	for i, role := range rapid.SliceOfN(rapid.SampledFrom([]tenancy.Role{tenancy.Owner, tenancy.Manager, tenancy.Viewer}), 0, 3).Draw(t, "team") {
		s.Team = append(s.Team, Person{Address: []string{"dono@x.com", "bia@x.com", "eva@x.com"}[i], Name: "Team", Role: role, Language: language.Draw(t, "language")})
	}
	s.Customer = &Party{ID: 7, Name: "Padaria", Email: rapid.SampledFrom([]string{"", "Caixa@x.com", "ana@x.com"}).Draw(t, "contact"), Language: language.Draw(t, "language"), Zone: zone("customer")}
	for i, role := range rapid.SliceOfN(rapid.SampledFrom([]tenancy.Role{tenancy.TenantAdmin, tenancy.TenantViewer}), 0, 2).Draw(t, "users") {
		s.Customer.Users = append(s.Customer.Users, Person{Address: []string{"ana@x.com", "leo@x.com"}[i], Name: "User", Role: role, Language: language.Draw(t, "language")})
	}
	s.Lines = []Line{{ID: 1, Kind: Slack, Name: "ours"}, {ID: 2, TenantID: 7, Kind: Webhook, Name: "theirs"}, {ID: 3, TenantID: 8, Kind: Webhook, Name: "others"}}
	group := uuid.UUID{1}
	for id := range int64(rapid.IntRange(1, 4).Draw(t, "rules")) {
		r := Rule{ID: id, Audience: rapid.SampledFrom(everyone).Draw(t, "audience"), Metric: rapid.SampledFrom([]Metric{InputQuota, OutputQuota, ErrorRate}).Draw(t, "metric"),
			Thresholds: []int64{50, 80, 100}, LastAtOnce: rapid.Bool().Draw(t, "last")}
		roles := rapid.SampledFrom(tenancy.Roles)
		r.To = Recipients{Roles: rapid.SliceOfN(roles, 0, 3).Draw(t, "roles"), Contacts: rapid.Bool().Draw(t, "contacts"), Addresses: someAddresses.Draw(t, "addresses"),
			Language: language.Draw(t, "language"), Channels: rapid.SliceOfN(rapid.Int64Range(1, 3), 0, 3).Draw(t, "channels")}
		if rapid.Bool().Draw(t, "quiet") {
			r.Quiet = &Quiet{minute.Draw(t, "from"), minute.Draw(t, "until")}
		}
		if rapid.IntRange(0, 3).Draw(t, "daily") == 0 {
			m := minute.Draw(t, "at")
			r.DailyAt = &m
		}
		if rapid.Bool().Draw(t, "escalates") {
			r.Escalation = &Escalation{After: rapid.IntRange(1, 60).Draw(t, "after"), Roles: []tenancy.Role{tenancy.Owner}, Addresses: []string{"boss@x.com"}}
		}
		s.Rules[id] = r
		for _, threshold := range rapid.SliceOfNDistinct(rapid.SampledFrom(r.Thresholds), 1, 3, rapid.ID).Draw(t, "thresholds") {
			s.Events = append(s.Events, Event{ID: int64(len(s.Events) + 1), Group: group, RuleID: id, Audience: r.Audience, Metric: r.Metric, Threshold: threshold, Subject: Subject{Key: "tenant:7", TenantID: 7}})
		}
		if rapid.IntRange(0, 3).Draw(t, "snoozed") == 0 {
			s.Snoozes = append(s.Snoozes, Snooze{id, "tenant:7", at.Add(time.Duration(rapid.IntRange(-60, 600).Draw(t, "until")) * time.Minute)})
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "opted out") == 0 {
		s.Optouts = []Optout{{7, rapid.SampledFrom(addresses).Draw(t, "address"), rapid.SampledFrom([]Metric{"", InputQuota}).Draw(t, "of")}}
	}
	return s
}

// entitled tells, the long way round, who must hear of an event.
func entitled(s Situation, e Event) []string {
	to := s.Rules[e.RuleID].To
	var all []string
	wanted := func(address string) bool {
		for _, o := range s.Optouts {
			if e.Audience == Customer && strings.EqualFold(o.Address, address) && (o.Metric == "" || o.Metric == e.Metric) {
				return false
			}
		}
		return address != ""
	}
	people, owner := s.Team, int64(0)
	if e.Audience == Customer {
		people, owner = s.Customer.Users, 7
	}
	for _, p := range people {
		if slices.Contains(to.Roles, p.Role) && wanted(p.Address) {
			all = append(all, p.Address)
		}
	}
	if e.Audience == Customer && to.Contacts && wanted(s.Customer.Email) {
		all = append(all, s.Customer.Email)
	}
	for _, a := range to.Addresses {
		if wanted(a) {
			all = append(all, a)
		}
	}
	for _, l := range s.Lines {
		if slices.Contains(to.Channels, l.ID) && l.TenantID == owner {
			all = append(all, fmt.Sprintf("channel:%d", l.ID))
		}
	}
	return all
}

func (s *Situation) event(id int64) Event {
	i := slices.IndexFunc(s.Events, func(e Event) bool { return e.ID == id })
	return s.Events[i]
}

func TestEverybodyEntitledIsToldOnceAndNobodyElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		told := map[string]map[string]int{} // reader, thing
		thing := func(e Event) string { return fmt.Sprint(e.Metric, e.Threshold) }
		byReader := map[string]int{}
		for _, d := range Decide(s).Deliveries {
			if d.Recipient != strings.ToLower(d.Recipient) || d.Batch == "" || d.State != Pending || len(d.EventIDs) == 0 {
				t.Errorf("a message is not as it should be: %+v", d)
			}
			if (d.Audience == Customer) != (d.TenantID == 7) || (d.Audience == Operator) != (d.TenantID == 0) {
				t.Errorf("whose is %+v", d)
			}
			if told[d.Recipient] == nil {
				told[d.Recipient] = map[string]int{}
			}
			awake := false
			for _, id := range d.EventIDs {
				e := s.event(id)
				told[d.Recipient][string(e.Audience)+thing(e)+fmt.Sprint(e.RuleID)]++
				awake = awake || !s.snoozedUntil(&e).After(s.Now)
				if d.Audience == Customer && e.Audience == Operator {
					t.Errorf("a customer hears of the team's event %d", id)
				}
				if !slices.ContainsFunc(entitled(s, e), func(a string) bool { return strings.EqualFold(a, d.Recipient) }) {
					t.Errorf("%s hears of event %d and should not", d.Recipient, id)
				}
			}
			if awake {
				byReader[d.Recipient]++
			}
		}
		for reader, n := range byReader {
			if n != 1 {
				t.Errorf("%s gets %d messages at once", reader, n)
			}
		}
		for _, e := range s.Events {
			for _, reader := range entitled(s, e) {
				reader = strings.ToLower(reader)
				n := told[reader][string(e.Audience)+thing(e)+fmt.Sprint(e.RuleID)]
				if n == 0 && e.Audience == Customer { // one of the team hears of it as such
					for _, o := range s.Events {
						if o.Audience == Operator && thing(o) == thing(e) && told[reader][string(Operator)+thing(o)+fmt.Sprint(o.RuleID)] == 1 {
							n = 1
						}
					}
				}
				if n != 1 {
					t.Errorf("%s was told %d times of event %d", reader, n, e.ID)
				}
			}
		}
	})
}

func TestWhatIsHeldIsNeverSentInQuietHoursNorWhileSnoozed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		for _, d := range Decide(s).Deliveries {
			if d.DueAt.Before(s.Now) {
				t.Errorf("due in the past: %+v", d)
			}
			if held := d.DueAt.After(s.Now); held != (d.Kind == Digest) || held != strings.HasPrefix(d.Batch, "held:") {
				t.Errorf("due %s at %s: %+v", d.DueAt, s.Now, d)
			}
			excused := false // at least one rule must let it go then
			for _, id := range d.EventIDs {
				e := s.event(id)
				rule, zone := s.Rules[e.RuleID], s.zone(e.Audience)
				if s.snoozedUntil(&e).After(d.DueAt) {
					t.Errorf("event %d is snoozed until %s and told at %s", id, s.snoozedUntil(&e), d.DueAt)
				}
				m := minuteOf(d.DueAt, zone)
				quiet := rule.Quiet != nil && (rule.Quiet.From < rule.Quiet.Until && m >= rule.Quiet.From && m < rule.Quiet.Until ||
					rule.Quiet.From > rule.Quiet.Until && (m >= rule.Quiet.From || m < rule.Quiet.Until))
				excused = excused || !quiet || rule.LastAtOnce && e.Threshold == 100
			}
			// A customer's rule may let a message of the team go when its reader is both.
			if !excused && d.Audience == Operator && slices.ContainsFunc(s.Events, func(e Event) bool {
				return e.Audience == Customer && slices.ContainsFunc(entitled(s, e), func(a string) bool { return strings.EqualFold(a, d.Recipient) })
			}) {
				excused = true
			}
			if !excused {
				t.Errorf("sent in quiet hours: %+v", d)
			}
		}
	})
}

func TestThePlanIsTheSameHoweverEventsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		first := fmt.Sprintf("%+v", Decide(s))
		s.Events = rapid.Permutation(s.Events).Draw(t, "order")
		if again := fmt.Sprintf("%+v", Decide(s)); again != first {
			t.Errorf("one order:\n%s\nanother:\n%s", first, again)
		}
	})
}

// The words of a person are those they chose, and the earliest way to them decides nothing.
func TestALanguageIsThatOfThePerson(t *testing.T) {
	s := Situation{
		Now: time.Now(), Rules: map[int64]Rule{1: {ID: 1, Thresholds: []int64{1}, To: Recipients{
			Roles: []tenancy.Role{tenancy.TenantAdmin}, Contacts: true, Addresses: []string{"ANA@x.com", "x@y.com"}, Language: "en", Channels: []int64{2},
		}}},
		Customer: &Party{ID: 7, Name: "Padaria", Email: "Ana@x.com", Language: "en", Users: []Person{{"ana@x.com", "Ana", tenancy.TenantAdmin, "pt-BR"}}},
		Lines:    []Line{{2, 7, Teams, "Sala", "pt-BR"}},
		Events:   []Event{{ID: 1, RuleID: 1, Audience: Customer, Threshold: 1}},
	}
	var got []string
	for _, d := range Decide(s).Deliveries {
		got = append(got, fmt.Sprint(d.Recipient, " ", d.Name, " ", d.Language, " ", d.Channel))
	}
	want := []string{"ana@x.com Ana pt-BR email", "channel:2 Sala pt-BR teams", "x@y.com  en email"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnEscalationBeginsWhenTheFirstWasTold(t *testing.T) {
	zone := time.UTC
	night := time.Date(2026, 5, 4, 23, 0, 0, 0, zone)
	s := Situation{
		Now: night, Zone: zone, Team: []Person{{"a@x.com", "A", tenancy.Manager, "en"}, {"b@x.com", "B", tenancy.Owner, "en"}},
		Rules: map[int64]Rule{1: {ID: 1, Enabled: true, Thresholds: []int64{1, 2}, To: Recipients{Roles: []tenancy.Role{tenancy.Manager}}, Quiet: &Quiet{22 * 60, 8 * 60}, LastAtOnce: true,
			Escalation: &Escalation{After: 15, Roles: []tenancy.Role{tenancy.Owner}, Addresses: []string{"boss@x.com"}}}},
		Events: []Event{{ID: 1, RuleID: 1, Audience: Operator, Threshold: 1}},
	}
	morning := time.Date(2026, 5, 5, 8, 0, 0, 0, zone)
	p := Decide(s)
	if len(p.Escalations) != 1 || !p.Escalations[0].DueAt.Equal(morning.Add(15*time.Minute)) {
		t.Errorf("escalations %+v, want one 15 minutes after the morning's message", p.Escalations)
	}
	if _, again := Escalate(s, 1); !again.Equal(morning) {
		t.Errorf("looked again at %s, want the end of the quiet hours", again)
	}
	s.Now = morning.Add(15 * time.Minute)
	p, again := Escalate(s, 1)
	if len(p.Deliveries) != 2 || p.Deliveries[0].Recipient != "b@x.com" || p.Deliveries[1].Recipient != "boss@x.com" || p.Deliveries[0].Kind != Escalated || !again.IsZero() {
		t.Errorf("%+v, again %s", p, again)
	}
	for name, change := range map[string]func(*Event){
		"acknowledged": func(e *Event) { e.AcknowledgedAt = s.Now }, "resolved": func(e *Event) { e.ResolvedAt = s.Now },
	} {
		other := s
		other.Events = slices.Clone(s.Events)
		change(&other.Events[0])
		if p, again := Escalate(other, 1); len(p.Deliveries) != 0 || !again.IsZero() {
			t.Errorf("%s: %+v, again %s", name, p, again)
		}
	}
	// What is over may come back within the rule's time.
	rule := s.Rules[1]
	rule.Rearm = 60
	for over, looks := range map[time.Duration]bool{time.Minute: true, time.Hour: false} {
		other := s
		other.Rules, other.Events = map[int64]Rule{1: rule}, slices.Clone(s.Events)
		other.Events[0].ResolvedAt = s.Now.Add(-over)
		if p, again := Escalate(other, 1); len(p.Deliveries) != 0 || again.After(s.Now) != looks {
			t.Errorf("over for %s: %+v, again %s", over, p, again)
		}
		other.Events[0].AcknowledgedAt = s.Now
		if p, again := Escalate(other, 1); len(p.Deliveries) != 0 || !again.IsZero() {
			t.Errorf("over for %s and acknowledged: %+v, again %s", over, p, again)
		}
	}
	for name, change := range map[string]func(*Rule){
		"deleted": func(r *Rule) { r.DeletedAt = s.Now }, "switched off": func(r *Rule) { r.Enabled = false }, "to tell no others": func(r *Rule) { r.Escalation = nil },
	} {
		other, rule := s, s.Rules[1]
		change(&rule)
		other.Rules = map[int64]Rule{1: rule}
		if p, again := Escalate(other, 1); len(p.Deliveries) != 0 || !again.IsZero() {
			t.Errorf("the rule was %s: %+v, again %s", name, p, again)
		}
	}
	s.Snoozes = []Snooze{{1, "", s.Now.Add(time.Hour)}}
	if p, again := Escalate(s, 1); len(p.Deliveries) != 0 || !again.Equal(s.Now.Add(75*time.Minute)) {
		t.Errorf("snoozed: %+v, again %s", p, again)
	}
	s.Snoozes, s.Now, s.Events[0].Threshold = nil, night, 2
	if p, _ := Escalate(s, 1); len(p.Deliveries) != 2 {
		t.Errorf("the highest threshold waits for the morning: %+v", p)
	}
}

func TestAMessageLeadsWithTheHighestOfEachThing(t *testing.T) {
	events := []Event{
		{ID: 1, Metric: InputQuota, Threshold: 50}, {ID: 2, Metric: InputQuota, Threshold: 90}, {ID: 3, Metric: InputQuota, Threshold: 80, Lead: true},
		{ID: 4, Metric: OutputQuota, Threshold: 50}, {ID: 5, Metric: InputQuota, Threshold: 70, Subject: Subject{Key: "other"}},
	}
	Arrange(events)
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprint(e.ID, e.Lead))
	}
	if want := []string{"2 true", "4 true", "5 true", "3 false", "1 false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
