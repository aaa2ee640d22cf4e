package cache

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/redistest"
)

// replicas are caches on one Redis, as two processes have them.
func replicas(t *testing.T, s *redistest.Server, o Options) (one, two *Cache) {
	o.Embedder = &sameVector{name: "stub"}
	caches := [2]*Cache{}
	for i := range caches {
		o.Redis = newClient(t, s)
		caches[i] = newCache(t, o)
		patient(caches[i])
	}
	return caches[0], caches[1]
}

func TestReplicasShareAnswersInACluster(t *testing.T) {
	ctx := bounded(t)
	one, two := replicas(t, redistest.StartCluster(t), Options{})
	q := mustAsk(t, one, 1, chat, question("Abre aos sábados?"), Smart)
	store(t, ctx, one, &q, &Entry{Body: []byte("sim"), Model: "m"}, time.Hour)
	for text, how := range map[string]How{"Abre aos sábados?": ByExact, "abre aos sabados": ByNormalised} {
		if e, got := seek(ctx, two, mustAsk(t, two, 1, chat, question(text), Smart), time.Hour); got != how || string(e.Body) != "sim" {
			t.Errorf("%q: %v, want %v", text, got, how)
		}
	}
	if s := one.Stats(); s.RedisErrors != 0 {
		t.Errorf("%d errors", s.RedisErrors)
	}
}

func TestPurgeOnOneReplicaHoldsOnAllAtOnce(t *testing.T) {
	ctx := bounded(t)
	one, two := replicas(t, redistest.Start(t), Options{})
	const text, alike = "Abre aos sábados?", "A loja abre aos sábados, né?"
	for range 3 {
		for _, c := range []*Cache{one, two} {
			q := mustAsk(t, c, 1, chat, question(text), Smart)
			store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)
		}
		late := mustAsk(t, two, 1, chat, question("Outra pergunta aqui"), Smart)
		two.Find(ctx, &late, time.Hour)
		if err := one.Purge(ctx, 1); err != nil {
			t.Fatal(err)
		}
		two.Store(ctx, &late, &Entry{Body: []byte("late")}, time.Hour)
		for _, c := range []*Cache{two, one} {
			for _, asked := range []string{text, alike, "Outra pergunta aqui"} {
				if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(asked), Smart), time.Hour); how != Missed {
					t.Fatalf("%q is still answered by %v", asked, how)
				}
			}
		}
		if err := one.Purge(ctx, 1); err != nil {
			t.Fatal(err)
		}
		q := mustAsk(t, one, 1, chat, question(text), Smart)
		store(t, ctx, one, &q, &Entry{Body: []byte("new")}, time.Hour)
		if e, how := seek(ctx, two, mustAsk(t, two, 1, chat, question(text), Smart), time.Hour); how != ByExact || string(e.Body) != "new" {
			t.Fatalf("what was stored after the purge: %v", how)
		}
	}
}

func TestRedisAwayIsAMissThatIsSaidOnce(t *testing.T) {
	s, clock, log := redistest.Start(t), newClock(), &bytes.Buffer{}
	c := newCache(t, clock.options(Options{Redis: newClient(t, s), Log: slog.New(slog.NewTextHandler(log, nil))}))
	patient(c)
	ctx := bounded(t)
	ask := func() Question { return mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Smart) }
	q := ask()
	store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)

	c.shelf.(*redis).patience = 50 * time.Millisecond
	s.Stop()
	for range 20 {
		q := ask()
		if _, how := c.Find(ctx, &q, time.Hour); how != Missed {
			t.Fatal("found without Redis")
		}
		if q.generation != 0 {
			t.Fatal("the generation is believed though it was not seen")
		}
		c.Store(ctx, &q, &Entry{Body: []byte("sim")}, time.Hour)
	}
	if errors := c.Stats().RedisErrors; errors == 0 || errors > 2 {
		t.Errorf("Redis was tried %d times while it was away", errors)
	}
	if c.Health() == nil {
		t.Error("Redis is away, and all is well")
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if c.Purge(short, 1) == nil {
		t.Error("a purge that did nothing is told as done")
	}

	s.Restart()
	patient(c)
	eventually(t, "found again", func() bool {
		clock.pass(redisRest)
		q := ask()
		c.Find(ctx, &q, time.Hour)
		c.Store(ctx, &q, &Entry{Body: []byte("sim")}, time.Hour)
		_, how := c.Find(ctx, &q, time.Hour)
		return how == ByExact
	})
	if c.Health() != nil {
		t.Errorf("Redis is back: %v", c.Health())
	}
	if n := strings.Count(log.String(), "goes without"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
}

func TestRedisThatFallsSilentSlowsOneCallOnly(t *testing.T) {
	s := redistest.Start(t)
	clock := newClock()
	c := newCache(t, clock.options(Options{Redis: newClient(t, s)}))
	patient(c)
	ctx := bounded(t)
	q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Exact)
	store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)
	c.shelf.(*redis).patience = redisPatience
	s.Stall()
	defer s.Resume()
	for range 1000 { // at 100 ms each they would not end in time
		if _, how := c.Find(ctx, &q, time.Hour); how != Missed {
			t.Fatal("found in silence")
		}
	}
	if ctx.Err() != nil || c.Stats().RedisErrors > 1 {
		t.Errorf("%d waits: %v", c.Stats().RedisErrors, ctx.Err())
	}
}

func TestClientThatLeavesSaysNothingOfRedis(t *testing.T) {
	s := redistest.Start(t)
	c := newCache(t, Options{Redis: newClient(t, s)})
	q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Exact)
	left, leave := context.WithCancel(context.Background())
	leave()
	c.Find(left, &q, time.Hour)
	if c.Health() != nil {
		t.Errorf("Redis is well: %v", c.Health())
	}
}

func TestRedisForgetsAfterTheTimeToLive(t *testing.T) {
	s, ctx := redistest.Start(t), bounded(t)
	c := newCache(t, Options{Redis: newClient(t, s)})
	patient(c)
	q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Smart)
	store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, 50*time.Millisecond)
	eventually(t, "expired", func() bool {
		_, how := c.Find(ctx, &q, time.Hour)
		return how == Missed
	})
}

// What stands in Redis may have been written by another version, or by a stranger.
func TestEntryOfUnknownFormIsAMiss(t *testing.T) {
	codec, err := newCodec(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	whole := codec.marshal(&Entry{Stream: true, ContentType: "text/event-stream", Model: "m", Body: bytes.Repeat([]byte("data: x\n\n"), 1000), StoredAt: time.Now()})
	if e, err := codec.unmarshal(whole); err != nil || len(e.Body) != 9000 {
		t.Fatalf("%v", err)
	}
	for n := range whole {
		if e, err := codec.unmarshal(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d are an entry: %v", n, len(whole), e)
		}
	}
	bomb := codec.marshal(&Entry{Body: make([]byte, 50<<20)})
	if _, err := codec.unmarshal(bomb); err == nil {
		t.Error("an entry larger than any that is stored is unpacked")
	}
	if _, err := codec.unmarshal([]byte{99, 0, 0}); err == nil {
		t.Error("an entry of another version is read")
	}
}

func TestInstallationsOnOneRedisShareNothing(t *testing.T) {
	ctx, server := bounded(t), redistest.Start(t)
	one, same := replicas(t, server, Options{Space: "filaia:one:"})
	other, _ := replicas(t, server, Options{Space: "filaia:other:"})
	const text = "Qual é o saldo da conta?"
	q := mustAsk(t, one, 1, chat, question(text), Smart)
	store(t, ctx, one, &q, &Entry{Body: []byte("R$ 12,00"), Model: "m"}, time.Hour)
	for _, asked := range []string{text, "qual e o saldo da conta"} {
		if e, how := seek(ctx, other, mustAsk(t, other, 1, chat, question(asked), Smart), time.Hour); how != Missed {
			t.Errorf("a tenant of the same number reads %q by %v", e.Body, how)
		}
	}
	if err := other.Purge(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, how := seek(ctx, same, mustAsk(t, same, 1, chat, question(text), Exact), time.Hour); how != ByExact {
		t.Errorf("the other's purge took it: %v", how)
	}
}
