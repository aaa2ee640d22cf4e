package demo

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// shelf is a store that keeps the world in memory.
type shelf struct {
	taken bool
	world *World
}

func (s *shelf) DemoBasis(context.Context) (Basis, error) {
	if s.taken {
		return Basis{}, fault.New(fault.Conflict, "demo.error.not_empty")
	}
	charge := func(in, out int64) tenancy.Terms {
		return tenancy.Terms{InputTokens: in, OutputTokens: out, Overage: tenancy.Charge, OveragePrice: 100}
	}
	return Basis{
		Plans: map[string]tenancy.Terms{
			"basico": charge(1_000_000, 500_000), "pro": charge(3_000_000, 1_500_000), "enterprise": charge(10_000_000, 5_000_000),
		},
		Models: map[string]tenancy.Model{"gpt-4.1-nano": {Price: tenancy.Price{Input: 200_000, CachedInput: 50_000, Output: 800_000, Reasoning: 800_000}}},
	}, nil
}

func (s *shelf) LoadDemo(_ context.Context, w *World) error {
	s.taken, s.world = true, w
	return nil
}

type noHash struct{}

func (noHash) Hash(_ context.Context, password string) (string, error) { return password, nil }

func seed(t *testing.T, now time.Time) *World {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{}
	if _, err := Seed(context.Background(), s, noHash{}, now, zone); err != nil {
		t.Fatal(err)
	}
	return s.world
}

var someDay = time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)

func TestSeedMakesCustomersThatAFormWouldAccept(t *testing.T) {
	w := seed(t, someDay)
	if err := w.Plan.Validate(); err != nil {
		t.Errorf("plan: %v", err)
	}
	taxIDs, emails := map[string]bool{}, map[string]bool{}
	for _, c := range w.Customers {
		d := c.Draft
		d.PlanID = 1
		if err := d.Validate(); err != nil || d.TaxID == "" {
			t.Errorf("%s: %v, tax id %q", d.Name, err, d.TaxID)
		}
		if taxIDs[d.TaxID] {
			t.Errorf("%s has another's tax id", d.Name)
		}
		taxIDs[d.TaxID] = true
		for _, u := range c.Users {
			draft := tenancy.UserDraft{Email: u.Email, Name: u.Name, Role: u.Role, TenantID: 1, Password: u.PasswordHash}
			if err := draft.Validate(); err != nil || emails[draft.Email] {
				t.Errorf("%s: %v", u.Email, err)
			}
			emails[draft.Email] = true
		}
	}
}

func TestTheSameMomentGivesTheSameCalls(t *testing.T) {
	a, b := seed(t, someDay), seed(t, someDay)
	for i := range a.Customers {
		if !reflect.DeepEqual(a.Customers[i].Events, b.Customers[i].Events) {
			t.Errorf("%s differs", a.Customers[i].Draft.Name)
		}
	}
}

func TestCallsFollowTimeAndTheirCustomer(t *testing.T) {
	for _, c := range seed(t, someDay).Customers {
		last := someDay.AddDate(0, 0, -Days-1)
		for _, e := range c.Events {
			switch key := c.Keys[e.KeyID]; {
			case e.CreatedAt.Before(last) || !e.CreatedAt.Before(someDay) || e.CreatedAt.Before(c.Since):
				t.Fatalf("%s called at %v, after %v", c.Draft.Name, e.CreatedAt, last)
			case !c.Periods[e.PeriodID].Contains(e.CreatedAt):
				t.Fatalf("%s: %v is not in its period", c.Draft.Name, e.CreatedAt)
			case e.KeyID > 0 && key.CreatedAt.After(e.CreatedAt):
				t.Fatalf("%s called with a key that was not there yet", c.Draft.Name)
			case e.Tokens.Cached > e.Tokens.Input || e.LatencyMS < e.FirstByteMS && e.FirstByteMS > 0:
				t.Fatalf("%s: %+v", c.Draft.Name, e)
			}
			if sec, nsec := e.ID.Time().UnixTime(); e.ID.Version() != 7 || !time.Unix(sec, nsec).Equal(e.CreatedAt) {
				t.Fatalf("%s: id %v does not carry %v", c.Draft.Name, e.ID, e.CreatedAt)
			}
			last = e.CreatedAt
		}
	}
}

func TestTheCacheAnswersSomeCustomersAndNoOthers(t *testing.T) {
	caching := 0
	for _, c := range seed(t, someDay).Customers {
		var sum usage.Totals
		for _, e := range c.Events {
			sum.Requests++
			if e.Cache != usage.CacheBypass {
				sum.CacheLookups++
			}
			billed, served := e.Tokens.Total(), e.Served.Total()
			switch {
			case e.Cache.Saved():
				sum.CacheHits++
				if e.Provider != "" || e.CostUSD != 0 || e.SavedUSD <= 0 && e.Model == "gpt-4.1-nano" || billed >= served || e.LatencyMS < 1 {
					t.Fatalf("%s: %+v", c.Draft.Name, e)
				}
			case e.Provider != "openai" || e.SavedUSD != 0 || billed != served:
				t.Fatalf("%s: %+v", c.Draft.Name, e)
			}
		}
		rate, asked := sum.HitRate()
		if !asked {
			continue
		}
		caching++
		if sum.CacheLookups != sum.Requests || rate < 0.2 || rate > 0.8 {
			t.Errorf("%s: %+v", c.Draft.Name, sum)
		}
	}
	if caching < 3 || caching > 5 {
		t.Errorf("%d customers use the cache", caching)
	}
}

func TestASuspendedCustomerStopsCalling(t *testing.T) {
	for _, c := range seed(t, someDay).Customers {
		newest := c.Events[len(c.Events)-1].CreatedAt
		if suspended := c.Status == tenancy.TenantSuspended; suspended != newest.Before(someDay.AddDate(0, 0, -2)) {
			t.Errorf("%s is %s and called last at %v", c.Draft.Name, c.Status, newest)
		}
	}
}

func TestSeedPassesOnARefusal(t *testing.T) {
	_, err := Seed(context.Background(), &shelf{taken: true}, noHash{}, someDay, time.UTC)
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("%v, want a conflict", err)
	}
}
