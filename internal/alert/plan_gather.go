package alert

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// atOnce is how many messages one reader gets at once of what is planned together.
	atOnce = 10
	// gathered begins the batches of what would be more.
	gathered = "many:"
)

// Gather has those of the messages planned together that would come to one reader at once, where they are more than atOnce, wait for
// the next full minute in one batch, and so in one digest: a rule that is made for ten thousand customers, or switched on where a
// thousand keys are old, is one thing to tell. What a customer must know at once, a rule's highest threshold, waits for nothing.
func Gather(all []Delivery, around []Situation) {
	type reader struct {
		recipient string
		audience  Audience
		tenantID  int64
	}
	urgent, now := map[int64]bool{}, time.Time{}
	for _, s := range around {
		now = latest(now, s.Now)
		for _, e := range s.Events {
			r := s.Rules[e.RuleID]
			urgent[e.ID] = r.LastAtOnce && e.Threshold >= r.last()
		}
	}
	many := map[reader][]*Delivery{}
	for i := range all {
		d := &all[i]
		waits := d.Kind != OneAlert || d.DueAt.After(now)
		if waits || d.Audience == Customer && slices.ContainsFunc(d.EventIDs, func(id int64) bool { return urgent[id] }) {
			continue
		}
		of := reader{d.Recipient, d.Audience, d.TenantID}
		many[of] = append(many[of], d)
	}
	due := now.UTC().Truncate(time.Minute).Add(time.Minute)
	for of, list := range many {
		if len(list) <= atOnce {
			continue
		}
		batch := gathered + "team:"
		if of.audience == Customer {
			batch = gathered + "tenant-" + strconv.FormatInt(of.tenantID, 10) + ":"
		}
		for _, d := range list {
			d.Kind, d.Batch, d.DueAt = Digest, batch+due.Format(time.RFC3339), due
		}
	}
}

// wasGathered tells of a digest that none of its alerts was held for it but by Gather.
func (d *Delivery) wasGathered() bool { return strings.HasPrefix(d.Batch, gathered) }
