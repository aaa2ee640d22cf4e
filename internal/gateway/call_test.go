package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

func TestACallThatPanicsLeavesItsPlace(t *testing.T) {
	s := newStage(t, speaks(says{}))
	s.g.Rates = ratelimit.New(ratelimit.Options{})
	caller := &tenancy.Caller{TenantID: 7, TenantRates: tenancy.Rates{ParallelCalls: 1}}
	admit := func(previous func(context.Context) (StoredResponse, error)) (err error) {
		defer func() { _ = recover() }()
		_, _, err = s.g.Admit(t.Context(), NewID(), caller, Request{Model: "m", Choices: 1, Previous: previous})
		return err
	}
	admit(func(context.Context) (StoredResponse, error) { panic("broken") })
	for range 2 {
		err := admit(func(context.Context) (StoredResponse, error) {
			return StoredResponse{}, &Refusal{Reason: UnknownResponse}
		})
		var r *Refusal
		if !errors.As(err, &r) || r.Reason != UnknownResponse {
			t.Errorf("the place is still taken: %v", err)
		}
	}
}

// lessor leases all of a period to this process.
type lessor struct {
	quota.Lessor
	limit quota.Pair
}

func (l lessor) Lease(context.Context, int64, quota.Pair) (quota.Grant, error) {
	return quota.Grant{Stand: quota.Stand{Leased: l.limit, Version: 1}, Granted: l.limit, Limit: l.limit}, nil
}

func (l lessor) Heartbeat(context.Context) (int64, error) { return 0, nil }

func (l lessor) Stands(_ context.Context, ids []int64) (map[int64]quota.Stand, error) {
	stands := map[int64]quota.Stand{}
	for _, id := range ids {
		stands[id] = quota.Stand{Leased: l.limit, Version: 1}
	}
	return stands, nil
}

// brokenLedger panics, or breaks what comes next.
type brokenLedger struct {
	fullLedger
	later *Gateway
}

func (l brokenLedger) Begin(*usage.Event) error {
	if l.later == nil {
		panic("broken")
	}
	l.later.Cache = nil
	return nil
}

// roomyLedger takes all there is.
type roomyLedger struct{ reservedLedger }

func (*roomyLedger) Begin(*usage.Event) error { return nil }

func TestACallThatIsNotAdmittedHoldsNoTokens(t *testing.T) {
	for name, test := range map[string]struct {
		ledger func(*Gateway) Ledger
		late   int
	}{
		"its record is refused":     {ledger: func(*Gateway) Ledger { return fullLedger{} }},
		"its record panics":         {ledger: func(*Gateway) Ledger { return brokenLedger{} }},
		"a panic once it was begun": {ledger: func(g *Gateway) Ledger { return brokenLedger{later: g} }, late: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, limit := newStage(t, speaks(says{})), quota.Pair{In: 100, Out: 100}
				s.g.Rates, s.g.Ledger = ratelimit.New(ratelimit.Options{}), test.ledger(s.g)
				s.g.Quota = quota.NewManager(lessor{limit: limit}, time.Hour, s.g.Log, time.Now)
				caller := &tenancy.Caller{TenantID: 7, PeriodID: 1, TenantRates: tenancy.Rates{ParallelCalls: 1}, Terms: tenancy.Terms{Overage: tenancy.Block}}
				admit := func() (c *Call, err error) {
					defer func() { _ = recover() }()
					s.g.Cache, _ = cache.New(cache.Options{})
					hundred := func() int64 { return 100 }
					c, _, err = s.g.Admit(t.Context(), NewID(), caller, Request{
						Model: "m", Choices: 1, MaxOutput: 100, InputBound: hundred, ExactInput: hundred, Question: &Question{},
					})
					return c, err
				}
				for range 3 {
					if c, _ := admit(); c != nil {
						t.Fatal("it was admitted")
					}
				}
				s.g.inFlight.Wait()
				if n := len(s.g.late.events); n != test.late || n > 0 && s.g.late.events[0].Status != usage.Failed {
					t.Errorf("%d calls are recorded late: %+v", n, s.g.late.events)
				}
				s.g.Ledger = &roomyLedger{}
				c, err := admit()
				if c == nil {
					t.Fatalf("tokens or place are held still: %v", err)
				}
				if left := c.QuotaLeft(); left != limit {
					t.Errorf("%+v is left of %+v", left, limit)
				}
				if err := c.Finish(Outcome{}); err != nil || c.QuotaLeft() != limit {
					t.Errorf("%+v is left of %+v: %v", c.QuotaLeft(), limit, err)
				}
			})
		})
	}
}

func TestAnIDIsNotedOnce(t *testing.T) {
	var r recentResponses
	for n := range 3 {
		r.add(StoredResponse{ID: "resp_a", TenantID: 7, Tokens: int64(n)})
	}
	if s, ok := r.find(7, "resp_a"); !ok || s.Tokens != 2 || len(r.ids) != 1 {
		t.Errorf("%+v %v", s, r.ids)
	}
	r.forget("resp_a")
	if _, ok := r.find(7, "resp_a"); ok || len(r.ids) != 0 {
		t.Errorf("%v", r.ids)
	}
}

// TestACallIsAskedAboutWhereItWasAnswered: what a provider makes in the background is not known to any other.
func TestACallIsAskedAboutWhereItWasAnswered(t *testing.T) {
	for name, change := range map[string]func(*stage){
		"nothing happened": func(*stage) {},
		"switched off":     func(s *stage) { s.providers[0].Active = false },
		"deleted":          func(s *stage) { s.providers = s.providers[1:] },
		"moved":            func(s *stage) { s.providers[0].BaseURL = "p2" },
		"another of its name": func(s *stage) {
			s.providers = s.providers[1:]
			s.providers[0].Slug = "p1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, speaks(says{}), speaks(says{}))
				c := s.call(7)
				if a, err := c.Send(t.Context(), message); err == nil {
					a.Release()
				}
				change(s)
				s.reload()
				time.Sleep(24 * time.Hour)
				s.reload()
				a, err := c.Ask(t.Context(), &Message{})
				if err != nil {
					t.Fatal(err)
				}
				a.Release()
				if len(s.fake(1).asked) != 2 || len(s.fake(2).asked) != 0 {
					t.Errorf("%v, %v", s.fake(1).asked, s.fake(2).asked)
				}
				s.g.Models.Abort()
				if s.fake(1).aborted == 0 {
					t.Error("what is under way there is not broken off")
				}
				s.clean()
			})
		})
	}
}
