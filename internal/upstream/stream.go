package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/fila-ia/filaia/internal/gateway"
)

// Stream posts a JSON body and gives the answer as it comes. Ending ctx breaks it off, and so do Abort and a provider
// that stays silent for too long.
func (c *Client) Stream(ctx context.Context, path string, body []byte) (gateway.StreamAnswer, error) {
	if err := c.life.Err(); err != nil {
		return nil, refusal(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(c.life, func() { cancel(nil) })
	over := func() { forget(); cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		over()
		return nil, refusal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", c.auth)
	req.Header.Set("User-Agent", "filaia")
	res, err := c.stream.Do(req)
	if err != nil {
		over()
		return nil, refusal(err)
	}
	s := &stream{res: res, over: over}
	s.idle = time.AfterFunc(idleTimeout, func() { cancel(context.DeadlineExceeded) })
	return s, nil
}

type stream struct {
	res  *http.Response
	over func() // frees the call's context
	idle *time.Timer
}

func (s *stream) Status() int               { return s.res.StatusCode }
func (s *stream) Header(name string) string { return s.res.Header.Get(name) }

// Read gives what has come, as soon as anything has.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.res.Body.Read(p)
	if err == nil {
		s.idle.Reset(idleTimeout)
	} else if err != io.EOF {
		err = refusal(err)
	}
	return n, err
}

// Close ends the stream. A stream that was read to its end leaves its connection for the next call; any other is
// torn down with it.
func (s *stream) Close() error {
	s.idle.Stop()
	err := s.res.Body.Close()
	s.over()
	return err
}
