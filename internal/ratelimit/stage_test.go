package ratelimit

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fila-ia/filaia/internal/redistest"
)

// stage is a Redis whose scripts read a clock that the test moves by hand.
type stage struct {
	server *redistest.Server
	client rueidis.Client
	clock  *clock
}

func connect(t testing.TB, s *redistest.Server) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr()}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func newStage(t testing.TB) *stage {
	t.Helper()
	server := redistest.Start(t)
	st := &stage{server: server, client: connect(t, server), clock: newClock()}
	st.set(t)
	return st
}

// reset empties the stage.
func (st *stage) reset(t testing.TB) {
	t.Helper()
	mustDo(t, st.client, "FLUSHDB")
	st.clock = newClock()
	st.set(t)
}

// set tells Redis the time.
func (st *stage) set(t testing.TB) {
	t.Helper()
	ctx, now := context.Background(), st.clock.now()
	for _, result := range st.client.DoMulti(ctx, st.client.B().Del().Key("clock").Build(),
		st.client.B().Rpush().Key("clock").Element(itoa(now.Unix()), itoa(int64(now.Nanosecond()/1000))).Build()) {
		if err := result.Error(); err != nil {
			t.Fatal(err)
		}
	}
}

func (st *stage) advance(t testing.TB, d time.Duration) {
	t.Helper()
	st.clock.advance(d)
	st.set(t)
}

// limiter is one that lives by the stage's clock. Its places and debts do not expire meanwhile.
func (st *stage) limiter(t testing.TB) *Limiter {
	t.Helper()
	l := New(Options{Now: st.clock.now, Redis: st.client})
	script := ratesScript
	for _, change := range [][2]string{
		{"call('TIME')", "call('LRANGE', 'clock', 0, 1)"},
		{"math.ceil(whole) + 1", "3600000"},
	} {
		if strings.Count(script, change[0]) != 1 {
			t.Fatalf("the script has not one %s", change[0])
		}
		script = strings.Replace(script, change[0], change[1], 1)
	}
	l.redis.use(script)
	l.redis.lease = 1000 * time.Hour
	l.redis.patience = time.Minute
	return l
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func mustDo(t testing.TB, client rueidis.Client, words ...string) rueidis.RedisResult {
	t.Helper()
	result := client.Do(context.Background(), client.B().Arbitrary(words...).Build())
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", words, err)
	}
	return result
}

// shared is a limiter on the server, with Run running until the test ends.
func shared(t testing.TB, s *redistest.Server, settings ...func(*Limiter)) (*Limiter, *journal) {
	t.Helper()
	log := &journal{}
	l := New(Options{Redis: connect(t, s), Log: slog.New(log)})
	l.redis.lease = time.Hour // no test waits for a leaked place to become free by itself
	for _, set := range settings {
		set(l)
	}
	run(t, l)
	return l, log
}

// run runs the limiter until the test, or the function it gives, ends it.
func run(t testing.TB, l *Limiter) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// patient is for tests in which Redis is not to be found away because this machine is busy.
func patient(l *Limiter) { l.redis.patience = time.Minute }

// eventually polls until it is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// journal keeps what was logged.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, r.Level.String()+" "+r.Message)
	return nil
}

func (j *journal) levels() (levels []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		level, _, _ := strings.Cut(line, " ")
		levels = append(levels, level)
	}
	return levels
}
