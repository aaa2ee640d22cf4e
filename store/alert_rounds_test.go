package store

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestWhoBuysABiggerPlanWhenTheirsIsUsedUpIsToldOfIt(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	ctx := context.Background()
	s.commitCalls(t, 1000)
	bigger, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: "big", Name: "Big", Terms: blocking(100_000, 1000)}, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangePlan(ctx, s.tenant.ID, bigger.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RaiseDue(ctx); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 48_999)
	same(t, s.told(t), "operator input_quota 5000 10000", "operator input_quota 8000 10000", "operator input_quota 9000 10000", "operator input_quota 10000 10000 lead")
	s.commitCalls(t, 1, 30_000, 10_000, 10_000)
	same(t, s.told(t)[4:], "operator input_quota 5000 5000 lead", "operator input_quota 8000 8000 lead", "operator input_quota 9000 9000 lead",
		"operator input_quota 10000 10000 lead")
}

func TestALimitThatIsUsedUpAndRaisedTellsNothingOfWhatLiesBelow(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 1000)
	raise := func(limit int) {
		s.sql(t, `UPDATE quota_buckets SET limit_in = $1`, limit)
		if err := s.RaiseDue(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	raise(1100)
	s.commitCalls(t, 99)
	same(t, s.told(t)[4:])
	s.commitCalls(t, 1)
	same(t, s.told(t)[4:], "operator input_quota 10000 10000 lead")
	raise(2000)
	s.commitCalls(t, 600) // 85 %: half of it lies below
	same(t, s.told(t)[5:], "operator input_quota 8000 8500 lead")
	raise(3000) // something was left
	s.commitCalls(t, 900)
	same(t, s.told(t)[6:])
	s.commitCalls(t, 100)
	same(t, s.told(t)[6:], "operator input_quota 9000 9000 lead")
}

func TestACapThatIsUsedUpAndRaisedIsToldOfAnew(t *testing.T) {
	s := openShop(t, charging(1000, 1000)) // at 100 micros a token
	s.onlyTeam(t, alert.SpendCap)
	s.sql(t, `UPDATE alert_rules SET thresholds = '{5000,8000,10000}'`)
	limit := func(micros money.Micros) {
		if err := s.SetSpendCap(context.Background(), s.tenant.ID, &micros); err != nil {
			t.Fatal(err)
		}
	}
	limit(10_050) // a hundred tokens, and what pays for none
	s.commitCalls(t, 1100)
	same(t, s.told(t), "operator spend_cap 5000 10000", "operator spend_cap 8000 10000", "operator spend_cap 10000 10000 lead")
	limit(20_000)
	s.commitCalls(t, 50)
	same(t, s.told(t)[3:])
	s.commitCalls(t, 10)
	same(t, s.told(t)[3:], "operator spend_cap 8000 8000 lead")
}

// TestARoundBeginsWhereALimitThatWasUsedUpIsRaised counts them as the database does.
func TestARoundBeginsWhereALimitThatWasUsedUpIsRaised(t *testing.T) {
	s := openShop(t, charging(1000, 500))
	s.sql(t, `UPDATE quota_buckets SET hard = false, used_in = 700, used_out = 500, charge_brl_micros = 900, spend_cap_micros = 1000, extra_tokens = 10`)
	type rounds struct{ In, InMark, Out, OutMark, Spent, SpentMark int64 }
	for _, c := range []struct {
		what, change string
		want         rounds
	}{
		{"nothing", `UPDATE quota_buckets SET hard = hard, limit_in = limit_in, limit_out = limit_out, spend_cap_micros = spend_cap_micros`, rounds{SpentMark: 900}},
		{"lowered", `UPDATE quota_buckets SET limit_in = 900, spend_cap_micros = 950`, rounds{SpentMark: 900}},
		{"raised, with something left", `UPDATE quota_buckets SET limit_in = 1200, spend_cap_micros = 1000`, rounds{InMark: 700, SpentMark: 900}},
		{"raised, used up", `UPDATE quota_buckets SET limit_out = 600`, rounds{InMark: 700, Out: 1, OutMark: 500, SpentMark: 900}},
		{"used, nothing else", `UPDATE quota_buckets SET used_in = 1200, used_out = 590, charge_brl_micros = 1000`, rounds{InMark: 700, Out: 1, OutMark: 500, SpentMark: 900}},
		{"all of them", `UPDATE quota_buckets SET limit_in = 2000, limit_out = 601, spend_cap_micros = NULL`, rounds{1, 1200, 1, 590, 1, 1000}},
		{"a cap again", `UPDATE quota_buckets SET charge_brl_micros = 1100, spend_cap_micros = 5000`, rounds{1, 1200, 1, 590, 1, 1100}},
	} {
		s.sql(t, c.change)
		var got rounds
		if err := s.db.QueryRow(`SELECT alert_round_in, alert_mark_in, alert_round_out, alert_mark_out, alert_round_charge, alert_mark_charge FROM quota_buckets`).Scan(
			&got.In, &got.InMark, &got.Out, &got.OutMark, &got.Spent, &got.SpentMark); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
