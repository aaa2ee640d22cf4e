package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// says is what a provider does with one call.
type says struct {
	status int // 0: 200
	header map[string]string
	body   string // empty: a JSON object
	mute   bool   // or nothing
	err    error
	after  time.Duration // until the answer's head, or the error
	breaks error         // a stream's, after its body
}

// fake is an Upstream that does as it is told, one call after the other; the last thing again and again.
type fake struct {
	mu       sync.Mutex
	script   []says
	asked    []time.Time
	models   []string
	given    int // answers
	released int
	atOnce   int
	most     int
	aborted  int
	closed   int
}

func speaks(script ...says) *fake { return &fake{script: script} }

func (f *fake) next(m *Message) says {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.models = append(f.asked, time.Now()), append(f.models, m.Model)
	f.atOnce++
	f.most = max(f.most, f.atOnce)
	s := f.script[0]
	if len(f.script) > 1 {
		f.script = f.script[1:]
	}
	if s.status == 0 {
		s.status = 200
	}
	if s.body == "" && !s.mute {
		s.body = `{"ok":true}`
	}
	return s
}

func (f *fake) count(what *int, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*what += n
}

func (f *fake) Send(_ context.Context, m *Message) (Answer, error) { // as the real one, it does not end with ctx
	s := f.next(m)
	defer f.count(&f.atOnce, -1)
	time.Sleep(s.after)
	if s.err != nil {
		return nil, s.err
	}
	f.count(&f.given, 1)
	return &told{fake: f, says: s}, nil
}

func (f *fake) Stream(ctx context.Context, m *Message) (StreamAnswer, error) {
	s := f.next(m)
	if !sleep(ctx, s.after) {
		s.err = away(ctx.Err())
	}
	if s.err != nil {
		f.count(&f.atOnce, -1)
		return nil, s.err
	}
	f.count(&f.given, 1)
	return &told{fake: f, says: s, streamed: true, rest: strings.NewReader(s.body)}, nil
}

func (f *fake) Abort() { f.count(&f.aborted, 1) }
func (f *fake) Close() { f.count(&f.closed, 1) }

// told is an answer of a fake.
type told struct {
	*fake
	says
	streamed bool
	rest     *strings.Reader
	over     bool
}

func (a *told) Status() int               { return a.status }
func (a *told) Header(name string) string { return a.header[strings.ToLower(name)] }
func (a *told) Body() []byte              { return []byte(a.body) }

func (a *told) Read(p []byte) (int, error) {
	n, err := a.rest.Read(p)
	if errors.Is(err, io.EOF) && a.breaks != nil {
		err = a.breaks
	}
	return n, err
}

func (a *told) Release() { a.Close() }

func (a *told) Close() error {
	if a.over {
		panic("an answer was let go twice")
	}
	a.over = true
	a.count(&a.released, 1)
	if a.streamed {
		a.count(&a.atOnce, -1)
	}
	return nil
}

func away(cause error) error    { return &Refusal{Reason: ProviderAway, Cause: cause} }
func tooSlow(cause error) error { return &Refusal{Reason: ProviderTimeout, Cause: cause} }

var errRefused = errors.New("connection refused")

// stage is a gateway with one model, "m", before fakes in the order of their priority. It is a Catalogue, too.
type stage struct {
	t         *testing.T
	g         *Gateway
	fakes     map[string]*fake // by address
	mu        sync.Mutex
	models    []tenancy.Model
	providers []tenancy.Provider
	forces    []tenancy.BreakerForce
	changes   []breaker.Change
	log       strings.Builder
}

func (s *stage) Models(context.Context) ([]tenancy.Model, error)       { return s.models, nil }
func (s *stage) Providers(context.Context) ([]tenancy.Provider, error) { return s.providers, nil }
func (s *stage) BreakerForces(context.Context) ([]tenancy.BreakerForce, error) {
	return s.forces, nil
}

func (s *stage) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *stage) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *stage) connect(p tenancy.Provider) (Upstream, error) {
	if f := s.fakes[p.BaseURL]; f != nil {
		return f, nil
	}
	return nil, errors.New("no such address")
}

func newStage(t *testing.T, fakes ...*fake) *stage {
	s := &stage{t: t, fakes: map[string]*fake{}, models: []tenancy.Model{{Name: "m", Active: true}}}
	for i, f := range fakes {
		name := fmt.Sprintf("p%d", i+1)
		s.fakes[name] = f
		s.providers = append(s.providers, tenancy.Provider{
			ID: int64(i + 1), Slug: name, BaseURL: name, Active: true, Limits: tenancy.DefaultProviderLimits(),
		})
		s.models[0].Routes = append(s.models[0].Routes, tenancy.Route{
			ProviderID: int64(i + 1), UpstreamModel: "m-" + name, Priority: i + 1, Weight: 1, Active: true, Price: tenancy.Price{Input: 1 << i},
		})
	}
	log := slog.New(slog.NewTextHandler(s, nil))
	changed := func(c breaker.Change) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changes = append(s.changes, c)
	}
	s.g = &Gateway{Models: NewModels(s, s.connect, changed, log), Log: log, Now: time.Now}
	s.reload()
	return s
}

// limit changes the limits of every provider.
func (s *stage) limit(change func(*tenancy.ProviderLimits)) {
	for i := range s.providers {
		change(&s.providers[i].Limits)
	}
	s.reload()
}

func retries(n int) func(*tenancy.ProviderLimits) {
	return func(l *tenancy.ProviderLimits) { l.Retries = n }
}

func (s *stage) reload() {
	s.t.Helper()
	if err := s.g.Models.Reload(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) fake(n int) *fake { return s.fakes[fmt.Sprintf("p%d", n)] }

// outcome is what the client of a call would be told.
type outcome struct {
	status   int // 0: there is a refusal
	provider string
	body     string
	refusal  *Refusal
	took     time.Duration
}

// how a call is made: whole, or as a stream.
var ways = map[string]func(*stage) outcome{
	"whole":  func(s *stage) outcome { return s.whole(7) },
	"stream": func(s *stage) outcome { return s.stream(7) },
}

func (s *stage) call(tenant int64) *Call {
	c := &Call{g: s.g, offer: s.g.Models.list.Load().byName["m"]}
	c.event.TenantID, c.event.ID, c.event.RequestID = tenant, uuid.New(), fmt.Sprintf("req_%d", tenant)
	return c
}

func message(upstreamModel string) *Message {
	return &Message{Model: upstreamModel, Body: []byte("{}")}
}

func (s *stage) whole(tenant int64) outcome {
	c, start := s.call(tenant), time.Now()
	a, err := c.Send(context.Background(), message)
	o := ended(c, start, err)
	if err == nil {
		o.status, o.body = a.Status(), string(a.Body())
		a.Release()
	}
	return o
}

func (s *stage) stream(tenant int64) outcome {
	c, start := s.call(tenant), time.Now()
	a, err := c.Stream(context.Background(), message)
	o := ended(c, start, err)
	if err == nil {
		text, _ := io.ReadAll(a)
		o.status, o.body = a.Status(), string(text)
		a.Close()
	}
	return o
}

func ended(c *Call, start time.Time, err error) outcome {
	o := outcome{provider: c.event.Provider, took: time.Since(start)}
	if err != nil && !errors.As(err, &o.refusal) {
		panic(fmt.Sprintf("an error that is no refusal: %v", err))
	}
	return o
}

// clean fails unless every answer was let go and every place left.
func (s *stage) clean() {
	s.t.Helper()
	synctest.Wait()
	for name, f := range s.fakes {
		if f.given != f.released || f.atOnce != 0 {
			s.t.Errorf("%s gave %d answers, %d were let go; %d calls are at it", name, f.given, f.released, f.atOnce)
		}
	}
	for _, h := range s.g.Models.Houses() {
		if n := h.Guard.Snapshot().Parallel; n != 0 {
			s.t.Errorf("%d places at %s are still taken", n, h.Provider.Slug)
		}
	}
}

// each plays a test for whole answers and for streams, on a clock of its own.
func each(t *testing.T, test func(t *testing.T, call func(*stage) outcome)) {
	for name, call := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, call) })
		})
	}
}
