package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func join(t *testing.T, c *Cache, body string) (*Flight, bool) {
	t.Helper()
	q := mustAsk(t, c, 1, chat, body, Smart)
	return c.Join(&q)
}

// eventually polls until a state is reached.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: " + what)
		}
	}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestFlightGivesEachFollowerTheWholeAnswerAsItComes(t *testing.T) {
	c, ctx := newCache(t, Options{}), bounded(t)
	leader, first := join(t, c, question("Olá, tudo bem?"))
	if !first {
		t.Fatal("the first caller follows")
	}
	const followers, chunks = 64, 200
	var want bytes.Buffer
	for i := range chunks {
		fmt.Fprintf(&want, "data: chunk %d\n\n", i)
	}
	arrived := make(chan struct{}, followers)
	var wg sync.WaitGroup
	for i := range followers {
		f, first := join(t, c, question([]string{"Olá, tudo bem?", "OLA, tudo  bem"}[i%2]))
		if first || f != leader {
			t.Fatal("a second flight of one question")
		}
		wg.Go(func() {
			defer f.Leave()
			head, err := f.Wait(ctx)
			if err != nil || head != (Head{200, "text/event-stream", true}) {
				t.Errorf("head %v, %v", head, err)
			}
			one := make([]byte, 1)
			if _, err := f.Reader(ctx).Read(one); err != nil || one[0] != 'd' {
				t.Errorf("first byte %q: %v", one, err)
			}
			arrived <- struct{}{}
			var r = f.Reader(ctx)
			if i%3 == 0 {
				r = iotest.OneByteReader(r)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	if n := leader.Followers(); n != followers {
		t.Errorf("%d followers, want %d", n, followers)
	}
	leader.Head(200, "text/event-stream", true)
	for i := range chunks {
		fmt.Fprintf(leader, "data: chunk %d\n\n", i)
		if i == 0 { // all have the beginning before there is more
			for range followers {
				<-arrived
			}
		}
	}
	leader.End(nil)
	wg.Wait()
	if n := leader.Followers(); n != 0 {
		t.Errorf("%d followers are left", n)
	}
	if s := c.Stats(); s.Coalesced != followers || s.Flights != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFlightIsOfOneTenantAndOneQuestion(t *testing.T) {
	c := newCache(t, Options{})
	bodies := []string{question("Olá, tudo bem?"), question("Olá, tudo mal?")}
	for tenant := int64(1); tenant < 3; tenant++ {
		for _, body := range bodies {
			for _, m := range []Mode{Exact, Smart} {
				q := mustAsk(t, c, tenant, chat, body, m)
				if _, leader := c.Join(&q); !leader {
					t.Errorf("tenant %d follows in mode %d: %s", tenant, m, body)
				}
			}
		}
	}
}

func TestFlightThatEndedIsNotJoined(t *testing.T) {
	c := newCache(t, Options{})
	for _, end := range []error{nil, errors.New("broken"), ErrLeaderGone} {
		f, leader := join(t, c, question("Olá, tudo bem?"))
		if !leader {
			t.Fatal("a flight that ended is joined")
		}
		f.Head(200, "", false)
		f.End(end)
	}
}

func TestFlightTellsFollowersHowItEnded(t *testing.T) {
	broken := errors.New("connection reset")
	for name, flight := range map[string]struct {
		lead func(*Flight)
		wait error
		body string
		read error
	}{
		"clean":             {func(f *Flight) { f.Head(200, "", false); _, _ = f.Write([]byte("all")); f.End(nil) }, nil, "all", nil},
		"refused":           {func(f *Flight) { f.Head(429, "", false); _, _ = f.Write([]byte("no")); f.End(nil) }, nil, "no", nil},
		"before its head":   {func(f *Flight) { f.End(broken) }, broken, "", broken},
		"without a head":    {func(f *Flight) { f.End(nil) }, ErrLeaderGone, "", ErrLeaderGone},
		"midway":            {func(f *Flight) { f.Head(200, "", true); _, _ = f.Write([]byte("ha")); f.End(broken) }, nil, "ha", broken},
		"EOF as an error":   {func(f *Flight) { f.Head(200, "", true); f.End(io.EOF) }, nil, "", io.ErrUnexpectedEOF},
		"twice":             {func(f *Flight) { f.Head(200, "", true); f.End(nil); f.End(broken); _, _ = f.Write([]byte("x")) }, nil, "", nil},
		"served from store": {func(f *Flight) { f.Serve(&Entry{Body: []byte("kept")}) }, nil, "kept", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, ctx := newCache(t, Options{}), bounded(t)
			leader, _ := join(t, c, question("Olá, tudo bem?"))
			f, _ := join(t, c, question("Olá, tudo bem?"))
			defer f.Leave()
			done := make(chan struct{})
			go func() { defer close(done); flight.lead(leader) }()
			if _, err := f.Wait(ctx); !errors.Is(err, flight.wait) {
				t.Errorf("waited for %v, want %v", err, flight.wait)
			}
			body, err := io.ReadAll(f.Reader(ctx))
			if string(body) != flight.body || !errors.Is(err, flight.read) {
				t.Errorf("read %q, %v; want %q, %v", body, err, flight.body, flight.read)
			}
			<-done
		})
	}
}

func TestFlightOfALeaderThatPanicsEnds(t *testing.T) {
	c, ctx := newCache(t, Options{}), bounded(t)
	leader, _ := join(t, c, question("Olá, tudo bem?"))
	f, _ := join(t, c, question("Olá, tudo bem?"))
	go func() {
		defer func() { _ = recover() }()
		defer leader.End(ErrLeaderGone)
		leader.Head(200, "text/event-stream", true)
		_, _ = leader.Write([]byte("data"))
		panic("a bug")
	}()
	if body, err := io.ReadAll(f.Reader(ctx)); string(body) != "data" || !errors.Is(err, ErrLeaderGone) {
		t.Errorf("read %q, %v", body, err)
	}
	if _, leads := join(t, c, question("Olá, tudo bem?")); !leads {
		t.Error("the flight is still in the table")
	}
}

func TestFlightTooLargeToBeJoinedFeedsThoseWhoHaveJoined(t *testing.T) {
	c, ctx := newCache(t, Options{MaxEntry: 100}), bounded(t)
	leader, _ := join(t, c, question("Olá, tudo bem?"))
	early, _ := join(t, c, question("Olá, tudo bem?"))
	leader.Head(200, "", true)
	for range 2 * flightFactor {
		if n, err := leader.Write(make([]byte, 60)); n != 60 || err != nil {
			t.Fatal("the leader is disturbed")
		}
	}
	if _, leads := join(t, c, question("Olá, tudo bem?")); !leads {
		t.Error("a flight that is too large is joined")
	}
	leader.End(nil)
	if s := c.Stats(); s.Flights != 1 {
		t.Errorf("the end of the old flight ended the new one: %d", s.Flights)
	}
	if _, err := early.Wait(ctx); err != nil {
		t.Error(err)
	}
	if body, err := io.ReadAll(early.Reader(ctx)); len(body) != 120*flightFactor || err != nil {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	early.Leave()
	if left := c.flights.room.Load(); left != flightRoom || early.buf != nil {
		t.Errorf("%d bytes of room are left of %d", left, flightRoom)
	}
}

func TestFlightThatNobodyFollowsIsNotHeldBeyondWhatCanBeJoined(t *testing.T) {
	c, ctx := newCache(t, Options{MaxEntry: 100}), bounded(t)
	for name, joined := range map[string]bool{"nobody joined": false, "who joined has left": true} {
		leader, _ := join(t, c, question("Olá, tudo bem?"))
		leader.Head(200, "", true)
		if joined {
			f, _ := join(t, c, question("Olá, tudo bem?"))
			_, _ = leader.Write(make([]byte, 150*flightFactor))
			f.Leave()
		}
		_, _ = leader.Write(make([]byte, 150*flightFactor))
		if leader.buf != nil || c.flights.room.Load() != flightRoom {
			t.Errorf("%s: %d bytes are held", name, len(leader.buf))
		}
		if _, err := leader.Wait(ctx); !errors.Is(err, ErrFlightTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		leader.End(nil)
	}
}

func TestFlightsBeyondTheRoomAreGivenUpByTheirFollowersAlone(t *testing.T) {
	c, ctx := newCache(t, Options{MaxEntry: 100}), bounded(t)
	c.flights.room.Store(1000)
	leader, _ := join(t, c, question("Olá, tudo bem?"))
	reads, _ := join(t, c, question("Olá, tudo bem?"))
	leader.Head(200, "", true)
	for range 20 {
		if n, err := leader.Write(make([]byte, 100)); n != 100 || err != nil {
			t.Fatal("the leader is disturbed")
		}
	}
	if body, err := io.ReadAll(reads.Reader(ctx)); len(body) != 100*flightFactor+1000 || !errors.Is(err, ErrFlightTooLarge) {
		t.Errorf("read %d bytes, %v", len(body), err)
	}
	if _, err := reads.Wait(ctx); !errors.Is(err, ErrFlightTooLarge) {
		t.Errorf("who has read nothing yet hears: %v", err)
	}
	leader.End(nil)
	reads.Leave()
	if left := c.flights.room.Load(); left != 1000 {
		t.Errorf("%d bytes of room are left", left)
	}
}

func TestFollowerWhoseClientLeavesStopsWaiting(t *testing.T) {
	c := newCache(t, Options{})
	leader, _ := join(t, c, question("Olá, tudo bem?"))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 20 {
		f, _ := join(t, c, question("Olá, tudo bem?"))
		wg.Go(func() {
			defer f.Leave()
			if _, err := f.Wait(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("waited: %v", err)
			}
			if _, err := f.Reader(ctx).Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
				t.Errorf("read: %v", err)
			}
		})
	}
	cancel()
	wg.Wait()
	if leader.Followers() != 0 {
		t.Error("followers that left are counted")
	}
	leader.End(nil)
}

// TestCallersInARushMakeOneCall plays the whole order of a call: however the callers meet, there is one call.
func TestCallersInARushMakeOneCall(t *testing.T) {
	c, ctx := newCache(t, Options{Embedder: &sameVector{name: "stub"}}), bounded(t)
	for round := range 50 {
		body := question(fmt.Sprintf("Pergunta número %d, por favor", round))
		calls := make(chan int, 100)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				q := mustAsk(t, c, 1, chat, body, Smart)
				if e, _ := c.Find(ctx, &q, time.Hour); e != nil {
					return
				}
				f, leader := c.Join(&q)
				if !leader {
					defer f.Leave()
					if got, err := io.ReadAll(f.Reader(ctx)); err != nil || string(got) != "answer" {
						t.Errorf("%q, %v", got, err)
					}
					return
				}
				defer f.End(ErrLeaderGone)
				if e, _, _ := c.FindAlike(ctx, &q, time.Hour); e != nil {
					f.Serve(e)
					return
				}
				calls <- round
				e := &Entry{Body: []byte("answer")}
				c.Store(ctx, &q, e, time.Hour)
				f.Serve(e)
			})
		}
		wg.Wait()
		if len(calls) != 1 {
			t.Fatalf("%d calls for one question", len(calls))
		}
	}
	s := c.Stats()
	if s.Flights != 0 || s.Stores != 50 || s.ByExact+s.ByNormalised+s.Misses != 50*32 {
		t.Errorf("%+v", s)
	}
}
