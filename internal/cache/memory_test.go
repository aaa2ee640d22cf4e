package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// text is a body of n bytes that does not compress.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + rand.IntN(26))
	}
	return b
}

func TestMemoryStaysWithinItsBound(t *testing.T) {
	const bound = 8 << 20
	c, ctx := newCache(t, Options{MaxBytes: bound, MaxEntry: 64 << 10}), bounded(t)
	before := heap()
	for i := range 20_000 {
		q := mustAsk(t, c, int64(i%5), chat, question(fmt.Sprint("Pergunta ", i)), Smart)
		c.Store(ctx, &q, &Entry{Body: text(rand.IntN(1500)), ContentType: "application/json", Model: "gpt-4.1-nano"}, time.Hour)
	}
	s := c.Stats()
	if s.Bytes > bound || s.Bytes < bound/2 || s.Evictions == 0 || s.Entries == 0 {
		t.Errorf("%+v", s)
	}
	if grown := heap() - before; grown > bound*5/4 {
		t.Errorf("%d bytes are told, %d are used", s.Bytes, grown)
	}
	runtime.KeepAlive(c)
}

// heap is what is in use, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // a pool keeps its own for one collection
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryKeepsWhatIsAskedForOften(t *testing.T) {
	c, ctx := newCache(t, Options{MaxBytes: 1 << 20, MaxEntry: 64 << 10}), bounded(t)
	popular := mustAsk(t, c, 1, chat, question("O que todos perguntam"), Exact)
	c.Store(ctx, &popular, &Entry{Body: text(1000)}, time.Hour)
	for i := range 10_000 {
		q := mustAsk(t, c, 1, chat, question(fmt.Sprint("O que um pergunta ", i)), Exact)
		c.Store(ctx, &q, &Entry{Body: text(1000)}, time.Hour)
		if _, how := c.Find(ctx, &popular, time.Hour); how != ByExact {
			t.Fatalf("pushed out by %d that nobody asked for again", i)
		}
	}
}

func TestMemoryForgetsAfterTheTimeToLive(t *testing.T) {
	clock := newClock()
	c, ctx := newCache(t, clock.options(Options{Embedder: &sameVector{name: "stub"}})), bounded(t)
	for i := range 10 {
		q := mustAsk(t, c, 1, chat, question(fmt.Sprintf("Pergunta %d aqui", i)), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Duration(i+1)*time.Minute)
	}
	clock.pass(5 * time.Minute)
	for i := range 10 {
		for _, asked := range []string{"Pergunta %d aqui", "pergunta  %d AQUI", "Uma pergunta %d aqui"} {
			_, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(fmt.Sprintf(asked, i)), Smart), time.Hour)
			if (how == Missed) != (i < 5) {
				t.Errorf("of %d minutes after five: %v", i+1, how)
			}
		}
	}
	clock.pass(time.Hour)
	c.sweep()
	if s := c.Stats(); s.Bytes != 0 || s.Entries != 0 || s.Vectors != 0 || s.VectorBytes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRunSweepsUntilItIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Exact)
		c.Store(ctx, &q, &Entry{Body: []byte("sim")}, time.Second)
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(sweepEvery + time.Second)
		synctest.Wait()
		if c.Stats().Entries != 0 {
			t.Error("not swept")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestShardKeepsItsAccount compares a shard with a plain map under any order of events.
func TestShardKeepsItsAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &shard{nodes: map[key]*node{}, max: 100}
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			k := key{byte(rapid.IntRange(0, 20).Draw(t, "key"))}
			switch n := s.nodes[k]; {
			case n == nil || rapid.Bool().Draw(t, "again"):
				s.add(&node{key: k, size: int64(rapid.IntRange(1, 120).Draw(t, "size"))})
			case rapid.Bool().Draw(t, "seen"):
				n.seen = true
			default:
				s.remove(n)
			}
			checkShard(t, s)
		}
	})
}

func checkShard(t *rapid.T, s *shard) {
	var bytes int64
	count, hand := 0, s.hand == nil
	var last *node
	for n := s.oldest; n != nil; last, n = n, n.newer {
		if n.older != last || s.nodes[n.key] != n {
			t.Fatal("the list is broken")
		}
		bytes += n.size
		count++
		hand = hand || n == s.hand
	}
	if last != s.newest || count != len(s.nodes) || bytes != s.bytes || bytes > s.max || !hand {
		t.Fatalf("%d nodes of %d, %d bytes of %d, hand %v", count, len(s.nodes), bytes, s.bytes, hand)
	}
}
