package openaitest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Behaviour is what the server does with one request. The zero value answers it properly; fields combine.
type Behaviour struct {
	Delay time.Duration // before the first byte, beside Options.Latency
	Pause time.Duration // before each event of a stream, instead of the pace of the options

	// Status, when not 0, is answered instead, with Body or, where that is empty, an error in OpenAI's form.
	Status int
	Body   string
	Header map[string]string // added to the answer's, whatever its status

	Fault Fault
	After int // how many events of a stream pass before the fault

	Text  string // the answer's text, instead of a generated one: of an image, its revised prompt
	Usage *Usage // the usage reported, instead of the real one; it may exceed what was allowed
}

// Fault is a way to fail beside an honest status.
type Fault int

const (
	NoFault Fault = iota
	// FaultRefuse resets the connection before a byte is answered.
	FaultRefuse
	// FaultReset resets it after After events, or half-way through an answer that is not streamed.
	FaultReset
	// FaultStall sends After events and then nothing, until the client leaves; not streamed, nothing at all.
	FaultStall
	// FaultTruncate ends the answer, as HTTP goes properly, in the midst of the event after After, or of the JSON.
	FaultTruncate
	// FaultMalformed sends something that is not JSON as the event after After, and goes on; or as the whole answer.
	FaultMalformed
	// FaultErrorEvent sends After events and then an error event; not streamed, or where no event can be sent, a 500.
	FaultErrorEvent
	// FaultNoUsage answers without the usage.
	FaultNoUsage
	// FaultFailed ends a response (POST /v1/responses) as failed: streamed, after After events; otherwise as the whole answer,
	// with a 200. It carries Behaviour.Usage, where there is one, and then counts as answered. Other endpoints do what
	// FaultErrorEvent says.
	FaultFailed
)

// queue holds the behaviours of the requests to come.
type queue struct {
	left atomic.Int32 // spares the lock where there is none
	mu   sync.Mutex
	next []Behaviour
}

// Next sets what to do with the coming POST requests, one each, after those already set.
func (s *Server) Next(behaviours ...Behaviour) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.queue.next = append(s.queue.next, behaviours...)
	s.queue.left.Store(int32(len(s.queue.next)))
}

// behaviour decides what to do with a request.
func (s *Server) behaviour(r *Request) Behaviour {
	if s.queue.left.Load() > 0 && r.ctx.IsPost() {
		if b, ok := s.queue.pop(); ok {
			return b
		}
	}
	if s.opts.Script != nil {
		return s.opts.Script(r)
	}
	return Behaviour{}
}

func (q *queue) pop() (Behaviour, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.next) == 0 {
		return Behaviour{}, false
	}
	b := q.next[0]
	q.next = q.next[1:]
	q.left.Store(int32(len(q.next)))
	return b, true
}
