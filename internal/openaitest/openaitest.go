// Package openaitest is an OpenAI-compatible HTTP server that needs no provider: the simulator that answers while no
// provider key is configured, the counterpart in tests, and the fixed, cheap provider of benchmarks.
//
// It serves chat, completions, responses, embeddings, moderations, images, audio and models, at OpenAI's addresses and at
// Azure's. It keeps to what OpenAI puts on the wire: ids, chunks, usage with its subsets, errors, headers. Answers are
// plausible Portuguese, the same for the same messages, and their token counts are real. Behaviours make it fail on purpose:
// statuses, resets, stalls, torn or malformed streams, missing or excessive usage. Its own statistics let a test check a
// gateway's against an independent count.
package openaitest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Options say how a server answers. The zero value answers every request at once, on a free port.
type Options struct {
	Listen string // address to listen on; empty: 127.0.0.1 and a free port

	Keys     []string // the bearer keys that are accepted; none: any, though one must be given
	Models   []string // the models that exist; none: OpenAI's usual ones
	AnyModel bool     // accept models that are not listed, too

	Latency         time.Duration // until the first byte of a generated answer
	TokensPerSecond float64       // the pace of generation, of streams and of whole answers; 0: at once
	BackgroundStep  time.Duration // how long a background response is queued, and then in progress; 0: for one fetch each

	Fixed  *Fixed                   // answer every chat with the same bytes
	Script func(*Request) Behaviour // what to do with a request for which Next left nothing; nil: answer it
	Group  func(*Request) string    // adds up Stats by this, too, where it is not ""
	Record bool                     // keep the last requests for Requests

	// Journal is told of each answer and each error as it counts, before its last byte is sent. It is called by many at once.
	Journal func(Entry)
}

// Simulator returns the options of the provider that is built in: a believable pace, and any model.
func Simulator() Options {
	return Options{AnyModel: true, Latency: 250 * time.Millisecond, TokensPerSecond: 55, BackgroundStep: time.Second}
}

// Server answers until Close. It is safe for concurrent use.
type Server struct {
	opts     Options
	fixed    *fixedAnswer
	models   catalogue
	listener net.Listener
	http     *fasthttp.Server
	conns    connections
	ids      ids
	queue    queue
	stats    stats
	record   recorder
	prompts  promptCache

	responses responseStore

	closing sync.Once
	done    chan struct{} // closed by Close: wakes whoever sleeps or stalls
	ended   chan error    // what the accept loop ended with
}

// maxBody bounds a request's body in bytes, as large as OpenAI takes a batch file.
const maxBody = 200 << 20

// New starts a server. The caller must Close it.
func New(o Options) (*Server, error) {
	addr := o.Listen
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("openaitest: listen on %s: %w", addr, err)
	}
	s := &Server{
		opts: o, models: newCatalogue(o.Models), listener: listener, ids: newIDs(),
		done: make(chan struct{}), ended: make(chan error, 1),
	}
	if o.Fixed != nil {
		s.fixed = newFixedAnswer(*o.Fixed)
	}
	s.http = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.handleBroken,
		ConnState:                    s.conns.track,
		MaxRequestBodySize:           maxBody,
		ReadBufferSize:               16 << 10, // bounds the request's head
		NoDefaultServerHeader:        true,
		DisablePreParseMultipartForm: true,
		Logger:                       silent{},
	}
	go func() { s.ended <- s.http.Serve(listener) }()
	return s, nil
}

// Serve runs a server on addr until ctx is done.
func Serve(ctx context.Context, addr string, o Options) error {
	o.Listen = addr
	s, err := New(o)
	if err != nil {
		return err
	}
	defer s.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.ended:
		s.ended <- err
		return fmt.Errorf("openaitest: serve %s: %w", addr, err)
	}
}

// URL returns the base URL for a client, such as http://127.0.0.1:40123/v1.
func (s *Server) URL() string {
	return "http://" + s.listener.Addr().String() + "/v1"
}

// Close stops listening, cuts every connection and returns once nothing of the server runs.
func (s *Server) Close() {
	s.closing.Do(func() {
		close(s.done)
		s.listener.Close()
		s.ended <- <-s.ended // the accept loop is over: no connection comes any more
		s.conns.closeAll()
	})
}

// wait sleeps for d. It returns false when the server is closed meanwhile.
func (s *Server) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.done:
		return false
	}
}

// silent drops fasthttp's own log, which quotes request heads and so would print keys.
type silent struct{}

func (silent) Printf(string, ...any) {}
