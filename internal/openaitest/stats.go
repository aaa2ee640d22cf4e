package openaitest

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// Totals counts what a server did. An answer counts before its last byte is sent, so that no client has seen more.
type Totals struct {
	Requests int64 // all, whatever became of them
	Answered int64 // generated answers sent in full
	Refused  int64 // answered with a status of 400 or more
	Cut      int64 // generated answers that ended early: by a fault, by Close, or because the client left

	// The tokens of those Answered, as reported to the client or, where a fault left the usage out, as they would have been.
	// Cached and reasoning tokens are within prompt and completion tokens, which are the input and output tokens of endpoints
	// that call them so. What is not billed by tokens has none: moderations, dall-e, whisper, tts-1.
	PromptTokens, CachedTokens, CompletionTokens, ReasoningTokens int64
}

// Stats are the totals since the start, and the same by Options.Group.
type Stats struct {
	Totals
	Groups map[string]Totals
}

// stats is Stats in the making.
type stats struct {
	total  tally
	groups sync.Map // string → *tally
}

type tally struct {
	requests, answered, refused, cut      atomic.Int64
	prompt, cached, completion, reasoning atomic.Int64
}

// Stats returns what has been counted so far.
func (s *Server) Stats() Stats {
	stats := Stats{Totals: s.stats.total.totals(), Groups: map[string]Totals{}}
	s.stats.groups.Range(func(group, t any) bool {
		stats.Groups[group.(string)] = t.(*tally).totals()
		return true
	})
	return stats
}

func (t *tally) totals() Totals {
	return Totals{
		Requests: t.requests.Load(), Answered: t.answered.Load(), Refused: t.refused.Load(), Cut: t.cut.Load(),
		PromptTokens: t.prompt.Load(), CachedTokens: t.cached.Load(),
		CompletionTokens: t.completion.Load(), ReasoningTokens: t.reasoning.Load(),
	}
}

func (t *tally) addAnswer(u Usage) {
	t.answered.Add(1)
	t.prompt.Add(int64(u.PromptTokens))
	t.cached.Add(int64(u.CachedTokens))
	t.completion.Add(int64(u.CompletionTokens))
	t.reasoning.Add(int64(u.ReasoningTokens))
}

// Entry is one answer as it counts, for Options.Journal.
type Entry struct {
	ID     string // as x-request-id tells it, different for every request
	Path   string
	Group  string // by Options.Group
	Status int    // answered
	Whole  bool   // a generated answer sent in full: one of Totals.Answered
	Usage  Usage  // of a generated answer, as reported or, where it was cut or told none, as it would have been
}

// tallies are where one request counts: the total and, perhaps, its group; and the journal, where there is one.
type tallies struct {
	total, group *tally
	journal      func(Entry)
	entry        Entry
}

func (s *Server) tallies(r *Request) tallies {
	t := tallies{total: &s.stats.total, journal: s.opts.Journal, entry: Entry{ID: s.ids.hex("req_")}}
	if t.journal != nil {
		t.entry.Path = r.Path()
	}
	if s.opts.Group == nil {
		return t
	}
	if group := s.opts.Group(r); group != "" {
		t.entry.Group = group
		entry, ok := s.stats.groups.Load(group)
		if !ok {
			entry, _ = s.stats.groups.LoadOrStore(group, &tally{})
		}
		t.group = entry.(*tally)
	}
	return t
}

func (t tallies) each(count func(*tally)) {
	count(t.total)
	if t.group != nil {
		count(t.group)
	}
}

// answer counts a generated answer that is sent in full.
func (t tallies) answer(u Usage) {
	t.each(func(one *tally) { one.addAnswer(u) })
	t.note(Entry{Status: 200, Whole: true, Usage: u})
}

// cut counts one that ends early; u is what it would have reported.
func (t tallies) cut(u Usage) {
	t.each(func(one *tally) { one.cut.Add(1) })
	t.note(Entry{Status: 200, Usage: u})
}

// refuse counts an error.
func (t tallies) refuse(status int) {
	t.each(func(one *tally) { one.refused.Add(1) })
	t.note(Entry{Status: status})
}

func (t tallies) note(e Entry) {
	if t.journal == nil {
		return
	}
	e.ID, e.Path, e.Group = t.entry.ID, t.entry.Path, t.entry.Group
	t.journal(e)
}

// Recorded is a request as it came, kept when Options.Record is set.
type Recorded struct {
	Method string
	URI    string // path and query
	Header http.Header
	Body   []byte
}

// maxRecorded bounds how many requests are kept; the oldest go first.
const maxRecorded = 1_000

type recorder struct {
	mu       sync.Mutex
	requests []Recorded
}

// Requests returns the last requests, the oldest first.
func (s *Server) Requests() []Recorded {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return slices.Clone(s.record.requests)
}

func (rec *recorder) add(r *Request) {
	recorded := Recorded{
		Method: r.Method(), URI: string(r.ctx.RequestURI()), Header: http.Header{}, Body: slices.Clone(r.Body()),
	}
	r.ctx.Request.Header.VisitAll(func(key, value []byte) { recorded.Header.Add(string(key), string(value)) })
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.requests) == maxRecorded {
		rec.requests = slices.Delete(rec.requests, 0, maxRecorded/2)
	}
	rec.requests = append(rec.requests, recorded)
}
