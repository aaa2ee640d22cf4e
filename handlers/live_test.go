package handlers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

// counted is a snapshot that says how often its scope was read.
type counted int

func (c counted) parts(_ context.Context, lang i18n.Lang) ([]part, error) {
	return []part{{"n", string(lang) + strconv.Itoa(int(c))}}, nil
}

// counting gives a load that counts itself.
func counting(n *atomic.Int64) func(context.Context) (snapshot, error) {
	return func(context.Context) (snapshot, error) {
		return counted(n.Add(1)), nil
	}
}

// hubAtWork runs a hub in the present bubble; stop ends it and waits.
func hubAtWork(t *testing.T) (hub *liveHub, stop func()) {
	hub = newLiveHub(slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- hub.run(ctx) }()
	return hub, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func joined(t *testing.T, hub *liveHub, s scope, session string, lang i18n.Lang, load func(context.Context) (snapshot, error)) (*viewer, func()) {
	t.Helper()
	v, leave, err := hub.join(session, lang, watch{s, load})
	if err != nil {
		t.Fatal(err)
	}
	return v, leave
}

func TestLiveReadsAScopeAtMostOnceASecondForAllItsViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := hubAtWork(t)
		defer stop()
		var loads atomic.Int64
		for i := range 20 {
			lang := i18n.Langs()[i%2]
			v, _ := joined(t, hub, scope{tenantID: 1}, strconv.Itoa(i), lang, counting(&loads))
			go func() {
				for {
					select {
					case <-v.updates:
					case <-v.gone:
						return
					}
				}
			}()
		}
		for range 1000 { // ten seconds of a hundred calls each
			hub.notify()
			time.Sleep(10 * time.Millisecond)
		}
		if n := loads.Load(); n < 9 || n > 11 {
			t.Errorf("%d reads in ten seconds, want one a second", n)
		}
	})
}

func TestLiveMovesOnEachMinuteWithoutCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := hubAtWork(t)
		defer stop()
		var loads atomic.Int64
		joined(t, hub, scope{}, "s", i18n.PtBR, counting(&loads))
		time.Sleep(5*time.Minute + 30*time.Second)
		if n := loads.Load(); n < 5 || n > 7 {
			t.Errorf("%d reads in five minutes, want one a minute", n)
		}
	})
}

func TestLiveGivesASlowViewerTheNewestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := hubAtWork(t)
		defer stop()
		var loads atomic.Int64
		v, _ := joined(t, hub, scope{}, "s", i18n.En, counting(&loads))
		for range 5 {
			hub.notify()
			time.Sleep(2 * time.Second)
		}
		if update := <-v.updates; update[0].text != "en"+strconv.Itoa(int(loads.Load())) {
			t.Errorf("got %v after %d reads", update, loads.Load())
		}
		if len(v.updates) != 0 {
			t.Error("older updates were kept")
		}
	})
}

func TestLiveGoesOnWhenAScopeCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := hubAtWork(t)
		defer stop()
		var mended atomic.Bool
		v, _ := joined(t, hub, scope{tenantID: 1}, "a", i18n.PtBR, func(context.Context) (snapshot, error) {
			if !mended.Load() {
				return nil, errors.New("database away")
			}
			return counted(1), nil
		})
		var loads atomic.Int64
		other, _ := joined(t, hub, scope{tenantID: 2}, "b", i18n.PtBR, counting(&loads))
		<-other.updates
		mended.Store(true)
		hub.notify()
		<-v.updates
	})
}

func TestLiveBoundsViewersAndFreesTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := hubAtWork(t)
		defer stop()
		var loads atomic.Int64
		var leaves []func()
		for range maxOwnViewers {
			_, leave := joined(t, hub, scope{}, "greedy", i18n.PtBR, counting(&loads))
			leaves = append(leaves, leave)
		}
		if _, _, err := hub.join("greedy", i18n.PtBR, watch{scope{}, counting(&loads)}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("one more of the same session: %v", err)
		}
		_, leave := joined(t, hub, scope{tenantID: 9}, "modest", i18n.PtBR, counting(&loads))
		for _, l := range append(leaves, leave) {
			l()
		}
		hub.mu.Lock()
		defer hub.mu.Unlock()
		if hub.viewers != 0 || len(hub.feeds) != 0 || len(hub.own) != 0 {
			t.Errorf("%d viewers, %d feeds, %d sessions are left", hub.viewers, len(hub.feeds), len(hub.own))
		}
	})
}

func TestLiveIsBoundedOverAll(t *testing.T) {
	hub := newLiveHub(slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	var loads atomic.Int64
	for i := range maxViewers {
		joined(t, hub, scope{}, strconv.Itoa(i), i18n.PtBR, counting(&loads))
	}
	if _, _, err := hub.join("late", i18n.PtBR, watch{scope{}, counting(&loads)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("one too many: %v", err)
	}
}

func TestLiveClosedTakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := hubAtWork(t)
		var loads atomic.Int64
		v, _ := joined(t, hub, scope{}, "s", i18n.PtBR, counting(&loads))
		hub.close()
		<-v.gone
		stop() // closes again
		if _, _, err := hub.join("s", i18n.PtBR, watch{scope{}, counting(&loads)}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// writtenStream is what a stream wrote: everything flushed so far.
type writtenStream struct {
	bytes.Buffer
	left time.Time // from then on nobody reads; zero: never
}

func (w *writtenStream) Write(p []byte) (int, error) {
	if !w.left.IsZero() && time.Now().After(w.left) {
		return 0, io.ErrClosedPipe
	}
	return w.Buffer.Write(p)
}

func TestStreamSendsOnlyWhatChanged(t *testing.T) {
	var out writtenStream
	e := events{w: bufio.NewWriter(&out), sent: map[string]string{}}
	for _, update := range [][]part{
		{{"a", "one\ntwo"}, {"b", "x"}},
		{{"a", "one\ntwo"}, {"b", "y\r\nz"}},
		{{"a", "one\ntwo"}, {"b", "y\r\nz"}},
	} {
		if _, err := e.update(update); err != nil {
			t.Fatal(err)
		}
	}
	const want = "event: a\ndata: one\ndata: two\n\nevent: b\ndata: x\n\nevent: b\ndata: y\ndata: z\n\n"
	if out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
}

func TestStreamBeatsAndEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writtenStream
		e := events{w: bufio.NewWriter(&out), sent: map[string]string{}}
		v := &viewer{updates: make(chan []part, 1), gone: make(chan struct{})}
		signedOutAt := time.Now().Add(time.Minute)
		e.follow(v, func(context.Context) bool { return time.Now().Before(signedOutAt) })
		if late := time.Since(signedOutAt); late > sessionEvery {
			t.Errorf("ended %v after the session", late)
		}
		want := ": live\n\n" + strings.Repeat(": \n\n", int(time.Minute/heartbeatEvery)-1) + "event: signed-out\ndata: \n\n"
		if out.String() != want {
			t.Errorf("wrote %q, want %q", out.String(), want)
		}
	})
}

func TestStreamEndsWhenItsPageLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writtenStream
		e := events{w: bufio.NewWriter(&out), sent: map[string]string{}}
		v := &viewer{updates: make(chan []part, 1), gone: make(chan struct{})}
		start := time.Now()
		out.left = start.Add(40 * time.Second)
		e.follow(v, func(context.Context) bool { return true })
		if took := time.Since(start); took > 40*time.Second+2*heartbeatEvery {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestShelfReadsAgainAfterAMinute(t *testing.T) {
	now := time.Unix(0, 0)
	s := newShelf[int, int](func() time.Time { return now })
	reads := 0
	get := func(key int) int {
		v, err := s.get(key, func() (int, error) { reads++; return reads, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if first, again, other := get(1), get(1), get(2); first != 1 || again != 1 || other != 2 {
		t.Errorf("%d reads of two keys", reads)
	}
	now = now.Add(shelfLife)
	if get(1) != 3 {
		t.Error("what is a minute old was given again")
	}
	if _, err := s.get(3, func() (int, error) { return 0, io.EOF }); err != io.EOF {
		t.Errorf("%v, want the read's own error", err)
	}
	for i := range 3 * shelfSize {
		get(i + 10)
		if len(s.items) > shelfSize {
			t.Fatalf("%d items are kept", len(s.items))
		}
	}
}
