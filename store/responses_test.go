package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// stores makes an event whose answer the provider has stored.
func (s *shop) stores(id string) usage.Event {
	e := s.call(10, 5)
	e.Object, e.Provider, e.Model, e.Served = id, "azure-br", "gpt-4.1-nano", e.Tokens
	return e
}

func TestAStoredResponseIsFoundByItsTenantOnly(t *testing.T) {
	own := openShop(t, charging(1000, 1000))
	other := secondShop(t, own, "Outra")
	ctx := context.Background()
	own.commit(t, own.call(1, 1), own.stores("resp_b"), own.stores("resp_a"))
	provider, model, tokens, err := own.ResponseOwner(ctx, own.tenant.ID, "resp_a")
	if err != nil || provider != "azure-br" || model != "gpt-4.1-nano" || tokens != 15 {
		t.Fatalf("%q %q %d %v", provider, model, tokens, err)
	}
	for name, ask := range map[string]struct {
		tenant int64
		id     string
	}{
		"another's": {other.tenant.ID, "resp_a"}, "unknown": {own.tenant.ID, "resp_c"}, "empty": {own.tenant.ID, ""},
		"no text": {own.tenant.ID, "resp_a\x00"}, "nobody": {0, "resp_a"},
	} {
		if _, _, _, err := own.ResponseOwner(ctx, ask.tenant, ask.id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStoredResponseStaysWithWhoeverCameFirst(t *testing.T) {
	own := openShop(t, charging(1000, 1000))
	other := secondShop(t, own, "Outra")
	ctx := context.Background()
	first := own.stores("resp_a")
	own.commit(t, first, own.stores("resp_a"))
	other.commit(t, other.stores("resp_a"))
	if _, _, _, err := own.ResponseOwner(ctx, own.tenant.ID, "resp_a"); err != nil {
		t.Error(err)
	}
	if _, _, _, err := own.ResponseOwner(ctx, other.tenant.ID, "resp_a"); !fault.Is(err, fault.NotFound) {
		t.Errorf("given to a second tenant: %v", err)
	}
	if err := own.ForgetResponse(ctx, other.tenant.ID, "resp_a"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := own.ResponseOwner(ctx, own.tenant.ID, "resp_a"); err != nil {
		t.Errorf("another tenant could have it forgotten: %v", err)
	}
	for range 2 {
		if err := own.ForgetResponse(ctx, own.tenant.ID, "resp_a"); err != nil {
			t.Fatal(err)
		}
	}
	own.commit(t, first) // a replay brings back nothing
	if _, _, _, err := own.ResponseOwner(ctx, own.tenant.ID, "resp_a"); !fault.Is(err, fault.NotFound) {
		t.Errorf("after it was forgotten: %v", err)
	}
}

func TestNoResponseKeepsItsEventFromBeingCounted(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	long, foreign := s.stores(strings.Repeat("r\"\x00", 5000)), s.stores("resp_x")
	foreign.TenantID += 1000 // who is no longer there
	s.commit(t, long, foreign, s.stores("resp_y"))
	if b := s.bucket(t); b.UsedIn != 30 {
		t.Errorf("used %d", b.UsedIn)
	}
	var ids []string
	if err := s.db.Select(&ids, `SELECT id FROM responses`); err != nil || len(ids) != 1 || ids[0] != "resp_y" {
		t.Errorf("%q %v", ids, err)
	}
}

func TestSweepResponsesKeepsTheLastSixtyDays(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	old, young := s.stores("resp_old"), s.stores("resp_young")
	old.CreatedAt = time.Now().Add(-60*24*time.Hour - time.Minute)
	young.CreatedAt = time.Now().Add(-60*24*time.Hour + time.Minute)
	s.commit(t, old, young)
	if n, err := s.SweepResponses(ctx); n != 1 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	if _, _, _, err := s.ResponseOwner(ctx, s.tenant.ID, "resp_young"); err != nil {
		t.Error(err)
	}
}

func TestAResponseUnderWayIsKeptUntilItsCallIsCommitted(t *testing.T) {
	own := openShop(t, charging(1000, 1000))
	other := secondShop(t, own, "Outra")
	ctx := context.Background()
	keep := func(s *shop, id string, tokens int64) {
		t.Helper()
		r := tenancy.StoredResponse{ID: id, TenantID: s.tenant.ID, Provider: "azure-br", Model: "gpt-4.1-nano", Tokens: tokens}
		if err := own.KeepResponse(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want int64) {
		t.Helper()
		provider, model, tokens, err := own.ResponseOwner(ctx, own.tenant.ID, "resp_a")
		if err != nil || provider != "azure-br" || model != "gpt-4.1-nano" || tokens != want {
			t.Errorf("%q %q %d %v, want %d tokens", provider, model, tokens, err, want)
		}
	}
	keep(own, "resp_a", 700)
	keep(own, "resp_a", 1)
	keep(other, "resp_a", 1)
	has(700)
	other.commit(t, other.stores("resp_a"))
	has(700)
	own.commit(t, own.stores("resp_a"), own.stores("resp_a"))
	has(15)
	keep(own, "resp_a", 700)
	has(15)
	keep(own, strings.Repeat("r", 501), 1)
	keep(own, "resp_\x00", 1)
}
