package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/store/storetest"
)

func TestACapThatPaysForNothingIsToldAsOneThatRefuses(t *testing.T) {
	for name, limit := range map[string]money.Micros{"none at all": 0, "less than a token": 99} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t, charging(1000, 1000)) // at 100 micros a token
			s.onlyTeam(t, alert.InputQuota)
			if err := s.SetSpendCap(context.Background(), s.tenant.ID, &limit); err != nil {
				t.Fatal(err)
			}
			s.commitCalls(t, 1000)
			var says []string
			const query = `SELECT (details->>'blocks') || ' ' || (details->>'capped') || ' ' || coalesce(details->>'cap', '0') FROM alert_events WHERE lead`
			if err := s.db.Select(&says, query); err != nil {
				t.Fatal(err)
			}
			same(t, says, fmt.Sprintf("true true %d", limit))
		})
	}
}

func TestAnAlertThatCannotBeRaisedKeepsNoOtherFromBeingRaised(t *testing.T) {
	o := openOffice(t)
	o.at = time.Now() // open periods are those of PostgreSQL's clock
	plan := o.plan("basis", blocking(1000, 1000))
	broken, sound := o.customer("A", plan.ID), o.customer("B", plan.ID)
	for _, id := range []int64{broken.ID, sound.ID} {
		_, err := o.CurrentUsage(o.ctx, id)
		o.must(err)
	}
	o.db.MustExec(fmt.Sprintf(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.tenant_id = %d THEN RAISE EXCEPTION 'broken'; END IF; RETURN NEW; END $$`, broken.ID))
	o.db.MustExec(`CREATE TRIGGER fail BEFORE INSERT ON alert_events FOR EACH ROW EXECUTE FUNCTION fail()`)
	o.db.MustExec(`INSERT INTO quota_buckets (period_id, tenant_id, limit_in, limit_out, hard) SELECT id, tenant_id, 1000, 1000, true FROM billing_periods
		ON CONFLICT DO NOTHING`)
	for _, version := range []int{0, 1} { // looked at again after an error, and under other rules
		o.db.MustExec(`DELETE FROM alert_events`)
		o.db.MustExec(`UPDATE alert_version SET version = version + 1`)
		o.db.MustExec(`UPDATE quota_buckets SET used_in = 1000, alert_version = $1`, version)
		if err := o.RaiseDue(o.ctx); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("what is wrong is not said: %v", err)
		}
		var raised int
		o.must(o.db.Get(&raised, `SELECT count(*) FROM alert_events WHERE tenant_id = $1`, sound.ID))
		if raised == 0 {
			t.Errorf("buckets at version %d: nothing is told of a quota that is used up", version)
		}
	}
}

func TestAServerWhoseClockIsAheadSilencesNoPeriod(t *testing.T) {
	now := time.Now()
	s := stockShop(t, New(storetest.Open(t).DB, func() time.Time { return now }), blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	now = now.AddDate(0, 2, 0)
	s.commitCalls(t, 500)
	same(t, s.told(t), "operator input_quota 5000 5000 lead")
}
