package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (t tokens) minus(o tokens) tokens {
	return tokens{t.In - o.In, t.Cached - o.Cached, t.Out - o.Out}
}

// checkSums compares each customer's tokens.
func (a *auditor) checkSums() {
	var differing []string
	var all sums
	for _, cu := range a.s.load.customers {
		t := a.sums[cu.id]
		want := t.provider.minus(t.lost).minus(t.cut).minus(t.uncounted)
		if want != t.exact {
			differing = append(differing, fmt.Sprintf("%s %d (tenant %d): the provider counted %s, less %s lost, %s cut off and %s estimated; the ledger holds %s",
				cu.kind, cu.number, cu.id, t.provider, t.lost, t.cut, t.uncounted, t.exact))
		}
		all = sums{all.provider.plus(t.provider), all.lost.plus(t.lost), all.cut.plus(t.cut), all.uncounted.plus(t.uncounted),
			all.exact.plus(t.exact), all.estimated.plus(t.estimated), all.saved.plus(t.saved)}
	}
	a.r.none("tokens by the provider's count = tokens by the ledger, per customer", fmt.Sprint(len(a.customers)), differing)
	a.r.figure("tokens, input + output", "", fmt.Sprintf("by the provider %s, lost with replicas %s, cut off %s, estimated instead %s",
		all.provider, all.lost, all.cut, all.uncounted), fmt.Sprintf("in the ledger %s, estimated %s, for answers of the cache %s", all.exact, all.estimated, all.saved))
}

// checkBuckets wants the sum of a period's events in its bucket and in its hours.
func (a *auditor) checkBuckets() {
	events, requests := map[int64]tokens{}, map[int64]int64{}
	for _, e := range a.books.events {
		events[e.period] = events[e.period].plus(e.billed)
		requests[e.period]++
	}
	var differing, leased []string
	for _, b := range a.books.buckets {
		sum := events[b.period]
		hours := a.books.hourly[b.period]
		if (tokens{In: sum.In, Out: sum.Out} != b.used) || sum != hours || requests[b.period] != a.books.requests[b.period] {
			differing = append(differing, fmt.Sprintf("period %d of tenant %d: %d events with %s; bucket %s; hours %d, %s",
				b.period, b.tenant, requests[b.period], sum, b.used, a.books.requests[b.period], hours))
		}
		if (b.leased != tokens{}) {
			leased = append(leased, fmt.Sprintf("period %d of tenant %d: %s", b.period, b.tenant, b.leased))
		}
		delete(events, b.period)
	}
	for period := range events {
		differing = append(differing, fmt.Sprintf("period %d has events, but no bucket", period))
	}
	a.r.none("sum of events = bucket = hours, per period", fmt.Sprint(len(a.books.buckets)), differing)
	a.r.expect("leases after the clean stop", len(leased) == 0 && a.books.leases == 0, fmt.Sprint(a.books.leases), leased...)
	a.r.none("replicas signed off, with empty spools", fmt.Sprint(len(a.s.replicas)), a.books.signedOn)
}

// checkLimits wants hard limits kept at every moment, and what passed them explained.
func (a *auditor) checkLimits() {
	m := a.s.sampler
	one := func(p peak) string { return fmt.Sprintf("%.6f (tenant %d at %.1f s)", p.Ratio, p.Tenant, p.At) }
	a.r.expect("highest (used − overrun + leased) / limit ever seen", m.bound.Ratio <= 1, one(m.bound), fmt.Sprintf("%d looks, one every 50 ms", m.samples))
	a.r.expect("highest (used − overrun) / limit ever seen", m.spent.Ratio <= 1, one(m.spent))
	a.r.figure("highest used / limit, with what no limit could stop", one(m.raw))
	a.r.none("leases of a period = leased in its bucket, at every look", fmt.Sprint(m.samples), m.unequal)
	reached, hard := 0, 0
	var total tokens
	var unexplained, listed []string
	for _, b := range a.books.buckets {
		if !b.hard {
			continue
		}
		hard++
		if 20*b.used.In >= 19*b.limit.In || 20*b.used.Out >= 19*b.limit.Out {
			reached++
		}
		if (b.overrun == tokens{}) {
			continue
		}
		reported, late := a.allowedOverrun(b.period)
		total = total.plus(b.overrun)
		told := a.books.overruns[b.period]
		text := fmt.Sprintf("period %d of %s: overrun %s, by cause %v; over-reported calls took %s, calls under way in silence %s",
			b.period, a.customers[b.tenant].kind, b.overrun, told, reported, late)
		listed = append(listed, text)
		if told["reported"].plus(told["late"]) != b.overrun || told["reported"].exceeds(reported) || told["late"].exceeds(late) {
			unexplained = append(unexplained, text)
		}
	}
	a.r.figure("hard limits that were reached (95 %)", fmt.Sprintf("%d of %d", reached, hard))
	a.r.figure("overrun", total.String(), listed...)
	a.r.none("overruns have a reason: excessive reports, or calls under way in a replica that was silent", fmt.Sprint(len(listed)), unexplained)
}

// exceeds tells whether there is more of input or of output.
func (t tokens) exceeds(o tokens) bool { return t.In > o.In || t.Out > o.Out }

// allowedOverrun is what may lie above a limit at most: what calls took that the provider over-reported, and those under
// way in a replica that was silent past the grace.
func (a *auditor) allowedOverrun(period int64) (reported, late tokens) {
	for _, e := range a.books.events {
		c := a.ofEvent[e]
		if e.period != period || c == nil || (e.billed == tokens{}) {
			continue
		}
		switch {
		case c.fault == excessive:
			reported = reported.plus(e.billed)
		case a.silent(c):
			late = late.plus(e.billed)
		}
	}
	return reported, late
}

// silent tells whether the replica of a call was silent for so long that others may have taken its leases, before what
// the call used was committed. Calls that came once the grace had passed must have been refused, and explain nothing.
func (a *auditor) silent(c *call) bool {
	for _, t := range a.s.troubles.hit(c.replica, c.began, c.ended.Add(3*time.Second), freezeLong, killOne, killAll, killPostgres, freezePostgres) {
		if t.to.Sub(t.from) > a.s.opts.grace*3/5 && c.began.Before(t.from.Add(a.s.opts.grace)) {
			return true
		}
	}
	return false
}

// checkAccess wants keys and customers shut out soon after that was told, where nothing kept the news away.
func (a *auditor) checkAccess() {
	soon := 2 * time.Second
	if a.s.opts.race { // which makes all of it several times slower
		soon = 5 * time.Second
	}
	var late []string
	shut := 0
	for _, c := range a.calls {
		since := c.key.revoked
		if since.IsZero() || c.began.Before(since.Add(soon)) {
			since = time.Time{}
			for _, b := range c.customer.barred {
				if c.began.After(b.from.Add(soon)) && c.began.Before(b.to) {
					since = b.from
				}
			}
		}
		if since.IsZero() || c.end == unsent || c.end == broken {
			continue
		}
		if len(a.s.troubles.hit(c.replica, since.Add(-15*time.Second), c.began, freezeLong, freezeShort, killPostgres, freezePostgres)) > 0 {
			continue
		}
		shut++
		if c.status == 200 {
			late = append(late, fmt.Sprintf("%s, %s after it was told", c, c.began.Sub(since).Round(time.Millisecond)))
		}
	}
	a.r.none(fmt.Sprintf("calls refused %.0f s after a revocation or suspension", soon.Seconds()), fmt.Sprint(shut), late)
}

// checkProcesses looks at waits, logs and ends.
func (a *auditor) checkProcesses() {
	var longest *call
	var took []time.Duration
	for _, c := range a.calls {
		if longest == nil || c.ended.Sub(c.began) > longest.ended.Sub(longest.began) {
			longest = c
		}
		if c.end == complete {
			took = append(took, c.ended.Sub(c.began))
		}
	}
	slices.Sort(took)
	if longest != nil && len(took) > 0 {
		a.r.expect("longest wait of a call", longest.ended.Sub(longest.began) <= slowest, longest.ended.Sub(longest.began).Round(time.Millisecond).String(), longest.String())
		a.r.figure("answered calls, median and 99 %", fmt.Sprintf("%s, %s", took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond)))
	}
	var said, exits []string
	unable := 0
	for _, one := range a.s.replicas {
		said = append(said, one.said()...)
		for _, x := range one.exits {
			if len(a.s.troubles.hit(-1, x.started, x.at, killPostgres, freezePostgres)) > 0 && strings.Contains(x.said, "filaia:") {
				unable++
				continue
			}
			exits = append(exits, fmt.Sprintf("replica %d after %s: %s", one.number, x.at.Sub(x.started).Round(time.Millisecond), x.said))
		}
	}
	a.r.none("no panic and no race in any log", fmt.Sprint(len(a.s.replicas)), said)
	a.r.none("replicas that ended unasked, other than at their start without PostgreSQL", fmt.Sprintf("%d at their start", unable), exits)
}
