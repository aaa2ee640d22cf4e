package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestCallerCarriesThePlansTermsAndThePeriod(t *testing.T) {
	terms := blocking(1000, 500)
	terms.RequestsPerMinute, terms.TokensPerMinute, terms.ParallelCalls = 60, 9000, 3
	terms.AllowedModels = []string{"gpt-4.1-nano"}
	s := openShop(t, terms)
	c := s.caller
	if !c.Hard() || c.Terms.InputTokens != 1000 || c.Terms.RequestsPerMinute != 60 || c.Terms.TokensPerMinute != 9000 || c.Terms.ParallelCalls != 3 ||
		!c.Allows("gpt-4.1-nano") || c.Allows("gpt-4.1") || c.TenantStatus != tenancy.TenantActive || !c.PeriodEndsAt.After(time.Now()) {
		t.Fatalf("%+v", c)
	}
}

func TestCallerCarriesTheLimitsOfTenantAndKeyAndWhoseCacheHolds(t *testing.T) {
	terms := blocking(1000, 500)
	terms.Cache, terms.CacheMinutes, terms.CacheBilled = tenancy.CacheSmart, 30, 25
	s := openShop(t, terms)
	ctx := context.Background()
	plans := tenancy.CachePolicy{Mode: tenancy.CacheSmart, Lifetime: 30 * time.Minute, BilledPercent: 25}
	if c := s.caller; c.Cache != plans || c.Terms.Policy() != plans || c.KeyRates != (tenancy.Rates{}) || c.TenantRates != (tenancy.Rates{}) {
		t.Fatalf("nothing of its own: %+v", c)
	}
	all, own := tenancy.Rates{RequestsPerMinute: 600, TokensPerMinute: 90_000, ParallelCalls: 30}, tenancy.Rates{RequestsPerMinute: 60, TokensPerMinute: 9000, ParallelCalls: 3}
	draft := tenancy.TenantDraft{Name: s.tenant.Name, TimeZone: s.tenant.TimeZone, BillingDay: 1, PlanID: s.tenant.PlanID, Rates: all}
	if _, err := s.UpdateTenant(ctx, s.tenant.ID, draft); err != nil {
		t.Fatal(err)
	}
	_, secret, err := s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "k", Rates: own, Cache: tenancy.CacheExact})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.CallerByHash(ctx, secret.Hash())
	if err != nil {
		t.Fatal(err)
	}
	plans.Mode = tenancy.CacheExact
	if c.TenantRates != all || c.KeyRates != own || c.Cache != plans || c.Terms.Cache != tenancy.CacheSmart {
		t.Fatalf("%+v", c)
	}
}

func TestCallerOfUnknownAndRevokedKeysIsNotFound(t *testing.T) {
	s := openShop(t, blocking(1, 1))
	ctx := context.Background()
	_, secret, err := s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "outra"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CallerByHash(ctx, secret.Hash()); err != nil {
		t.Fatal(err)
	}
	key, err := s.ListKeys(ctx, tenancy.ListQuery{Search: "outra"})
	if err != nil || len(key.Items) != 1 {
		t.Fatal(err, key)
	}
	if err := s.RevokeKey(ctx, key.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	for name, hash := range map[string][32]byte{"revoked": secret.Hash(), "unknown": tenancy.NewSecret().Hash()} {
		if _, err := s.CallerByHash(ctx, hash); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nextMonth is in the midst of it, where a customer's periods are months; a month from the 31st would be in the one after.
func nextMonth(t *testing.T) time.Time {
	t.Helper()
	now := time.Now().In(saoPaulo(t))
	return time.Date(now.Year(), now.Month()+1, 15, 12, 0, 0, 0, time.UTC)
}

func TestAPeriodIsMadeOnceByAllWhoCallFirst(t *testing.T) {
	s := openShop(t, blocking(1, 1))
	ctx := context.Background()
	_, secret, err := s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "k"})
	if err != nil {
		t.Fatal(err)
	}
	next := nextMonth(t)
	later := New(s.DB(), func() time.Time { return next })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := later.CallerByHash(ctx, secret.Hash()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var periods, gaps int
	if err := s.db.Get(&periods, `SELECT count(*) FROM billing_periods`); err != nil || periods != 2 {
		t.Fatalf("%d periods, want this month's and the next: %v", periods, err)
	}
	const query = `SELECT count(*) FROM billing_periods a JOIN billing_periods b ON b.id > a.id AND b.starts_at <> a.ends_at`
	if err := s.db.Get(&gaps, query); err != nil || gaps != 0 {
		t.Fatalf("%d gaps or overlaps: %v", gaps, err)
	}
}

// listenShop is a shop whose database others may connect to, too.
func listenShop(t *testing.T) (dsn string, s *shop) {
	t.Helper()
	dsn = storetest.DB(t)
	base, err := Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close() })
	return dsn, stockShop(t, base, blocking(1, 1))
}

func TestAChangeIsHeardOfAtOnce(t *testing.T) {
	dsn, s := listenShop(t)
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan int64, 10)
	done := make(chan error, 1)
	go func() {
		done <- Listen(ctx, dsn, Changes{Callers: func(id int64) { heard <- id }, Models: func() {}, Usage: func() {}, Recalled: func(int64, string) {}}, discard())
	}()
	defer func() { cancel(); <-done }()
	// Changes made before the listener is there are not heard of: change until one is.
	deadline := time.After(time.Minute)
	for {
		if err := s.SuspendTenant(ctx, s.tenant.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.ReactivateTenant(ctx, s.tenant.ID); err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-heard:
			if id == s.tenant.ID {
				return
			}
			if id != 0 { // said of all when it begins
				t.Fatalf("heard of tenant %d", id)
			}
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing was heard")
		}
	}
}

func TestARecallReachesTheOtherReplicas(t *testing.T) {
	dsn, s := listenShop(t)
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		done <- Listen(ctx, dsn, Changes{
			Callers: func(int64) {}, Models: func() {}, Usage: func() {},
			Recalled: func(periodID int64, replica string) { heard <- fmt.Sprint(periodID, " ", replica) },
		}, discard())
	}()
	defer func() { cancel(); <-done }()
	deadline := time.After(time.Minute)
	for { // what is asked before anybody listens is not heard
		if err := s.Leases("needy", testGrace, nil).Recall(ctx, s.caller.PeriodID); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			if want := fmt.Sprint(s.caller.PeriodID, " needy"); got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
			return
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing was heard")
		}
	}
}
