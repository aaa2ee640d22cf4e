package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/fila-ia/filaia/internal/breaker"
)

// head is what whole and streamed answers have in common.
type head interface {
	comparable
	Status() int
	Header(name string) string
}

// sender is how whole answers and streams differ.
type sender[A head] interface {
	send(ctx context.Context, h *House, m *Message) (A, error)
	check(A) (A, error)            // whether it is an answer at all; on an error it is to be dropped
	body(A) []byte                 // of a failure
	drop(A)                        // another attempt replaces it
	keep(a A, pass breaker.Pass) A // it is relayed; its pass is left with its end
}

type wholeSender struct{}

func (wholeSender) send(ctx context.Context, h *House, m *Message) (Answer, error) {
	return h.Upstream.Send(ctx, m)
}

// check finds what was cut short. That it is JSON all through is for those to see who read it.
func (wholeSender) check(a Answer) (Answer, error) {
	if !sounds(a) {
		return a, unsound()
	}
	return a, nil
}

func sounds(a Answer) bool {
	if a.Status() != http.StatusOK {
		return true
	}
	body := bytes.TrimSpace(a.Body())
	last := len(body) - 1
	if last > 0 && body[0] == '{' && body[last] == '}' {
		return true
	}
	kind := a.Header("Content-Type")
	isJSON := kind == "" || strings.Contains(kind, "json")
	return !isPage(kind) && !(isJSON && (last < 0 || body[0] == '<' || body[0] == '{'))
}

func isPage(contentType string) bool { return strings.HasPrefix(contentType, "text/html") }

func (wholeSender) body(a Answer) []byte { return a.Body() }

func (wholeSender) drop(a Answer) { a.Release() }

func (wholeSender) keep(a Answer, pass breaker.Pass) Answer {
	pass.Leave(breaker.Neutral) // all of it has come
	return a
}

type streamSender struct{}

func (streamSender) send(ctx context.Context, h *House, m *Message) (StreamAnswer, error) {
	// The provider may answer before it has read all; the rest is still being sent when the request's memory is used again.
	m.Body = bytes.Clone(m.Body)
	a, err := h.Upstream.Stream(ctx, m)
	if err == nil && a.Status() == http.StatusTooManyRequests {
		return hear(a), nil
	}
	return a, err
}

// check waits for the first piece: the client is sent nothing before it comes, and so a stream without one can be asked
// for again.
func (streamSender) check(a StreamAnswer) (StreamAnswer, error) {
	if a.Status() != http.StatusOK {
		return a, nil
	}
	if isPage(a.Header("Content-Type")) {
		return a, unsound()
	}
	o := &opened{StreamAnswer: a, first: make([]byte, 0, pieceBytes)}
	for o.err == nil && len(o.first) < pieceBytes && len(bytes.TrimSpace(o.first)) == 0 {
		var n int
		n, o.err = a.Read(o.first[len(o.first):pieceBytes])
		o.first = o.first[:len(o.first)+n]
	}
	switch {
	case o.err == nil || len(bytes.TrimSpace(o.first)) > 0:
		return o, nil
	case errors.Is(o.err, io.EOF):
		return a, unsound()
	}
	return a, o.err
}

func (streamSender) body(a StreamAnswer) []byte {
	if h, ok := a.(*heard); ok {
		return h.body
	}
	return nil
}

func (streamSender) drop(a StreamAnswer) { a.Close() }

func (streamSender) keep(a StreamAnswer, pass breaker.Pass) StreamAnswer {
	return &guarded{StreamAnswer: a, pass: pass, result: breaker.Neutral}
}

// pieceBytes is as much of a stream as is read at once.
const pieceBytes = 4 << 10

// opened is a stream whose first piece has come.
type opened struct {
	StreamAnswer
	first []byte
	err   error // that came with it
}

// Read gives the first piece before all else.
func (o *opened) Read(p []byte) (int, error) {
	if len(o.first) > 0 {
		n := copy(p, o.first)
		o.first = o.first[n:]
		return n, nil
	}
	o.first = nil
	if o.err != nil {
		return 0, o.err
	}
	return o.StreamAnswer.Read(p)
}

// heard is a failure whose body was read because it matters.
type heard struct {
	StreamAnswer
	body []byte
	rest bytes.Reader
}

// maxHeard bounds it; an error has some hundred bytes.
const maxHeard = 64 << 10

func hear(a StreamAnswer) *heard {
	h := &heard{StreamAnswer: a}
	h.body, _ = io.ReadAll(io.LimitReader(a, maxHeard)) // what has come of it will do
	h.rest.Reset(h.body)
	return h
}

// Read gives what was heard.
func (h *heard) Read(p []byte) (int, error) { return h.rest.Read(p) }

// guarded holds a stream's place at its provider until it ends.
type guarded struct {
	StreamAnswer
	pass   breaker.Pass
	result breaker.Result
	closed bool
}

// Read reads; a stream that breaks off is the provider's failure.
func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.StreamAnswer.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		g.result = breaker.Failure
	}
	return n, err
}

// Close ends the stream and frees its place.
func (g *guarded) Close() error {
	err := g.StreamAnswer.Close()
	if !g.closed {
		g.closed = true
		g.pass.Leave(g.result)
	}
	return err
}
