package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// auditor holds three records of the same calls against each other: what clients saw, what the provider wrote into its
// journal, and what the ledger holds.
type auditor struct {
	s       *soak
	r       *report
	calls   []*call
	entries []*entry
	books   *books

	customers  map[int64]*customer
	callOf     map[int]*call     // by the number of its marker
	reached    map[int]bool      // whether the provider's journal has it, by the same
	entryOf    map[string]*entry // by the provider's id
	eventOf    map[*call]*event
	ofEvent    map[*event]*call
	ofProvider map[string]*event // events that a provider answered, by its id
	sums       map[int64]*sums   // by tenant
	estimates  estimates
}

// sums are one tenant's tokens, by who counted them.
type sums struct {
	provider  tokens // answers sent in full, by the provider's journal
	lost      tokens // of those: their replica was killed meanwhile
	cut       tokens // of those: they never arrived, since the provider's connections were cut
	uncounted tokens // of those: recorded with an estimate
	exact     tokens // in the ledger, as the provider reported
	estimated tokens // in the ledger, counted by the gateway
	saved     tokens // in the ledger, billed for answers of the cache
}

// audit reads all records and checks them.
func (s *soak) audit(ctx context.Context, r *report) error {
	entries, err := readJournal(s.provider.journal)
	if err != nil {
		return err
	}
	books, err := s.readBooks(ctx)
	if err != nil {
		return err
	}
	if err := s.load.write(filepath.Join(s.dir, "calls.jsonl")); err != nil {
		return err
	}
	newAuditor(s, r, entries, books).check()
	return s.ownAudit(ctx, r)
}

func newAuditor(s *soak, r *report, entries []entry, books *books) *auditor {
	a := &auditor{s: s, r: r, calls: s.load.calls, books: books, customers: map[int64]*customer{}, callOf: map[int]*call{}, entryOf: map[string]*entry{}, reached: map[int]bool{},
		eventOf: map[*call]*event{}, ofEvent: map[*event]*call{}, ofProvider: map[string]*event{}, sums: map[int64]*sums{}}
	for i := range entries {
		a.entries = append(a.entries, &entries[i])
		a.entryOf[entries[i].ID] = &entries[i]
		m, _ := parseMarker(entries[i].User)
		a.reached[m.call] = true
	}
	for _, cu := range s.load.customers {
		a.customers[cu.id], a.sums[cu.id] = cu, &sums{}
	}
	slices.SortFunc(a.calls, func(x, y *call) int { return x.began.Compare(y.began) })
	for _, c := range a.calls {
		a.callOf[c.call] = c
	}
	return a
}

// check adds every figure and every check to the report.
func (a *auditor) check() {
	a.tellCalls()
	a.match()
	a.checkAnswered()
	a.checkEvents()
	a.checkJournal()
	a.checkSums()
	a.checkBuckets()
	a.checkLimits()
	a.checkAccess()
	a.checkProcesses()
}

// tellCalls counts what clients saw and what the ledger recorded.
func (a *auditor) tellCalls() {
	ends, refusals, statuses, caches := map[ending]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, c := range a.calls {
		ends[c.end]++
		if c.end == denied {
			refusals[fmt.Sprintf("%d %s", c.status, cmp.Or(c.code, "(no code)"))]++
		}
	}
	var parts []string
	for end := complete; end < endings; end++ {
		parts = append(parts, fmt.Sprintf("%d %s", ends[end], end))
	}
	a.r.figure("calls that clients made", fmt.Sprint(len(a.calls)), strings.Join(parts, ", "))
	a.r.figure("refused, by status", fmt.Sprint(ends[denied]), tell(refusals))
	for _, e := range a.books.events {
		statuses[e.status]++
		caches[e.cache]++
	}
	a.r.figure("events in the ledger, by status", fmt.Sprint(len(a.books.events)), tell(statuses), "by cache: "+tell(caches))
	whole, cut, failed := 0, 0, 0
	for _, e := range a.entries {
		switch {
		case e.Whole:
			whole++
		case e.Status < 400:
			cut++
		default:
			failed++
		}
	}
	a.r.figure("attempts at the provider, by its journal", fmt.Sprint(len(a.entries)), fmt.Sprintf("%d answered in full, %d cut short, %d errors", whole, cut, failed))
	troubles := map[string]int{}
	for _, t := range a.s.troubles.made {
		troubles[string(t.what)]++
	}
	a.r.figure("troubles made", fmt.Sprint(len(a.s.troubles.made)), tell(troubles))
}

// tell lists counts by name.
func tell[K cmp.Ordered](counts map[K]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%v: %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// match finds the call of every event: by the id that the client was told, by the marker of the provider's answer, or,
// where neither came through, by customer, key, endpoint and time.
func (a *auditor) match() {
	byID := map[string]*call{}
	for _, c := range a.calls {
		if c.id != "" {
			byID[c.id] = c
		}
	}
	var open []*event
	var twice, confused []string
	seen := map[string]bool{}
	for _, e := range a.books.events {
		if seen[e.id] {
			twice = append(twice, e.String())
		}
		seen[e.id] = true
		c := byID[e.id]
		if entry := a.entryOf[e.providerID]; entry != nil && !e.saved() {
			if first := a.ofProvider[e.providerID]; first != nil {
				twice = append(twice, "the same provider's id: "+first.String()+"; "+e.String())
			}
			a.ofProvider[e.providerID] = e
			m, _ := parseMarker(entry.User)
			answered := a.callOf[m.call]
			if c == nil {
				c = answered
			}
			if answered != c || c == nil || c.customer.id != e.tenant {
				confused = append(confused, fmt.Sprintf("%s, answered for %s", e, entry.User))
			}
		}
		if c == nil {
			open = append(open, e)
			continue
		}
		a.pair(c, e)
	}
	a.r.none("events are recorded once, and no answer of the provider twice", fmt.Sprint(len(a.books.events)), twice)
	a.r.none("events with the provider's answer of their own call", fmt.Sprint(len(a.ofProvider)), confused)
	open = a.matchByTime(open, true)
	var strangers []string
	for _, e := range a.matchByTime(open, false) {
		strangers = append(strangers, e.String())
	}
	a.r.none("events of calls that a client made", fmt.Sprint(len(a.books.events)), strangers)
}

func (a *auditor) pair(c *call, e *event) { a.eventOf[c], a.ofEvent[e] = e, c }

// endpoints is what the ledger calls them.
var endpoints = strings.NewReplacer("chat/completions", "chat.completions")

// slack is how far two processes' clocks on one machine, read at different moments of one call, may lie apart.
const slack = 50 * time.Millisecond

// matchByTime gives events to calls that saw no answer's head, the closest pairs first, and returns those that are left.
// Calls that reached the provider come before those that may never have reached a replica.
func (a *auditor) matchByTime(events []*event, reached bool) (left []*event) {
	type pair struct {
		c     *call
		e     *event
		apart time.Duration
	}
	var pairs []pair
	for _, c := range a.calls {
		if c.end != broken || c.id != "" || a.eventOf[c] != nil || a.reached[c.call] != reached {
			continue
		}
		for _, e := range events {
			apart := e.created.Sub(c.began).Abs()
			if c.customer.id == e.tenant && c.key.id == e.key && endpoints.Replace(c.request.endpoint) == e.endpoint &&
				!e.created.Before(c.began.Add(-slack)) && !e.created.After(c.ended.Add(slack)) {
				pairs = append(pairs, pair{c, e, apart})
			}
		}
	}
	slices.SortFunc(pairs, func(x, y pair) int { return cmp.Compare(x.apart, y.apart) })
	for _, p := range pairs {
		if a.eventOf[p.c] == nil && a.ofEvent[p.e] == nil {
			a.pair(p.c, p.e)
		}
	}
	for _, e := range events {
		if a.ofEvent[e] == nil {
			left = append(left, e)
		}
	}
	return left
}

// ownAudit lets the product check its books itself, where it can.
func (s *soak) ownAudit(ctx context.Context, r *report) error {
	out, err := s.cli.help(ctx)
	if err != nil {
		return err
	}
	if !strings.Contains(out, "\n  audit ") {
		r.figure("filaia audit --settled", "this build has no such command")
		return nil
	}
	text, err := s.cli.text(ctx, "audit", "--settled")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	r.expect("filaia audit --settled", err == nil, lines[len(lines)-1])
	return nil
}
