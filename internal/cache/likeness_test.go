package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wordVector embeds a text as the words it has: texts are as much alike as they share words.
type wordVector struct {
	name       string
	dimensions int
	err        error
	calls      int
}

func (e *wordVector) Name() string { return e.name }

func (e *wordVector) Embed(_ context.Context, text string) ([]float32, int64, error) {
	e.calls++
	if e.err != nil {
		return nil, 3, e.err
	}
	v := make([]float32, e.dimensions)
	normal, _ := normalise(nil, []byte(text))
	h := fnv.New32a()
	for i, ch := range normal {
		if ch != ' ' {
			h.Write([]byte{ch})
		}
		if ch == ' ' || i == len(normal)-1 {
			v[int(h.Sum32())%len(v)]++
			h.Reset()
		}
	}
	return v, 3, nil
}

const (
	one = "quero muito saber o endereço exato daquela loja bonita"
	two = "quero muito saber o endereço exato desta loja bonita" // 8 of 9 words are shared
)

func TestLikenessStartsAtTheThreshold(t *testing.T) {
	ctx := bounded(t)
	for _, c := range []struct {
		threshold float64
		text      string
		how       How
	}{{0.88, two, ByLikeness}, {0.90, two, Missed}, {0, two, Missed}, {1, one + " né", Missed}, {0.95, one + " né", Missed}, {0.94, one + " né", ByLikeness}} {
		cache := newCache(t, Options{Embedder: &wordVector{name: "words", dimensions: 4096}, Threshold: c.threshold})
		q := mustAsk(t, cache, 1, chat, question(one), Smart)
		store(t, ctx, cache, &q, &Entry{Body: []byte("Rua das Flores")}, time.Hour)
		if _, how := seek(ctx, cache, mustAsk(t, cache, 1, chat, question(c.text), Smart), time.Hour); how != c.how {
			t.Errorf("%q at %v: %v, want %v", c.text, c.threshold, how, c.how)
		}
	}
}

func TestLikenessGivesTheMostAlike(t *testing.T) {
	ctx := bounded(t)
	c := newCache(t, Options{Embedder: &wordVector{name: "words", dimensions: 4096}, Threshold: 0.5})
	for _, text := range []string{"quero saber o telefone daquela loja bonita", one, "quero saber outra coisa daquela loja bonita"} {
		q := mustAsk(t, c, 1, chat, question(text), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte(text)}, time.Hour)
	}
	if e, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Smart), time.Hour); how != ByLikeness || string(e.Body) != one {
		t.Errorf("%v: %q", how, e.Body)
	}
}

func TestAnotherEmbeddersVectorsAreNeverCompared(t *testing.T) {
	ctx := bounded(t)
	c := newCache(t, Options{Embedder: &sameVector{name: "old"}})
	q := mustAsk(t, c, 1, chat, question(one), Smart)
	store(t, ctx, c, &q, &Entry{Body: []byte("Rua das Flores")}, time.Hour)
	late := mustAsk(t, c, 1, chat, question("quero muito saber o telefone"), Smart)
	c.Find(ctx, &late, time.Hour)
	c.FindAlike(ctx, &late, time.Hour) // it has a vector of the old one now

	fresh := &sameVector{name: "new"}
	c.Configure(fresh, 0)
	if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Smart), time.Hour); how != Missed || c.Stats().Vectors != 0 {
		t.Errorf("%v, %d vectors", how, c.Stats().Vectors)
	}
	c.Store(ctx, &late, &Entry{Body: []byte("x")}, time.Hour)
	if c.Learn(ctx, &late); fresh.calls.Load() != 1 {
		t.Errorf("the new embedder was asked %d times", fresh.calls.Load())
	}
	// A call that began before may still add what the old one made.
	straggler := mustAsk(t, c, 1, chat, question("quero ouvir a música nova"), Smart)
	c.Store(ctx, &straggler, &Entry{Body: []byte("x")}, time.Hour)
	c.vectors.add(straggler.bucketOf(&likenessRule{&sameVector{name: "old"}, 0}), 1, &point{vector: []float32{0.6, 0.8}, target: straggler.exact, storedAt: time.Now(), expires: time.Now().Add(time.Hour)})
	if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question("quero ouvir aquela música nova"), Smart), time.Hour); how != Missed {
		t.Errorf("a vector of the old embedder: %v", how)
	}
	// Configured again by another value of the same name, as settings that are read anew are, nothing is lost.
	c.Configure(&sameVector{name: "new"}, 0.9)
	if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question("quero saber o telefone já"), Smart), time.Hour); how != ByLikeness {
		t.Errorf("forgotten: %v", how)
	}
	c.Configure(nil, 0)
	q = mustAsk(t, c, 1, chat, question("quero saber o telefone agora"), Smart)
	if _, how := seek(ctx, c, q, time.Hour); how != Missed || c.Stats().Vectors != 0 || q.text != "" {
		t.Errorf("%v without an embedder, %d vectors", how, c.Stats().Vectors)
	}
}

func TestEmbedderIsAskedOnlyWhereThereIsSomethingToCompare(t *testing.T) {
	ctx, e := bounded(t), &sameVector{name: "stub"}
	c := newCache(t, Options{Embedder: e})
	seek(ctx, c, mustAsk(t, c, 1, chat, question(one), Smart), time.Hour)
	if e.calls.Load() != 0 {
		t.Error("asked though nothing is stored")
	}
	q := mustAsk(t, c, 1, chat, question(one), Smart)
	store(t, ctx, c, &q, &Entry{Body: []byte("x")}, time.Hour)
	calls := e.calls.Load()
	seek(ctx, c, mustAsk(t, c, 1, chat, question(one), Smart), time.Hour)
	seek(ctx, c, mustAsk(t, c, 2, chat, question(two), Smart), time.Hour)
	seek(ctx, c, mustAsk(t, c, 1, chat, question("não "+two), Smart), time.Hour)
	seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Exact), time.Hour)
	if e.calls.Load() != calls {
		t.Errorf("asked %d times in vain", e.calls.Load()-calls)
	}
	p := mustAsk(t, c, 1, chat, question(two), Smart)
	if _, how, tokens := c.FindAlike(ctx, &p, time.Hour); how != ByLikeness || tokens != 7 {
		t.Errorf("%v for %d tokens", how, tokens)
	}
}

func TestEmbedderThatFailsIsLeftAloneForAWhile(t *testing.T) {
	ctx, clock, e := bounded(t), newClock(), &wordVector{name: "words", dimensions: 64}
	c := newCache(t, clock.options(Options{Embedder: e, Threshold: 0.5}))
	q := mustAsk(t, c, 1, chat, question(one), Smart)
	store(t, ctx, c, &q, &Entry{Body: []byte("x")}, time.Hour)
	e.calls, e.err = 0, errors.New("503")
	for range 10 {
		if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Smart), time.Hour); how != Missed {
			t.Error(how)
		}
	}
	if s := c.Stats(); e.calls != 1 || s.EmbedErrors != 1 {
		t.Errorf("asked %d times, %d errors", e.calls, s.EmbedErrors)
	}
	e.err = nil
	clock.pass(embedRest)
	if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Smart), time.Hour); how != ByLikeness {
		t.Errorf("%v though it works again", how)
	}
}

func TestEmbedderThatGivesNoVectorDoesNoHarm(t *testing.T) {
	ctx := bounded(t)
	for name, v := range map[string][]float32{
		"none": nil, "zeros": {0, 0}, "not a number": {float32(math.NaN()), 1}, "endless": {float32(math.Inf(1)), 1},
	} {
		c := newCache(t, Options{Embedder: fixedVector{v}})
		q := mustAsk(t, c, 1, chat, question(one), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("x")}, time.Hour)
		if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Smart), time.Hour); how != Missed || c.Stats().Vectors != 0 {
			t.Errorf("%s: %v", name, how)
		}
	}
}

type fixedVector struct{ v []float32 }

func (f fixedVector) Name() string { return "fixed" }

func (f fixedVector) Embed(context.Context, string) ([]float32, int64, error) { return f.v, 0, nil }

func TestVectorsStayWithinTheirBound(t *testing.T) {
	ctx := bounded(t)
	const bound = 1 << 20
	c := newCache(t, Options{Embedder: &wordVector{name: "words", dimensions: 256}, MaxVectorBytes: bound})
	for i := range 3000 {
		// Every other text is in one bucket, all else in a bucket of its own.
		text := fmt.Sprintf("pergunta sobre %c%c%c%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26, 'z')
		if i%2 == 0 {
			text += fmt.Sprint(" ", i)
		}
		q := mustAsk(t, c, 1, chat, question(text), Smart)
		store(t, ctx, c, &q, &Entry{Body: []byte("x")}, time.Hour)
	}
	s := c.Stats()
	if s.VectorBytes > bound || s.VectorBytes < bound/2 || s.Vectors == 0 {
		t.Errorf("%+v", s)
	}
	var bytes, count int64
	for e := c.vectors.used.Front(); e != nil; e = e.Next() {
		for _, p := range e.Value.(*bucket).points {
			bytes += p.size()
			count++
		}
	}
	if bytes != s.VectorBytes || count != s.Vectors || c.vectors.used.Len() != len(c.vectors.buckets) {
		t.Errorf("%d bytes of %d told, %d vectors of %d", bytes, s.VectorBytes, count, s.Vectors)
	}
}

func TestBucketKeepsTheNewest(t *testing.T) {
	v := newVectors(1 << 30)
	for i := range 2*maxBucket + 7 {
		v.add(key{}, 1, &point{target: key{byte(i), byte(i >> 8)}})
	}
	points := v.in(key{})
	if last := 2*maxBucket + 6; len(points) != maxBucket || points[len(points)-1].target != (key{byte(last), byte(last >> 8)}) {
		t.Errorf("%d points", len(points))
	}
	v.add(key{}, 1, &point{target: points[5].target})
	if len(v.in(key{})) != maxBucket {
		t.Error("one answer has two points")
	}
}

func TestPointOfAnAnswerThatIsGoneIsForgotten(t *testing.T) {
	ctx := bounded(t)
	c := newCache(t, Options{Embedder: &sameVector{name: "stub"}})
	q := mustAsk(t, c, 1, chat, question(one), Smart)
	store(t, ctx, c, &q, &Entry{Body: []byte("x")}, time.Hour)
	c.shelf.(*memory).drop(func(*node) bool { return true })
	if _, how := seek(ctx, c, mustAsk(t, c, 1, chat, question(two), Smart), time.Hour); how != Missed || c.Stats().Vectors != 0 {
		t.Errorf("%v, %d vectors", how, c.Stats().Vectors)
	}
}

func TestAnswersThatExpiredDoNotHideOneThatHasNot(t *testing.T) {
	ctx, clock := bounded(t), newClock()
	c := newCache(t, clock.options(Options{Embedder: &sameVector{name: "stub"}}))
	for i, text := range []string{"quero a foto", "gostaria da foto", "preciso da foto", "mande a foto", "eu quero uma foto"} {
		ttl := time.Minute
		if i == 0 {
			ttl = time.Hour
		}
		q := mustAsk(t, c, 1, chat, question(text), Smart)
		c.Store(ctx, &q, &Entry{Body: []byte(text)}, ttl)
		c.Learn(ctx, &q)
	}
	if n := c.Stats().Vectors; n != 5 {
		t.Fatalf("%d vectors", n)
	}
	clock.pass(2 * time.Minute)
	if e, how := seek(ctx, c, mustAsk(t, c, 1, chat, question("pode me dar a foto"), Smart), time.Hour); how != ByLikeness || string(e.Body) != "quero a foto" {
		t.Error(how)
	}
}

func TestFuseLetsOneTryAtATime(t *testing.T) {
	clock := newClock()
	f := &fuse{part: "part", rest: time.Second, now: clock.now, log: slog.New(slog.DiscardHandler)}
	f.heed(context.Background(), errors.New("away"))
	for range 3 {
		clock.pass(time.Second)
		var tries atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if f.whole() {
					tries.Add(1)
				}
			})
		}
		if wg.Wait(); tries.Load() != 1 {
			t.Fatalf("%d try at once", tries.Load())
		}
	}
	if f.heed(context.Background(), nil); !f.whole() || f.health() != nil {
		t.Error("it works again, and is not used")
	}
}

func TestPromptsAreNotKept(t *testing.T) {
	ctx := bounded(t)
	c := newCache(t, Options{Embedder: &sameVector{name: "stub"}})
	secret := "meu cartão é 4111 1111 e meu nome é Fulano de Tal"
	q := mustAsk(t, c, 1, chat, question(secret), Smart)
	store(t, ctx, c, &q, &Entry{Body: []byte("x")}, time.Hour)
	for k, e := range c.vectors.buckets {
		if dump := fmt.Sprintf("%s %+v %+v", k, e.Value.(*bucket), *e.Value.(*bucket).points[0]); strings.Contains(strings.ReplaceAll(dump, " ", ""), "41111111") || strings.Contains(strings.ToLower(dump), "fulano") {
			t.Errorf("the index knows the prompt: %s", dump)
		}
	}
}

func BenchmarkLike(b *testing.B) {
	v, q := make([]float32, 1536), Question{meaning: &meaning{}}
	for i := range v {
		v[i] = float32(i % 7)
	}
	q.vector, _ = unit(v)
	points := make([]*point, maxBucket)
	for i := range points {
		u, _ := unit(append(v[i%100:len(v):len(v)], v[:i%100]...))
		points[i] = &point{vector: u, expires: time.Now().Add(time.Hour), wording: wording{bag: 1}}
	}
	for b.Loop() {
		q.like(points, 0.999, time.Now(), time.Time{})
	}
}
