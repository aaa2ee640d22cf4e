package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"

	"github.com/fila-ia/filaia/internal/gateway"
)

// anyStream is what a stream asks for where its message does not say.
const anyStream = "text/event-stream, */*"

// Stream gives the answer as it comes. Ending ctx breaks it off, and so do Abort and a provider that passes a time
// limit. An error is a *gateway.Refusal, and so is any of Read's but io.EOF; Unsent tells whether the provider can know
// of the call.
func (c *Client) Stream(ctx context.Context, m *gateway.Message) (gateway.StreamAnswer, error) {
	target, err := c.target(m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stream{client: c, ctx: ctx, cancel: cancel}
	s.forget = context.AfterFunc(c.life, func() { cancel(nil) })
	s.guard = newGuard(c.limits, cancel)
	req, err := c.request(ctx, m, target)
	if err == nil {
		s.res, err = c.stream.RoundTrip(req) // which follows no redirect
	} else {
		err = &unsent{err}
	}
	if err != nil {
		err = s.failure(err) // before ctx ends by over
		s.over()
		return nil, err
	}
	return s, nil
}

func (c *Client) request(ctx context.Context, m *gateway.Message, target string) (*http.Request, error) {
	var body io.Reader
	if len(m.Body) > 0 {
		body = bytes.NewReader(m.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method(m), target, body)
	if err != nil {
		return nil, err
	}
	accept := m.Accept
	if accept == "" {
		accept = anyStream
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", contentType(m))
	}
	if c.authHeader != "" {
		req.Header.Set(c.authHeader, c.authValue)
	}
	return req, nil
}

type stream struct {
	client *Client
	ctx    context.Context // the call's
	cancel context.CancelCauseFunc
	forget func() bool // ends the wait for Abort
	guard  *guard
	res    *http.Response
}

func (s *stream) Status() int               { return s.res.StatusCode }
func (s *stream) Header(name string) string { return s.res.Header.Get(name) }

// Read gives what has come, as soon as anything has.
func (s *stream) Read(p []byte) (int, error) {
	s.guard.wait()
	n, err := s.res.Body.Read(p)
	s.guard.come()
	// A provider may take our breaking off for the end, and end its answer in good order: still it was broken off.
	if err != nil && (err != io.EOF || s.ctx.Err() != nil) {
		err = s.failure(err)
	}
	return n, err
}

// Close ends the stream. A stream that was read to its end leaves its connection for the next call; any other is
// torn down with it.
func (s *stream) Close() error {
	err := s.res.Body.Close()
	s.over()
	return err
}

func (s *stream) over() {
	s.guard.end()
	s.forget()
	s.cancel(nil)
}

// failure tells what broke the stream off: where it was us, net/http's error is only what came of it.
func (s *stream) failure(err error) error {
	switch cause := context.Cause(s.ctx); {
	case cause != nil:
		err = cause
	case s.res == nil && !Unsent(err) && isTimeout(err) && !errors.Is(err, syscall.ETIMEDOUT):
		err = &passed{"first byte", s.client.limits.firstByte}
	}
	return s.client.refusal(err)
}
