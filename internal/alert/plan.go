package alert

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Person is one who signs in and is not disabled.
type Person struct {
	Address  string
	Name     string
	Role     tenancy.Role
	Language i18n.Lang
}

// Party is the customer that a group of alerts is about.
type Party struct {
	ID       int64
	Name     string
	Email    string // may be empty
	Language i18n.Lang
	Zone     *time.Location
	Users    []Person
	Closed   bool // nobody of it is told any more
}

// Line is a channel that messages may take besides e-mail.
type Line struct {
	ID       int64
	TenantID int64 // 0: the operator's
	Kind     Channel
	Name     string
	Language i18n.Lang
}

// Snooze is until when nobody is told of a rule's subject.
type Snooze struct {
	RuleID  int64
	Subject string
	Until   time.Time
}

// Optout is an address that wants no more e-mail of a customer's metric; "" is all of them.
type Optout struct {
	TenantID int64
	Address  string
	Metric   Metric
}

// Situation is everything that decides who is told of a group of alerts, and when.
type Situation struct {
	Now      time.Time
	Zone     *time.Location // of the installation
	Events   []Event        // of one group
	Rules    map[int64]Rule // of the events, deleted ones too: what was raised is told
	Team     []Person
	Customer *Party // nil: the group is about none
	Lines    []Line // that are active
	Snoozes  []Snooze
	Optouts  []Optout
	Answers  []Answered // of addresses from outside; who is not among them has said nothing yet
}

// Planned is who is told of a group, and when it is looked at again.
type Planned struct {
	Deliveries  []Delivery // without ids
	Unsent      []Delivery // that their readers do not get, with the reason
	Escalations []Work
}

// Work is a job to be made: to bring a delivery, or to look whether a group must be told to others.
type Work struct {
	DeliveryID int64
	Channel    Channel
	Group      uuid.UUID // of an escalation; else zero
	RuleID     int64
	DueAt      time.Time // zero: at once
}

// Begun is a delivery that may be sent now, with what its message says.
type Begun struct {
	Delivery Delivery
	Events   []Event
	Zone     *time.Location // of the customer; nil: the installation's
	Days     []Day          // of the customer that all events are about; else none
	Ask      *Ask           // of a Confirmation
	// Unanswered is how many attempts were not answered, see ErrUnanswered.
	Unanswered int
}

// Decide says who is told of a group, and when. Everybody gets one message, however many rules, metrics and thresholds reach them
// and in however many ways; only what is snoozed comes apart from it, and later. What is held for the same reader until the same
// moment shares a batch, and so one message. It goes as early as its first event may, since then the reader is disturbed anyway.
func Decide(s Situation) Planned {
	s.Events = slices.SortedFunc(slices.Values(s.Events), func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	readers := map[string]*reader{}
	for i := range s.Events {
		e := &s.Events[i]
		rule, known := s.Rules[e.RuleID]
		if !known {
			continue
		}
		until := s.snoozedUntil(e)
		at := told{event: e, snoozed: until.After(s.Now)}
		at.due = rule.due(e, latest(s.Now, until), s.zone(e.Audience))
		for _, r := range s.readersOf(e, rule, rule.To) {
			who := r.recipient + string(r.unsent) // what is not sent is told apart from what is
			one := readers[who]
			if one == nil {
				one = &r
				readers[who] = one
			}
			one.reachedBy(r)
			one.events = append(one.events, at)
		}
	}
	var p Planned
	for _, r := range readers {
		p.Deliveries = append(p.Deliveries, s.messages(r)...)
	}
	slices.SortFunc(p.Deliveries, func(a, b Delivery) int {
		return cmp.Or(strings.Compare(a.Batch, b.Batch), strings.Compare(a.Recipient, b.Recipient))
	})
	p.Deliveries, p.Unsent = split(p.Deliveries)
	p.Escalations = s.escalations(p.Deliveries)
	return p
}

// Ways by which a reader is reached; the closest to the person decides on name and language.
const (
	byAddress = iota
	byContact
	byName // who signs in
)

// reader is one who gets messages of a group.
type reader struct {
	recipient string // a lower-case address, or "channel:ID"
	name      string
	language  i18n.Lang
	channel   Channel
	channelID int64
	way       int
	team      bool // reached by a rule of the operator's
	unsent    Reason
	events    []told
}

type told struct {
	event   *Event
	due     time.Time
	snoozed bool
}

func (r *reader) reachedBy(other reader) {
	r.team = r.team || other.team
	if other.unsent == "" {
		r.unsent = ""
	}
	if other.way > r.way {
		r.name, r.language, r.way = other.name, other.language, other.way
	}
}

// readersOf are those of to whom a rule tells of an event, or would if they had agreed.
func (s *Situation) readersOf(e *Event, rule Rule, to Recipients) []reader {
	people, team := s.Team, e.Audience == Operator
	var owner int64 // of channels
	if !team {
		if s.Customer == nil || s.Customer.Closed {
			return nil
		}
		people, owner = s.Customer.Users, s.Customer.ID
	}
	var all []reader
	mail := func(address, name string, language i18n.Lang, way int) {
		address = strings.ToLower(strings.TrimSpace(address))
		if address != "" && (team || !s.optedOut(address, e.Metric)) {
			all = append(all, reader{recipient: address, name: name, language: language, channel: Email, way: way, team: team})
		}
	}
	for _, p := range people {
		if slices.Contains(to.Roles, p.Role) {
			mail(p.Address, p.Name, p.Language, byName)
		}
	}
	if to.Contacts && !team {
		mail(s.Customer.Email, s.Customer.Name, s.Customer.Language, byContact)
	}
	for _, a := range to.Addresses {
		n := len(all)
		if mail(a, "", to.Language, byAddress); len(all) > n {
			all[n].unsent = s.unsentReason(&rule, a)
		}
	}
	for _, l := range s.Lines {
		if slices.Contains(to.Channels, l.ID) && l.TenantID == owner {
			all = append(all, reader{recipient: "channel:" + strconv.FormatInt(l.ID, 10), name: l.Name, language: l.Language, channel: l.Kind, channelID: l.ID, team: team})
		}
	}
	return distinct(all)
}

// distinct keeps one of each recipient: an address may be named twice.
func distinct(all []reader) []reader {
	var kept []reader
	for _, r := range all {
		if i := slices.IndexFunc(kept, func(k reader) bool { return k.recipient == r.recipient }); i >= 0 {
			kept[i].reachedBy(r)
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// messages are those that a reader gets: one of what may be told, and one for each moment at which something snoozed may.
func (s *Situation) messages(r *reader) []Delivery {
	byDue := map[time.Time][]int64{}
	first := time.Time{}
	for _, t := range r.events {
		if !t.snoozed && (first.IsZero() || t.due.Before(first)) {
			first = t.due
		}
	}
	for _, t := range r.events {
		if r.team && t.event.Audience == Customer && r.hasTwin(t) {
			continue
		}
		due := t.due
		if !t.snoozed {
			due = first
		}
		byDue[due] = append(byDue[due], t.event.ID)
	}
	var list []Delivery
	for due, ids := range byDue {
		slices.Sort(ids)
		d := Delivery{
			Kind: OneAlert, Audience: Operator, Channel: r.channel, ChannelID: r.channelID, Recipient: r.recipient, Name: r.name,
			Language: r.language, EventIDs: slices.Compact(ids), State: Pending, DueAt: due, CreatedAt: s.Now,
		}
		of := "team"
		if !r.team {
			d.Audience, d.TenantID = Customer, s.Customer.ID
			of = "tenant-" + strconv.FormatInt(s.Customer.ID, 10)
		}
		d.Batch = "group:" + s.Events[0].Group.String()
		if due.After(s.Now) {
			d.Kind, d.Batch = Digest, "held:"+of+":"+due.UTC().Format(time.RFC3339Nano)
		}
		if r.unsent != "" {
			d = unsent(d, r.unsent)
		}
		list = append(list, d)
	}
	return list
}

// hasTwin tells whether one of the team who is also a customer's contact hears of the same thing as one of the team, now or at the same
// moment.
func (r *reader) hasTwin(as told) bool {
	e := as.event
	return slices.ContainsFunc(r.events, func(t told) bool {
		return (!t.snoozed || t.due.Equal(as.due)) &&
			t.event.Audience == Operator && t.event.Metric == e.Metric && t.event.Subject.Key == e.Subject.Key && t.event.Threshold == e.Threshold
	})
}

func (s *Situation) optedOut(address string, m Metric) bool {
	return slices.ContainsFunc(s.Optouts, func(o Optout) bool {
		return o.TenantID == s.Customer.ID && strings.EqualFold(o.Address, address) && (o.Metric == "" || o.Metric == m)
	})
}

// snoozedUntil is zero for what is not snoozed.
func (s *Situation) snoozedUntil(e *Event) (until time.Time) {
	for _, z := range s.Snoozes {
		if z.RuleID == e.RuleID && z.Subject == e.Subject.Key {
			until = latest(until, z.Until)
		}
	}
	return until
}

// zone is that of the reader's wall: the customer's, or the installation's.
func (s *Situation) zone(a Audience) *time.Location {
	if a == Customer && s.Customer != nil && s.Customer.Zone != nil {
		return s.Customer.Zone
	}
	return cmp.Or(s.Zone, time.UTC)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
