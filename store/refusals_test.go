package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// refuses makes a refusal of the shop's key, so long ago.
func (s *shop) refuses(ago time.Duration) tenancy.Refusal {
	e := earlier(s.call(0, 0), ago)
	return tenancy.Refusal{
		ID: e.ID, At: e.CreatedAt, TenantID: s.tenant.ID, TenantName: s.tenant.Name, KeyID: s.key.ID, KeyName: s.key.Name,
		Endpoint: "chat.completions", Model: `o"3\`, HTTPStatus: 429, Reason: "rate_limited", Scope: "key", Limit: "requests_per_minute",
		LimitValue: 60, Asked: 1, Remaining: 0, ResetsAt: e.CreatedAt.Add(time.Minute),
	}
}

func TestARefusalIsReadAsItWasWrittenWithTheNames(t *testing.T) {
	s := openShop(t, charging(1, 1))
	ctx := context.Background()
	want, final := s.refuses(time.Minute), s.refuses(0)
	final.ResetsAt, final.Scope, final.Limit, final.HTTPStatus = time.Time{}, "", "", 403
	if err := s.InsertRefusals(ctx, []tenancy.Refusal{want, final}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []tenancy.Refusal{want, final} {
		if got, err := s.Refusal(ctx, r.ID); err != nil || got != r {
			t.Errorf("team:\n got %+v\nwant %+v (%v)", got, r, err)
		}
		if got, err := s.Portal().OwnRefusal(ctx, s.tenant.ID, r.ID); err != nil || got != r {
			t.Errorf("customer:\n got %+v\nwant %+v (%v)", got, r, err)
		}
	}
	if _, err := s.Refusal(ctx, uuid.New()); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestRefusalsOfVanishedTenantsAndRepeatedOnesDoNotFailTheBatch(t *testing.T) {
	s := openShop(t, charging(1, 1))
	ctx := context.Background()
	good, nobody, noKey, wild := s.refuses(0), s.refuses(0), s.refuses(0), s.refuses(0)
	nobody.TenantID, noKey.KeyID, wild.HTTPStatus, wild.Model = 999_999, 999_999, 1<<40, "\x00\xff"
	for range 2 {
		if err := s.InsertRefusals(ctx, []tenancy.Refusal{good, nobody, noKey, good, wild}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.InsertRefusals(ctx, nil); err != nil {
		t.Error(err)
	}
	list, err := s.Refusals(ctx, 0, uuid.Nil, 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v %v", list, err)
	}
	if got, err := s.Refusal(ctx, noKey.ID); err != nil || got.KeyName != "" || got.TenantName != "Padaria" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestRefusalsComeNewestFirstPageByPage(t *testing.T) {
	own := openShop(t, charging(1, 1))
	other := secondShop(t, own, "Outra")
	ctx := context.Background()
	var batch []tenancy.Refusal
	for i := range 5 {
		batch = append(batch, own.refuses(time.Duration(i)*time.Minute), other.refuses(time.Duration(i)*time.Minute))
	}
	if err := own.InsertRefusals(ctx, batch); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(before uuid.UUID) ([]tenancy.Refusal, error){
		"team": func(before uuid.UUID) ([]tenancy.Refusal, error) { return own.Refusals(ctx, own.tenant.ID, before, 2) },
		"customer": func(before uuid.UUID) ([]tenancy.Refusal, error) {
			return own.Portal().OwnRefusals(ctx, own.tenant.ID, before, 2)
		},
	} {
		var before uuid.UUID
		for i := 0; i < 5; i += 2 {
			page, err := read(before)
			if want := min(2, 5-i); err != nil || len(page) != want {
				t.Fatalf("%s: %d from %d on: %v", name, len(page), i, err)
			}
			for j, r := range page {
				if r != batch[2*(i+j)] {
					t.Errorf("%s: place %d has %+v", name, i+j, r)
				}
			}
			before = page[len(page)-1].ID
		}
	}
	if all, err := own.Refusals(ctx, 0, uuid.Nil, 100); err != nil || len(all) != 10 {
		t.Errorf("of all: %d %v", len(all), err)
	}
	if _, err := own.Portal().OwnRefusal(ctx, own.tenant.ID, batch[1].ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant's: %v", err)
	}
}

func TestSweepRefusalsKeepsTheLastNinetyDays(t *testing.T) {
	s := openShop(t, charging(1, 1))
	ctx := context.Background()
	old, young := s.refuses(90*24*time.Hour+time.Minute), s.refuses(90*24*time.Hour-time.Minute)
	if err := s.InsertRefusals(ctx, []tenancy.Refusal{old, young}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.SweepRefusals(ctx); n != 1 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	if _, err := s.Refusal(ctx, young.ID); err != nil {
		t.Error(err)
	}
}
