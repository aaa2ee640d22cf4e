package main

import (
	"fmt"
	"time"
)

// checkAnswered holds what clients saw against the ledger.
func (a *auditor) checkAnswered() {
	var missing, differing, vanished, refusedBut []string
	answered, told, began := 0, 0, 0
	for _, c := range a.calls {
		e := a.eventOf[c]
		switch {
		case c.status == 200 && e == nil && c.end == complete:
			missing = append(missing, c.String())
		case c.status == 200 && e == nil:
			vanished = append(vanished, c.String())
		case c.end == denied && e != nil && (e.billed != tokens{} || e.httpStatus != c.status):
			refusedBut = append(refusedBut, c.String()+": "+e.String())
		}
		if c.status == 200 {
			began++
		}
		if c.end != complete || e == nil {
			continue
		}
		answered++
		if c.told {
			told++
		}
		if problem := a.compare(c, e); problem != "" {
			differing = append(differing, fmt.Sprintf("%s: %s; %s", problem, c, e))
		}
	}
	a.r.none("calls answered in full are in the ledger", fmt.Sprint(answered+len(missing)), missing)
	a.r.none("and with the tokens that the client was told", fmt.Sprint(told), differing)
	a.r.none("calls whose answer began are in the ledger", fmt.Sprint(began), vanished)
	a.r.none("refused calls bill nothing", fmt.Sprint(len(a.calls)-began), refusedBut)
}

// compare says what is wrong with the record of a call that was answered in full.
func (a *auditor) compare(c *call, e *event) string {
	switch {
	case e.status != "ok" || e.httpStatus != 200:
		return "answered in full but recorded otherwise"
	case c.cache != "" && c.cache != e.cache:
		return "the cache was told as " + c.cache
	case e.saved():
		percent := c.customer.kind.billedPercent()
		if want := (tokens{e.served.In * percent / 100, e.billed.Cached, e.served.Out * percent / 100}); e.billed != want {
			return fmt.Sprintf("%d %% of %d + %d are to be billed", percent, e.served.In, e.served.Out)
		}
		if c.told && (c.usage.In != e.served.In || c.usage.Out != e.served.Out) {
			return fmt.Sprintf("the client was told %s", c.usage)
		}
	case c.told && c.usage != e.billed:
		return fmt.Sprintf("the client was told %s", c.usage)
	}
	return ""
}

// estimates are what the gateway counted itself, by why.
type estimates struct {
	count            map[string]int
	ledger, provider map[string]tokens
}

func (s *estimates) add(why string, ledger, provider tokens) {
	if s.count == nil {
		s.count, s.ledger, s.provider = map[string]int{}, map[string]tokens{}, map[string]tokens{}
	}
	s.count[why]++
	s.ledger[why], s.provider[why] = s.ledger[why].plus(ledger), s.provider[why].plus(provider)
}

func (s *estimates) tell() (lines []string) {
	for why, n := range s.count {
		lines = append(lines, fmt.Sprintf("%s: %d calls, %s in the ledger, %s by the provider", why, n, s.ledger[why], s.provider[why]))
	}
	return lines
}

// checkEvents holds the ledger against the provider's journal.
func (a *auditor) checkEvents() {
	var unknown, differing, unexplained []string
	exact := 0
	for _, e := range a.books.events {
		t := a.sums[e.tenant]
		entry := a.entryOf[e.providerID]
		switch {
		case e.saved():
			t.saved = t.saved.plus(e.billed)
		case e.providerID == "" && e.billed != tokens{}:
			unknown = append(unknown, e.String())
		case e.providerID == "":
		case entry == nil:
			unknown = append(unknown, e.String())
		case e.estimated:
			t.estimated = t.estimated.plus(e.billed)
			if entry.Whole {
				t.uncounted = t.uncounted.plus(entry.tokens())
			}
			why := a.whyEstimated(e, entry)
			if why == "" {
				unexplained = append(unexplained, fmt.Sprintf("%s, but the provider sent %s", e, entry.tokens()))
			}
			a.estimates.add(why, e.billed, entry.tokens())
		case !entry.Whole && entry.Status == 200 && e.billed == entry.tokens(): // it broke off after it had told its usage
			t.provider, t.exact = t.provider.plus(entry.tokens()), t.exact.plus(e.billed)
		case entry.Status >= 400 || !entry.Whole:
			t.exact = t.exact.plus(e.billed)
			if (e.billed != tokens{}) {
				differing = append(differing, fmt.Sprintf("%s, but the provider's answer was not whole, with status %d", e, entry.Status))
			}
		default:
			exact++
			t.exact = t.exact.plus(e.billed)
			if e.billed != entry.tokens() {
				differing = append(differing, fmt.Sprintf("%s, but the provider counted %s", e, entry.tokens()))
			}
		}
	}
	a.r.none("billed tokens have an answer of the provider", fmt.Sprint(len(a.books.events)), unknown)
	a.r.none("and are those that it counted for it", fmt.Sprint(exact), differing)
	total := 0
	for _, n := range a.estimates.count {
		total += n
	}
	a.r.none("estimates have a reason", fmt.Sprint(total), unexplained)
	a.r.figure("estimated, by reason", fmt.Sprint(total), a.estimates.tell()...)
}

func (e *entry) tokens() tokens { return tokens{e.In, e.Cached, e.Out} }

// drain is how long a replica reads on when a client has left: FILAIA_ABORT_DRAIN by default.
const drain = 10 * time.Second

// whyEstimated is why the gateway could not know the provider's figure; empty: there is no reason.
func (a *auditor) whyEstimated(e *event, entry *entry) string {
	m, _ := parseMarker(entry.User)
	c := a.ofEvent[e]
	switch {
	case m.fault == silent:
		return "no usage was told"
	case !entry.Whole && (m.fault == torn || m.fault == truncated || m.fault == midway):
		return "the provider broke off"
	case c == nil:
		return ""
	case len(a.s.troubles.hit(c.replica, c.began, a.overAt(c), cutProvider)) > 0:
		return "the provider's connections were cut"
	case c.end == left && e.status == "aborted" && len(a.s.troubles.hit(c.replica, c.began, a.overAt(c), freezeLong, freezeShort)) > 0:
		return "the client left, and the replica stood still while the rest came"
	case c.end == left && e.status == "aborted" && (!entry.Whole || e.took >= drain):
		return "the client left, and the rest was not waited for"
	}
	return ""
}

// overAt is when a replica was done with a call at the latest: after its client left it may read on for ten seconds.
func (a *auditor) overAt(c *call) time.Time {
	if c.end == left || c.end == broken {
		return c.ended.Add(drain + 2*time.Second)
	}
	return c.ended
}

// checkJournal looks for answers of the provider that nobody paid for.
func (a *auditor) checkJournal() {
	var unpaid, unrecorded []string
	var lost, cut, retried tokens
	lostCalls, cutCalls, retries := 0, 0, 0
	for _, entry := range a.entries {
		m, ok := parseMarker(entry.User)
		c := a.callOf[m.call]
		if !ok || c == nil {
			unpaid = append(unpaid, fmt.Sprintf("%+v is of no client's call", *entry))
			continue
		}
		t := a.sums[c.customer.id]
		if entry.Whole {
			t.provider = t.provider.plus(entry.tokens())
		}
		if a.ofProvider[entry.ID] != nil {
			continue
		}
		e := a.eventOf[c]
		switch {
		case !entry.Whole:
			retries++
			if entry.Status == 200 {
				retried = retried.plus(entry.tokens())
			}
		case len(a.s.troubles.hit(c.replica, c.began, a.overAt(c), killOne, killAll)) > 0:
			lostCalls++
			lost, t.lost = lost.plus(entry.tokens()), t.lost.plus(entry.tokens())
			if e == nil || e.status != "interrupted" {
				unrecorded = append(unrecorded, fmt.Sprintf("%s, answered with %s: %v", c, entry.tokens(), e))
			}
		case len(a.s.troubles.hit(-1, c.began, a.overAt(c), cutProvider)) > 0:
			cutCalls++
			cut, t.cut = cut.plus(entry.tokens()), t.cut.plus(entry.tokens())
		default:
			unpaid = append(unpaid, fmt.Sprintf("%s, answered with %s as %s; recorded: %v", c, entry.tokens(), entry.ID, e))
		}
	}
	a.r.none("answers of the provider that are in the ledger, or whose loss is explained", fmt.Sprint(len(a.entries)), unpaid)
	a.r.figure("lost with their replica (kill -9)", fmt.Sprintf("%d calls", lostCalls), fmt.Sprintf("%s tokens that the provider counted and nobody is billed for", lost))
	a.r.none("and all of them are recorded as interrupted", fmt.Sprint(lostCalls), unrecorded)
	a.r.figure("answers that never arrived, connections cut", fmt.Sprintf("%d", cutCalls), fmt.Sprintf("%s tokens", cut))
	a.r.figure("attempts that failed or were tried again", fmt.Sprint(retries), fmt.Sprintf("%s tokens in answers that were cut short", retried))
	a.checkInterrupted()
}

// checkInterrupted wants a kill behind every interrupted event.
func (a *auditor) checkInterrupted() {
	var unexplained []string
	n := 0
	for _, e := range a.books.events {
		if e.status != "interrupted" {
			continue
		}
		n++
		c := a.ofEvent[e]
		if c == nil || len(a.s.troubles.hit(c.replica, c.began, a.overAt(c), killOne, killAll)) == 0 || (e.billed != tokens{}) {
			unexplained = append(unexplained, fmt.Sprintf("%s: %v", e, c))
		}
	}
	a.r.none("interrupted events are calls of a replica that was killed", fmt.Sprint(n), unexplained)
}
