package v1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/usage"
)

// stream relays an answer that comes in pieces.
func (a *API) stream(r *request, call *gateway.Call, b *body) error {
	// Not the request's context: the provider is read on for a while after the client has gone.
	ctx, cancel := context.WithCancel(context.Background())
	answer, err := call.Stream(ctx, b.message(r.limit(call, b)))
	if err != nil {
		cancel()
		return a.failed(call, err)
	}
	kind := answer.Header("Content-Type")
	isStream := strings.HasPrefix(kind, "text/event-stream")
	if answer.Status() != fiber.StatusOK || strings.HasPrefix(kind, fiber.MIMEApplicationJSON) || b.wire.uploads && !isStream {
		defer cancel()
		defer answer.Close()
		return a.wholeInsteadOfStream(r, call, b, answer)
	}
	h := &r.Response.Header
	setCached(h, call)
	passHeaders(h, answer.Header)
	setProcessing(h, call.Elapsed())
	h.SetContentType(contentType(kind, "text/event-stream; charset=utf-8"))
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // proxies in front must not hold pieces back
	r.line.deferred = true
	b = b.retained()
	rl := &relay{
		a: a, call: call, body: b, answer: answer, cancel: cancel, providerID: answer.Header("X-Request-Id"),
		line: r.line, meter: newMeter(b), binary: !isStream && b.wire.endpoint == "audio.speech",
	}
	rl.meter.checks = call.Keeps()
	r.Response.SetBodyStream(rl, -1)
	return nil
}

// wholeInsteadOfStream passes an answer that came in one piece although a stream was asked for.
func (a *API) wholeInsteadOfStream(r *request, call *gateway.Call, body *body, answer gateway.StreamAnswer) error {
	const maxAnswer = 64 << 20
	text, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return a.failed(call, err)
	}
	return a.relayWhole(r, call, body, wholeAnswer{answer.Status(), answer.Header, text})
}

// relay is the body of a streamed answer. The server pulls: each Read gives the events that have come, and the last
// ones only after the call is recorded. Close before the end means that the client has gone.
type relay struct {
	a          *API
	call       *gateway.Call
	body       *body
	answer     gateway.StreamAnswer
	cancel     context.CancelFunc
	providerID string
	line       *line

	meter     meter
	binary    bool   // no events: bytes of a sound
	in        []byte // read from the provider, not yet a whole event
	searched  int    // how much of it is known to hold no event's end
	out       []byte // to be given to the server
	held      []byte // what may be the end, which waits for the record
	firstByte time.Duration
	named     bool // its response is known to those who ask for it
	recorded  bool
	ended     bool
	broken    error // what the client must see as an end before the end
}

// maxEvent bounds one event of the provider.
const maxEvent = 8 << 20

var errEventTooLarge = errors.New("the provider sent an event beyond all bounds")

// Read relays whole events, unchanged.
func (s *relay) Read(p []byte) (n int, err error) {
	defer s.survive(&err)
	for len(s.out) == 0 {
		if s.ended && s.broken != nil {
			return 0, s.broken
		}
		if s.ended {
			return 0, io.EOF
		}
		if over, err := s.pull(true); over {
			s.finish(err)
		}
	}
	n = copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// survive keeps the panic of one stream from ending all the others: the server that calls it does not recover.
func (s *relay) survive(err *error) {
	if p := recover(); p != nil {
		s.ended = true
		s.line.err = errors.Join(fmt.Errorf("panic: %v at %s", p, debug.Stack()), s.record(usage.Failed))
		*err = io.ErrUnexpectedEOF
	}
}

// pull reads once from the provider; with emit, whole events move to out. It tells whether the stream is over.
func (s *relay) pull(emit bool) (over bool, err error) {
	piece := 4<<10 + min(len(s.in), 252<<10) // an image is one event of megabytes
	s.in = slices.Grow(s.in, piece)
	n, err := s.answer.Read(s.in[len(s.in) : len(s.in)+piece])
	s.in = s.in[:len(s.in)+n]
	if n > 0 && s.firstByte == 0 {
		s.firstByte = s.call.Elapsed()
	}
	s.events(emit)
	s.name()
	if errors.Is(err, io.EOF) && whole(s.in) {
		s.in = append(s.in, "\n\n"...) // the last event lacks its blank line
		out := slices.Clone(s.out)
		s.events(emit)
		s.out = append(out, s.out...)
	}
	if err == nil && len(s.in) > maxEvent {
		err = &gateway.Refusal{Reason: gateway.ProviderAway, Cause: errEventTooLarge}
	}
	return s.meter.done || err != nil, err
}

// whole tells whether what is left at the end is an event. Half of one would break the client before it reads our error.
func whole(rest []byte) bool {
	data, ok := eventData(rest)
	return ok && (bytes.Equal(data, doneMark) || validJSON(data))
}

// events takes whole events from in. What follows the last one is not relayed.
func (s *relay) events(emit bool) {
	s.out = s.out[:0]
	if s.binary {
		s.pieces(emit)
		return
	}
	rest := s.in
	for !s.meter.done {
		end := eventEnd(rest, s.searched)
		if end < 0 {
			s.searched = len(rest)
			break
		}
		s.searched = 0
		event := rest[:end]
		rest = rest[end:]
		failed := s.meter.failed
		strip, hold := s.meter.watch(event)
		if s.meter.failed && !failed {
			event = s.body.wire.raising(event)
		}
		if !emit || strip && !s.body.includeUsage {
			continue
		}
		s.out = append(s.out, s.held...)
		s.held = s.held[:0]
		if hold {
			s.held = append(s.held, event...)
		} else {
			s.out = append(s.out, event...)
		}
	}
	if len(rest) < len(s.in) {
		s.in = append(s.in[:0], rest...)
	}
}

// pieces takes what has come of a sound, and holds the newest back.
func (s *relay) pieces(emit bool) {
	if emit && len(s.in) > 0 {
		s.out = append(s.out, s.held...)
		s.held = append(s.held[:0], s.in...)
	}
	s.in = s.in[:0]
}

// eventEnd is the length of the first whole event, or -1. Events end with a blank line. That none ends within the first
// searched bytes is known.
func eventEnd(b []byte, searched int) int {
	for i := max(searched-2, 0); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		rest := b[i:]
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		}
	}
}

// finish records the call and then lets its end pass.
func (s *relay) finish(err error) {
	s.ended = true
	complete := s.meter.done || errors.Is(err, io.EOF) && s.sufficient()
	status := usage.OK
	if !complete || s.meter.failed {
		status = usage.Failed
	}
	if recordErr := s.record(status); recordErr != nil {
		s.fail(notRecorded(recordErr))
		return
	}
	if complete {
		s.out = append(s.out, s.held...)
		if !s.meter.done {
			s.out = append(s.out, s.body.wire.closing...)
		}
		return
	}
	if !s.meter.failed { // else the provider's own error has passed
		if err == nil || errors.Is(err, io.EOF) {
			err = &gateway.Refusal{Reason: gateway.ProviderAway, Cause: io.ErrUnexpectedEOF}
		}
		s.line.err = err
		s.fail(err)
	}
}

// fail tells the client of an error after the first byte. In a sound there is no way to: it breaks off.
func (s *relay) fail(err error) {
	if s.binary {
		s.broken = io.ErrUnexpectedEOF
		return
	}
	s.out = append(s.out, s.body.wire.failure(asProblem(err), s.meter.next)...)
}

// sufficient tells whether an answer that ends without a mark is whole.
func (s *relay) sufficient() bool {
	return s.binary || s.meter.final || s.meter.more || s.body.wire.usageOption && int64(s.meter.finishes) >= s.body.choices
}

// record ends the call once.
func (s *relay) record(status usage.Status) error {
	if s.recorded {
		return nil
	}
	s.recorded = true
	o := gateway.Outcome{
		Status: status, HTTPStatus: fiber.StatusOK, ProviderID: s.providerID, FirstByte: s.firstByte,
		Object: s.meter.object, Complete: (status == usage.OK || s.meter.done) && s.meter.sound(),
	}
	if s.goesOn() { // and will have used more than has come
		s.a.follow(s.line, s.call, s.meter, o)
		return nil
	}
	o.Tokens, o.Estimated = s.meter.used()
	if s.binary && s.firstByte > 0 && s.call.TokenPriced() { // a bare sound tells no usage, but its text was read
		o.Tokens.Input, o.Estimated = s.body.wire.count(s.body), true
	}
	return s.call.Finish(o)
}

// goesOn tells whether the provider makes the response even if nobody reads it.
func (s *relay) goesOn() bool {
	return s.body.background && s.meter.object != "" && !s.meter.done && !s.meter.failed
}

// Close is called by the server after the last byte, or when the client has gone: then the provider is read on for
// its usage figure, for as long as the policy allows; past that, what was delivered is counted.
func (s *relay) Close() (err error) {
	defer s.survive(&err)
	if !s.ended {
		s.ended = true
		stop := s.drainFor(s.a.gate.AbortDrain)
		for over := false; !over && !s.goesOn(); {
			over, _ = s.pull(false)
		}
		stop()
		if err := s.record(usage.Aborted); err != nil {
			s.line.err = err
		}
	} else if s.meter.done {
		// Reading to the very end lets the connection serve the next call. It has come, or is about to.
		deadline := time.AfterFunc(time.Second, s.cancel)
		_, _ = io.Copy(io.Discard, io.LimitReader(s.answer, maxEvent))
		deadline.Stop()
	}
	err = s.answer.Close()
	s.cancel()
	s.a.write(s.line, fiber.StatusOK)
	return err
}

// drainFor breaks the provider's answer off after d, unless others wait for it as well.
func (s *relay) drainFor(d time.Duration) (stop func()) {
	ended := make(chan struct{})
	go func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			select {
			case <-ended:
				return
			case <-timer.C:
			}
			if !s.call.Shared() {
				s.cancel()
				return
			}
			timer.Reset(time.Second)
		}
	}()
	return func() { close(ended) }
}
