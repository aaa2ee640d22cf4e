package alert

import (
	"maps"
	"slices"
)

// AskAgain is what of a message its reader is still to be told now that it is about to be sent, and as whom: who has left, was
// disabled, wants no more of it or is not named any more hears nothing, whatever was so when it was made. around are the situations of
// its groups, with the rules that hold now beside those that raised its alerts; plans are those that its alerts are about, by the ids
// of the alerts. No EventIDs: nothing is left. daily tells that a rule collects some of it by the day.
//
// Of what was held the rules that hold now decide: one that was deleted or switched off tells nobody, and what a customer has chosen
// meanwhile holds. Of what was to be sent at once the rule that raised it decides, deleted or not: it was due before.
func AskAgain(d Delivery, around []Situation, plans map[int64]int64) (still Delivery, daily bool) {
	still = d
	still.EventIDs = nil
	for _, s := range around {
		told, ok := s.toldNow(d, plans)
		switch {
		case !ok:
			continue
		case len(still.EventIDs) == 0 || told.Audience == Operator && still.Audience == Customer:
			still.Audience, still.TenantID = told.Audience, told.TenantID
			if told.Name != "" { // else it is an address, which other alerts may have named more closely
				still.Name, still.Language = told.Name, told.Language
			}
		case still.Audience == Customer && told.TenantID != still.TenantID:
			continue // who was of the team, and is no more, hears of one customer at most
		}
		still.EventIDs = append(still.EventIDs, told.EventIDs...)
		for _, e := range s.Events {
			daily = daily || slices.Contains(told.EventIDs, e.ID) && slices.ContainsFunc(s.deciding(d.Kind, &e, plans[e.ID]), func(r Rule) bool { return r.DailyAt != nil })
		}
	}
	slices.Sort(still.EventIDs)
	return still, daily
}

// toldNow is what the reader of d would be told of its group, were all of it raised now and nothing held.
func (s Situation) toldNow(d Delivery, plans map[int64]int64) (Delivery, bool) {
	now := s
	now.Snoozes, now.Rules, now.Events = nil, maps.Clone(s.Rules), nil
	for id, r := range now.Rules {
		if r.Quiet, r.DailyAt = nil, nil; d.Kind == Escalated && r.Escalation != nil {
			r.To.Roles, r.To.Addresses, r.To.Contacts, r.To.Channels = r.Escalation.Roles, r.Escalation.Addresses, false, nil
		}
		r.Escalation = nil
		now.Rules[id] = r
	}
	for _, e := range s.Events {
		for _, r := range s.deciding(d.Kind, &e, plans[e.ID]) {
			as := e
			as.RuleID = r.ID
			now.Events = append(now.Events, as)
		}
	}
	if len(now.Events) == 0 {
		return Delivery{}, false
	}
	for _, told := range Decide(now).Deliveries {
		if told.Recipient == d.Recipient {
			return told, true
		}
	}
	return Delivery{}, false
}

// deciding are the rules that decide who is told of an event in a message of a kind.
func (s *Situation) deciding(kind DeliveryKind, e *Event, planID int64) []Rule {
	if kind != Digest {
		if r, known := s.Rules[e.RuleID]; known {
			return []Rule{r}
		}
		return nil
	}
	var same []Rule
	for _, r := range s.Rules {
		if r.DeletedAt.IsZero() && r.Audience == e.Audience && r.Metric == e.Metric {
			same = append(same, r)
		}
	}
	return Effective(same, Covered{PlanID: planID, TenantID: e.Subject.TenantID, KeyID: e.Subject.KeyID})
}

// Overtaken tells of a message that nobody need be told of it any more. Of what was held, that is so when all of it is over: it has
// gone by itself, as an outage of the night that nobody need be told of in the morning, or one of the team takes care of it. What is
// counted over a period does not go by itself; its end is not its mending. What is collected by the day is told all the same: as over.
// So is what was not held: it was due before. That nobody has acknowledged an alert is told only while it is true.
func Overtaken(d Delivery, events []Event, daily bool) bool {
	if d.Kind == Escalated {
		return slices.ContainsFunc(events, func(e Event) bool { return !e.AcknowledgedAt.IsZero() }) || !slices.ContainsFunc(events, func(e Event) bool { return e.ResolvedAt.IsZero() })
	}
	return d.Kind == Digest && !d.wasGathered() && d.Attempts == 0 && !daily && !slices.ContainsFunc(events, func(e Event) bool {
		kind, _ := e.Metric.Kind()
		gone := kind.Repeats == PerEpisode && !e.ResolvedAt.IsZero()
		taken := e.Audience == Operator && !e.AcknowledgedAt.IsZero()
		return !gone && !taken
	})
}
