package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/fila-ia/filaia/handlers/v1"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/openaitest"
)

// reader is the connection of a client that takes so many bytes before each deadline, the last figure for ever.
type reader struct {
	net.Conn
	takes []int
	taken strings.Builder
	looks int
}

func (r *reader) SetWriteDeadline(time.Time) error { r.looks++; return nil }

func (r *reader) Write(p []byte) (int, error) {
	n := min(r.takes[0], len(p))
	if len(r.takes) > 1 {
		r.takes = r.takes[1:]
	}
	r.taken.Write(p[:n])
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func TestAClientIsCutOnlyWhenItReadsNothing(t *testing.T) {
	const text = "uma resposta"
	for name, c := range map[string]struct {
		takes []int
		taken string
		looks int
		err   error
	}{
		"all at once":                     {[]int{99}, text, 1, nil},
		"a byte at a time":                {[]int{1}, text, len(text), nil},
		"with pauses":                     {[]int{0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 99}, text, 12, nil},
		"nothing":                         {[]int{0}, "", stallLooks, os.ErrDeadlineExceeded},
		"nothing any more after a moment": {[]int{0, 0, 3, 0}, "uma", 3 + stallLooks, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reader{takes: c.takes}
			n, err := (&stallConn{Conn: r, look: time.Second}).Write([]byte(text))
			if n != len(c.taken) || r.taken.String() != c.taken || !errors.Is(err, c.err) || r.looks != c.looks {
				t.Errorf("wrote %d: %q in %d looks: %v", n, r.taken.String(), r.looks, err)
			}
		})
	}
}

func TestAnotherErrorEndsAWriteAtOnce(t *testing.T) {
	here, there := net.Pipe()
	there.Close()
	if _, err := (&stallConn{Conn: here, look: time.Minute}).Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// timed is a connection that tells which deadlines it was given.
type timed struct {
	net.Conn
	reads, writes []time.Time
}

func (c *timed) SetReadDeadline(t time.Time) error  { c.reads = append(c.reads, t); return nil }
func (c *timed) SetWriteDeadline(t time.Time) error { c.writes = append(c.writes, t); return nil }
func (c *timed) Write(p []byte) (int, error)        { return len(p), nil }

func TestDeadlinesThatHardlyDifferAreSetOnce(t *testing.T) {
	c := &timed{}
	conn := &stallConn{Conn: c, look: 16 * time.Hour}
	for range 3 {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.writes) != 1 {
		t.Errorf("deadlines for three writes: %v", c.writes)
	}
	at := time.Now()
	for _, after := range []time.Duration{time.Minute, 2 * time.Minute, time.Minute - 1, 58 * time.Minute, 59 * time.Minute, -time.Minute} {
		if err := conn.SetReadDeadline(at.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.reads {
		if r.IsZero() {
			got = append(got, "none")
		} else {
			got = append(got, r.Sub(at).String())
		}
	}
	if text := strings.Join(got, " "); text != "1m0s 59.999999999s -1m0s none" {
		t.Errorf("deadlines %s", text)
	}
}

// TestAStreamThatNobodyReadsIsCutAndRecorded serves in this process, to give a client less than a minute.
func TestAStreamThatNobodyReadsIsCutAndRecorded(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	db := i.serveHere(200 * time.Millisecond)
	_, key := i.customer("mudo", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block", "--parallel", "1")

	p.Next(openaitest.Behaviour{Text: strings.Repeat("pão ", 4000)}) // with its envelopes far beyond all buffers
	body := `{"model":"gpt-4.1-nano","stream":true,"max_tokens":9000,"messages":[{"role":"user","content":"Pão?"}]}`
	mute, err := net.Dial("tcp", i.address)
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	if err := mute.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(mute, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		key, len(body), body)

	var status string
	var out int64
	eventually(t, "the call is recorded", func() bool {
		return db.DB().QueryRow(`SELECT status, output_tokens FROM usage_events`).Scan(&status, &out) == nil
	})
	if status != "aborted" || out < 4000 {
		t.Errorf("recorded as %s with %d output tokens", status, out)
	}
	if r := i.chat(key, question); r.err != nil || r.status != http.StatusOK {
		t.Errorf("the only place for a call is still taken: %d %s %v", r.status, r.body, r.err)
	}
}

// serveHere answers calls in this process until the test ends, and cuts clients that read nothing for limit.
func (i *install) serveHere(limit time.Duration) *database {
	i.t.Helper()
	must := func(err error) {
		i.t.Helper()
		if err != nil {
			i.t.Fatal(err)
		}
	}
	ctx, log := context.Background(), discardLog()
	cfg, err := config.Load(func(name string) string {
		for _, e := range i.env {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value
			}
		}
		return ""
	})
	must(err)
	db, err := openDatabase(ctx, cfg, log)
	must(err)
	i.t.Cleanup(func() { db.close(log) })
	must(prepare(ctx, db.Store))
	core, err := openCore(ctx, cfg, db, log)
	must(err)
	i.t.Cleanup(func() { core.close(log) })
	site := newSite(cfg, db, core, log)
	listener, err := listen(cfg.Listen)
	must(err)

	working, stop := context.WithCancel(ctx)
	workers, working := errgroup.WithContext(working)
	workers.Go(func() error { return core.ledger.Run(working) })
	workers.Go(func() error { return core.quota.Run(working) })
	workers.Go(func() error { return listenChanges(working, db, core, site, func() {}, log) })
	workers.Go(func() error { return site.app.Listener(cutStalled(v1.Linger(smallBuffers{listener}), limit)) })
	i.t.Cleanup(func() {
		site.stop(core, log)
		stop()
		if err := workers.Wait(); err != nil {
			i.t.Error(err)
		}
	})
	return db
}

// smallBuffers makes the kernel hold little of what a client does not read.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
}

func TestAStopDoesNotWaitForConnectionsThatSaidNothing(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	s := i.serve()
	_, key := i.customer("calado", "--input-tokens", "1000", "--output-tokens", "1000", "--overage", "block")
	for range 3 { // as browsers open them ahead
		conn, err := net.Dial("tcp", i.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	// Connections are accepted in their order: these have been, once a call is answered.
	if r := s.chat(key, question); r.status != http.StatusOK {
		t.Fatalf("%d %s %v", r.status, r.body, r.err)
	}
	s.stop()
	if log := s.output.String(); strings.Contains(log, "cutting calls") {
		t.Fatalf("the stop waited until calls were cut, and there were none:\n%s", log)
	}
}
