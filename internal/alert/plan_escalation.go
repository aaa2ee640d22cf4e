package alert

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// escalations are when it is looked whether somebody has taken care: so long after the first was told as the rule says, since
// who is held back by quiet hours cannot have.
func (s *Situation) escalations(told []Delivery) []Work {
	var all []Work
	for id, rule := range s.Rules {
		lead := s.leadOf(id)
		if rule.Escalation == nil || lead == nil {
			continue
		}
		from := s.Now
		if i := slices.IndexFunc(told, func(d Delivery) bool { return slices.Contains(d.EventIDs, lead.ID) }); i >= 0 {
			from = told[i].DueAt
			for _, d := range told {
				if d.DueAt.Before(from) && slices.Contains(d.EventIDs, lead.ID) {
					from = d.DueAt
				}
			}
		}
		all = append(all, Work{Group: lead.Group, RuleID: id, DueAt: from.Add(time.Duration(rule.Escalation.After) * time.Minute)})
	}
	slices.SortFunc(all, func(a, b Work) int { return cmp.Compare(a.RuleID, b.RuleID) })
	return all
}

// leadOf is the highest event that a rule raised in the group; nil: none.
func (s *Situation) leadOf(ruleID int64) (lead *Event) {
	for i := range s.Events {
		if e := &s.Events[i]; e.RuleID == ruleID && (lead == nil || e.Threshold > lead.Threshold) {
			lead = e
		}
	}
	return lead
}

// goesOn is the highest event that a rule raised in the group and that is not over; nil: all is.
func (s *Situation) goesOn(ruleID int64) *Event {
	open := *s
	open.Events = slices.DeleteFunc(slices.Clone(s.Events), func(e Event) bool { return !e.ResolvedAt.IsZero() })
	return open.leadOf(ruleID)
}

// backEvery is how often it is looked whether what is over has come back.
const backEvery = 5 * time.Minute

// Escalate tells those to whom a rule's alert goes when nobody has acknowledged it and some of it goes on. again is when it must be
// looked at once more, because it is snoozed, the hours are quiet, or what is over may come back before it was gone for the rule's
// time; zero: never. Who deletes a rule or switches it off has nobody called for what it raised.
func Escalate(s Situation, ruleID int64) (p Planned, again time.Time) {
	rule, lead := s.Rules[ruleID], s.goesOn(ruleID)
	if rule.Escalation == nil || !rule.DeletedAt.IsZero() {
		return p, again
	}
	var ids []int64
	for _, e := range s.Events {
		if e.RuleID != ruleID {
			continue
		}
		if !e.AcknowledgedAt.IsZero() {
			return p, again
		}
		if e.ResolvedAt.Add(time.Duration(rule.Rearm) * time.Minute).After(s.Now) {
			again = s.Now.Add(backEvery)
		}
		ids = append(ids, e.ID)
	}
	if lead == nil || !rule.Enabled {
		return p, again
	}
	again = time.Time{}
	if until := s.snoozedUntil(lead); until.After(s.Now) {
		return p, until.Add(time.Duration(rule.Escalation.After) * time.Minute)
	}
	if !rule.LastAtOnce || lead.Threshold < rule.last() {
		if after := rule.Quiet.after(s.Now, s.zone(lead.Audience)); after.After(s.Now) {
			return p, after
		}
	}
	to := Recipients{Roles: rule.Escalation.Roles, Addresses: rule.Escalation.Addresses, Language: rule.To.Language}
	slices.Sort(ids)
	for _, r := range s.readersOf(lead, rule, to) {
		d := Delivery{
			Batch: "escalation:" + lead.Group.String() + ":" + strconv.FormatInt(ruleID, 10), Kind: Escalated, Audience: lead.Audience, Channel: r.channel, ChannelID: r.channelID,
			Recipient: r.recipient, Name: r.name, Language: r.language, EventIDs: ids, State: Pending, DueAt: s.Now, CreatedAt: s.Now,
		}
		if lead.Audience == Customer {
			d.TenantID = s.Customer.ID
		}
		if r.unsent != "" {
			d = unsent(d, r.unsent)
		}
		p.Deliveries = append(p.Deliveries, d)
	}
	slices.SortFunc(p.Deliveries, func(a, b Delivery) int { return strings.Compare(a.Recipient, b.Recipient) })
	p.Deliveries, p.Unsent = split(p.Deliveries)
	return p, again
}
