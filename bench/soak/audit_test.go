package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The numbers of the calls below.
const (
	whole = iota + 1 // answered in full
	hit              // from the cache
	dead             // its replica was killed
	gone             // left by the client
	lied             // over-reported
)

// ledgerOf makes a run of a few calls whose records agree.
func ledgerOf() (*soak, []entry, *books) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	cu, k := &customer{number: 0, kind: cached, id: 9}, &key{id: 5}
	s := &soak{load: &load{customers: []*customer{cu}}, sampler: &sampler{bound: peak{Ratio: 1}}}
	s.opts.grace = time.Second
	s.troubles.made = []made{{trouble{what: killOne, replica: 1}, span{at(2500), at(2600)}}}
	b := &books{hourly: map[int64]tokens{}, requests: map[int64]int64{}, overruns: map[int64]causes{1: {"reported": {In: 300, Out: 400}}}}
	var entries []entry
	add := func(number int, end ending, f fault, status, cache string, t tokens) *call {
		began := at(number * 1000)
		c := &call{marker: marker{number, 0, f}, customer: cu, key: k, request: request{endpoint: "chat/completions"}, began: began,
			ended: began.Add(800 * time.Millisecond), end: end, status: 200, id: fmt.Sprintf("%032x", number), cache: cache, told: end == complete, usage: t}
		e := &event{id: c.id, created: began, tenant: cu.id, key: k.id, period: 1, endpoint: "chat.completions", status: status, httpStatus: 200,
			billed: t, served: t, cache: cache, providerID: fmt.Sprintf("req_%d", number)}
		s.load.calls, b.events = append(s.load.calls, c), append(b.events, e)
		if cache != "hit" {
			entries = append(entries, entry{ID: e.providerID, User: c.marker.String(), Status: 200, Whole: true, In: t.In, Cached: t.Cached, Out: t.Out})
		}
		return c
	}
	add(whole, complete, none, "ok", "miss", tokens{10, 4, 20})
	add(hit, complete, none, "ok", "hit", tokens{10, 0, 21})
	b.events[1].billed, b.events[1].providerID = tokens{5, 0, 10}, ""
	d := add(dead, broken, none, "interrupted", "bypass", tokens{7, 0, 8})
	d.began, d.ended, d.replica, d.id, d.status = at(2100), at(2501), 1, "", 0
	b.events[2].created, b.events[2].billed, b.events[2].served, b.events[2].providerID = at(2101), tokens{}, tokens{}, ""
	add(gone, left, none, "aborted", "miss", tokens{11, 0, 12})
	add(lied, complete, excessive, "ok", "miss", tokens{700, 0, 900})
	sum := tokens{10 + 5 + 11 + 700, 4, 20 + 10 + 12 + 900}
	b.hourly[1], b.requests[1] = sum, int64(len(b.events))
	b.buckets = []bucket{{period: 1, tenant: cu.id, hard: true, limit: tokens{In: 426, Out: 542}, used: tokens{In: sum.In, Out: sum.Out}, overrun: tokens{In: 300, Out: 400}}}
	return s, entries, b
}

func TestAuditPassesRecordsThatAgree(t *testing.T) {
	s, entries, b := ledgerOf()
	r := &report{}
	newAuditor(s, r, entries, b).check()
	if err := r.err(); err != nil {
		t.Errorf("%v\n%+v", err, r.Lines)
	}
}

// TestAuditFindsWhatIsWrong breaks one record at a time.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *soak, entries *[]entry, b *books)
		line  string // part of the name of the check that must not hold
	}{
		"an answered call is not recorded":      {func(_ *soak, _ *[]entry, b *books) { b.events = b.events[1:] }, "answered in full are in the ledger"},
		"one token too few is recorded":         {func(_ *soak, _ *[]entry, b *books) { b.events[0].billed.Out-- }, "those that it counted"},
		"the client was told something else":    {func(s *soak, _ *[]entry, _ *books) { s.load.calls[0].usage.In++ }, "the client was told"},
		"cached tokens differ":                  {func(_ *soak, _ *[]entry, b *books) { b.events[0].billed.Cached = 0 }, "those that it counted"},
		"a hit is billed in full":               {func(_ *soak, _ *[]entry, b *books) { b.events[1].billed = b.events[1].served }, "the client was told"},
		"an answer is recorded twice":           {func(_ *soak, _ *[]entry, b *books) { b.events = append(b.events, again(b.events[0])) }, "no answer of the provider twice"},
		"a recorded call was made by nobody":    {func(s *soak, _ *[]entry, _ *books) { s.load.calls = s.load.calls[:2] }, "a client made"},
		"an answer is lost without a kill":      {func(s *soak, _ *[]entry, _ *books) { s.troubles.made = nil }, "whose loss is explained"},
		"a killed call is not recorded":         {func(_ *soak, _ *[]entry, b *books) { b.events = append(b.events[:2:2], b.events[3:]...) }, "recorded as interrupted"},
		"an interrupted call is billed":         {func(_ *soak, _ *[]entry, b *books) { b.events[2].billed.In = 7 }, "have an answer of the provider"},
		"billed tokens that nobody delivered":   {func(_ *soak, entries *[]entry, _ *books) { *entries = (*entries)[1:] }, "have an answer of the provider"},
		"an answer of another call is recorded": {func(_ *soak, entries *[]entry, _ *books) { (*entries)[0].User = (*entries)[2].User }, "of their own call"},
		"an estimate has no reason":             {func(_ *soak, _ *[]entry, b *books) { b.events[0].estimated = true }, "estimates have a reason"},
		"a bucket misses a token":               {func(_ *soak, _ *[]entry, b *books) { b.buckets[0].used.In-- }, "sum of events = bucket"},
		"the hours miss a call":                 {func(_ *soak, _ *[]entry, b *books) { b.requests[1]-- }, "sum of events = bucket"},
		"a lease is left behind":                {func(_ *soak, _ *[]entry, b *books) { b.leases = 1 }, "leases after"},
		"a limit was passed for a moment":       {func(s *soak, _ *[]entry, _ *books) { s.sampler.bound.Ratio = 1.000001 }, "+ leased) / limit"},
		"an overrun has no cause":               {func(_ *soak, _ *[]entry, b *books) { b.overruns = nil }, "overruns have a reason"},
		"an overrun beyond what was reported":   {func(s *soak, _ *[]entry, _ *books) { s.load.calls[4].fault = none }, "overruns have a reason"},
		"a revoked key is taken":                {func(s *soak, _ *[]entry, _ *books) { s.load.calls[0].key.revoked = s.load.calls[0].began }, "after a revocation"},
		"a call takes three minutes": {func(s *soak, _ *[]entry, _ *books) {
			s.load.calls[0].ended = s.load.calls[0].began.Add(3 * time.Minute)
		}, "longest wait"},
		"a customer pays for another's tokens": {func(_ *soak, _ *[]entry, b *books) { b.events[0].tenant = 10 }, "of their own call"},
	} {
		t.Run(name, func(t *testing.T) {
			s, entries, b := ledgerOf()
			s.load.customers = append(s.load.customers, &customer{number: 1, kind: small, id: 10})
			c.spoil(s, &entries, b)
			r := &report{}
			newAuditor(s, r, entries, b).check()
			for _, l := range r.Lines {
				if l.Wrong && strings.Contains(l.Name, c.line) {
					return
				}
			}
			t.Errorf("not found: %v", r.err())
		})
	}
}

func again(e *event) *event {
	twin := *e
	twin.id = strings.Repeat("f", 32)
	return &twin
}
