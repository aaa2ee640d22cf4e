package cache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/redis/rueidis"

	"github.com/fila-ia/filaia/internal/redistest"
	"github.com/fila-ia/filaia/internal/usage"
)

// clock is a time that only moves when it is told to.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time            { return time.Unix(0, c.nanos.Load()) }
func (c *clock) pass(d time.Duration)      { c.nanos.Add(int64(d)) }
func (c *clock) options(o Options) Options { o.Now = c.now; return o }

func newClient(t testing.TB, s *redistest.Server) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr()}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// everywhere runs a test on both shelves.
func everywhere(t *testing.T, test func(t *testing.T, ctx context.Context, c *Cache, clock *clock)) {
	t.Run("memory", func(t *testing.T) {
		clock := newClock()
		test(t, bounded(t), newCache(t, clock.options(Options{Embedder: &sameVector{name: "stub"}})), clock)
	})
	t.Run("redis", func(t *testing.T) {
		clock := newClock()
		c := newCache(t, clock.options(Options{Embedder: &sameVector{name: "stub"}, Redis: newClient(t, redistest.Start(t))}))
		patient(c)
		test(t, bounded(t), c, clock)
	})
}

// patient lets a cache wait for a Redis that has to share a busy machine.
func patient(c *Cache) { c.shelf.(*redis).patience = 10 * time.Second }

// store stores an answer as a call does.
func store(t *testing.T, ctx context.Context, c *Cache, q *Question, e *Entry, ttl time.Duration) {
	t.Helper()
	stores := c.Stats().Stores
	c.Find(ctx, q, time.Hour)
	c.Store(ctx, q, e, ttl)
	c.Learn(ctx, q)
	if c.Stats().Stores == stores {
		t.Fatal("not stored")
	}
}

// seek looks for an answer in all ways.
func seek(ctx context.Context, c *Cache, q Question, maxAge time.Duration) (*Entry, How) {
	if e, how := c.Find(ctx, &q, maxAge); e != nil {
		return e, how
	}
	e, how, _ := c.FindAlike(ctx, &q, maxAge)
	return e, how
}

func TestFindGivesWhatWasStored(t *testing.T) {
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, clock *clock) {
		for i, body := range []string{"x", strings.Repeat("Olá! ", 100), strings.Repeat("Olá! ", 20_000), string(noise)} {
			for _, stream := range []bool{false, true} {
				if stream {
					body += "\ndata: [DONE]\n\n"
				}
				text := question(fmt.Sprint("Pergunta ", i, stream))
				q := mustAsk(t, c, 1, chat, text, Exact)
				buffer, contentType := []byte(body), []byte("application/json")
				e := Entry{stream, unsafe.String(&contentType[0], len(contentType)), buffer, "gpt-4.1-nano", usage.Tokens{Input: 1, Cached: 2, Output: 3, Reasoning: 1 << 50}, clock.now().Truncate(time.Millisecond)}
				want := e
				want.Body, want.ContentType = []byte(body), string(contentType)
				store(t, ctx, c, &q, &e, time.Hour)
				copy(buffer, "overwritten") // the request's memory is used again
				copy(contentType, "overwritten")
				got, how := seek(ctx, c, mustAsk(t, c, 1, chat, text, Exact), time.Hour)
				if how != ByExact || !reflect.DeepEqual(*got, want) {
					t.Fatalf("%d: %v, another entry", i, how)
				}
			}
		}
	})
}

func TestFindInWaysThatTheModeAllows(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, _ *clock) {
		const asked, spelt, alike = "Abre aos sábados?", "abre aos  SABADOS", "A loja abre aos sábados, né?"
		q := mustAsk(t, c, 1, chat, question(asked), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)
		for _, want := range []struct {
			text string
			mode Mode
			how  How
		}{
			{asked, Exact, ByExact}, {spelt, Exact, Missed}, {alike, Exact, Missed},
			{asked, Smart, ByExact}, {spelt, Smart, ByNormalised}, {alike, Smart, ByLikeness}, {"Não abre aos sábados?", Smart, Missed},
		} {
			if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(want.text), want.mode), time.Hour); how != want.how {
				t.Errorf("%q in mode %d: %v, want %v", want.text, want.mode, how, want.how)
			}
		}
		want := Stats{ByExact: 2, ByNormalised: 1, ByLikeness: 1, Misses: 4, Stores: 1, Vectors: 1}
		got := c.Stats()
		got.Bytes, got.Entries, got.VectorBytes = 0, 0, 0
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestSmartLetsOnlyTheLastUserTextDiffer(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, _ *clock) {
		body := func(model, system, first, last, more string) string {
			return fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":%q},{"role":"user","content":%q},{"role":"user","content":%q}]%s}`, model, system, first, last, more)
		}
		q := mustAsk(t, c, 1, chat, body("m", "Seja breve", "Oi", "Abre aos sábados?", ""), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)
		for name, other := range map[string]string{
			"model":     body("n", "Seja breve", "Oi", "Abre aos sabados", ""),
			"system":    body("m", "seja breve", "Oi", "Abre aos sabados", ""),
			"earlier":   body("m", "Seja breve", "oi", "Abre aos sabados", ""),
			"parameter": body("m", "Seja breve", "Oi", "Abre aos sabados", `,"temperature":1`),
			"tools":     body("m", "Seja breve", "Oi", "Abre aos sabados", `,"tools":[{"type":"function","function":{"name":"f"}}]`),
			"role":      strings.Replace(body("m", "Seja breve", "Oi", "Abre aos sabados", ""), `"user","content":"Abre`, `"assistant","content":"Abre`, 1),
			"named":     strings.Replace(body("m", "Seja breve", "Oi", "Abre aos sabados", ""), `"user","content":"Abre`, `"user","name":"Ana","content":"Abre`, 1),
			"more":      strings.Replace(body("m", "Seja breve", "Oi", "Abre aos sabados", ""), `]`, `,{"role":"assistant","content":"Sim"}]`, 1),
		} {
			if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, other, Smart), time.Hour); how != Missed {
				t.Errorf("another %s, and %v", name, how)
			}
		}
		if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, body("m", "Seja breve", "Oi", "Abre aos sabados", ""), Smart), time.Hour); how != ByNormalised {
			t.Errorf("nothing differs, and %v", how)
		}
	})
}

func TestSmartReadsTheTextOfEveryEndpoint(t *testing.T) {
	c, ctx := newCache(t, Options{}), bounded(t)
	for i, r := range []struct {
		endpoint, body string // with %s for the text
		how            How
	}{
		{"completions", `{"model":"m","prompt":"%s"}`, ByNormalised},
		{"completions", `{"model":"m","prompt":["%s"]}`, Missed},
		{"responses", `{"model":"m","store":false,"input":"%s"}`, ByNormalised},
		{"responses", `{"model":"m","store":false,"input":[{"role":"user","content":"%s"}]}`, ByNormalised},
		{"responses", `{"model":"m","store":false,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"%s"}]}]}`, ByNormalised},
		{"responses", `{"model":"m","store":false,"input":[{"role":"user","content":[{"type":"input_text","text":"%s"},{"type":"input_image","image_url":"u"}]}]}`, Missed},
		{chat, `{"model":"m","messages":[{"content":[{"text":"%s","type":"text"},{"type":"text","text":"e mais"}],"role":"user"}]}`, ByNormalised},
		{chat, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"%s"},{"type":"image_url","image_url":{"url":"u"}}]}]}`, Missed},
		{chat, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"%s"},{"type":"file","file":{"file_id":"f"}}]}]}`, Missed},
		{chat, `{"model":"m","messages":[{"role":"user","content":"%s"},{"role":"tool","tool_call_id":"t","content":"5"}]}`, Missed},
		{chat, `{"model":"m","messages":[{"role":"user","content":"x","content":"%s"}]}`, Missed},
		{chat, `{"model":"m","messages":[{"role":"assistant","content":"%s"}]}`, Missed},
		{chat, `{"model":"m","messages":[{"role":"assistant","role":"user","content":"%s"}]}`, Missed},
		{"embeddings", `{"model":"m","input":"%s"}`, Missed},
		{"moderations", `{"model":"m","input":"%s"}`, Missed},
	} {
		q := mustAsk(t, c, int64(i), r.endpoint, fmt.Sprintf(r.body, "Abre aos sábados"), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)
		if _, how := seek(ctx, c, mustAsk(t, c, int64(i), r.endpoint, fmt.Sprintf(r.body, "abre aos sabados"), Smart), time.Hour); how != r.how {
			t.Errorf("%s %s: %v, want %v", r.endpoint, r.body, how, r.how)
		}
		if _, how := seek(ctx, c, mustAsk(t, c, int64(i), r.endpoint, fmt.Sprintf(r.body, "Abre aos sábados"), Exact), time.Hour); how != ByExact {
			t.Errorf("%s %s: %v", r.endpoint, r.body, how)
		}
	}
}

func TestTenantsNeverShareAnAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, _ *clock) {
		const asked, spelt, alike = "Abre aos sábados?", "abre aos SABADOS", "A loja abre aos sábados, né?"
		for tenant := int64(1); tenant <= 3; tenant++ {
			for _, text := range []string{asked, spelt, alike} {
				for _, m := range []Mode{Exact, Smart} {
					if e, how := seek(ctx, c, mustAsk(t, c, tenant, chat, question(text), m), time.Hour); e != nil {
						t.Fatalf("tenant %d gets %q by %v", tenant, e.Body, how)
					}
				}
			}
			for _, m := range []Mode{Exact, Smart} {
				q := mustAsk(t, c, tenant, chat, question(asked), m)
				store(t, ctx, c, &q, &Entry{Body: fmt.Appendf(nil, "of %d", tenant)}, time.Hour)
			}
		}
		for tenant := int64(1); tenant <= 3; tenant++ {
			for _, text := range []string{asked, spelt, alike} {
				e, how := seek(ctx, c, mustAsk(t, c, tenant, chat, question(text), Smart), time.Hour)
				if e == nil || string(e.Body) != fmt.Sprintf("of %d", tenant) {
					t.Errorf("tenant %d: %v by %v", tenant, e, how)
				}
			}
		}
	})
}

func TestPurgeTakesOneTenantsAnswersAway(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, _ *clock) {
		texts := []string{"Abre aos sábados?", "abre aos SABADOS", "A loja abre aos sábados, né?"}
		for tenant := int64(1); tenant <= 2; tenant++ {
			q := mustAsk(t, c, tenant, chat, question(texts[0]), Smart)
			store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, time.Hour)
		}
		underWay := mustAsk(t, c, 1, chat, question("Outra pergunta aqui"), Smart)
		c.Find(ctx, &underWay, time.Hour)
		if err := c.Purge(ctx, 1); err != nil {
			t.Fatal(err)
		}
		c.Store(ctx, &underWay, &Entry{Body: []byte("late")}, time.Hour)
		c.Learn(ctx, &underWay)
		for _, text := range append(texts, "Outra pergunta aqui", "Tenho outra pergunta aqui") {
			if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(text), Smart), time.Hour); how != Missed {
				t.Errorf("%q is still answered by %v", text, how)
			}
		}
		for i, text := range texts {
			if _, how := seek(ctx, c, mustAsk(t, c, 2, chat, question(text), Smart), time.Hour); how != How(i+1) {
				t.Errorf("the other tenant's %q: %v", text, how)
			}
		}
		q := mustAsk(t, c, 1, chat, question(texts[0]), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("new")}, time.Hour)
		if e, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(texts[1]), Smart), time.Hour); how != ByNormalised || string(e.Body) != "new" {
			t.Errorf("nothing can be stored after a purge: %v", how)
		}
	})
}

func TestFindTakesNoAnswerThatIsTooOld(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, clock *clock) {
		q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("sim")}, 10*time.Hour)
		if _, how := seek(ctx, c, q, 0); how != Missed {
			t.Errorf("of no age at all: %v", how)
		}
		clock.pass(30 * time.Minute)
		for _, text := range []string{"Abre aos sábados?", "abre aos sabados", "A loja abre aos sábados, né?"} {
			for _, age := range []struct {
				max   time.Duration
				found bool
			}{{0, false}, {29 * time.Minute, false}, {31 * time.Minute, true}, {1 << 62, true}} {
				if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(text), Smart), age.max); (how != Missed) != age.found {
					t.Errorf("%q of half an hour, at most %v: %v", text, age.max, how)
				}
			}
		}
	})
}

func TestStoreTakesOnlyWholeAnswers(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, _ *clock) {
		for name, e := range map[string]Entry{
			"empty":     {},
			"too large": {Body: bytes.Repeat([]byte("x"), 1<<20+1)},
			"cut":       {Stream: true, Body: []byte("data: {\"choices\":[]}\n\n")},
			"broken":    {Stream: true, Body: []byte("data: {\"error\":{}}\n\n")},
		} {
			q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Smart)
			c.Find(ctx, &q, time.Hour)
			c.Store(ctx, &q, &e, time.Hour)
			c.Learn(ctx, &q)
			if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Smart), time.Hour); how != Missed {
				t.Errorf("%s, and found", name)
			}
		}
		q := mustAsk(t, c, 1, chat, question("Abre aos sábados?"), Smart)
		c.Store(ctx, &q, &Entry{Body: []byte("x")}, 0)
		if s := c.Stats(); s.Stores != 0 || s.TooLarge != 1 || s.CutDown != 2 || s.Vectors != 0 {
			t.Errorf("%+v", s)
		}
		r := mustAsk(t, c, 1, "responses", `{"model":"m","store":false,"input":"Oi"}`, Exact)
		c.Store(ctx, &r, &Entry{Stream: true, Body: []byte("data: {\"type\":\"response.completed\"}\n\n")}, time.Hour)
		if s := c.Stats(); s.Stores != 1 {
			t.Error("a whole stream of the responses API is not stored")
		}
	})
}

func TestManyUseTheCacheAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, ctx context.Context, c *Cache, _ *clock) {
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 100 {
					tenant := int64(i % 3)
					q := mustAsk(t, c, tenant, chat, question(fmt.Sprintf("Pergunta número %d", i%20)), Smart)
					want := fmt.Sprint(tenant, i%20)
					if e, _ := c.Find(ctx, &q, time.Hour); e != nil && string(e.Body) != want {
						t.Errorf("%q, want %q", e.Body, want)
					} else if e == nil {
						c.Store(ctx, &q, &Entry{Body: []byte(want)}, time.Hour)
						c.Learn(ctx, &q)
					}
					if worker == 0 && i%30 == 0 {
						_ = c.Purge(ctx, tenant)
					}
				}
			})
		}
		wg.Wait()
	})
}
