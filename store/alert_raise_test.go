package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// told is what alerts there are, oldest first: audience, metric, threshold, value, whether it leads.
func (s *shop) told(t testing.TB) (lines []string) {
	t.Helper()
	const query = `SELECT audience || ' ' || metric || ' ' || threshold || ' ' || value || CASE WHEN lead THEN ' lead' ELSE '' END FROM alert_events ORDER BY id`
	if err := s.db.Select(&lines, query); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (s *shop) sql(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := s.db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// onlyTeam leaves the rules of one audience and metric, so that a test reads what it is about.
func (s *shop) onlyTeam(t testing.TB, metric alert.Metric) {
	t.Helper()
	s.sql(t, `DELETE FROM alert_rules WHERE audience <> 'operator' OR metric <> $1`, metric)
}

func (s *shop) commitCalls(t testing.TB, tokens ...int64) {
	t.Helper()
	for _, n := range tokens {
		if err := s.committer().CommitUsage(context.Background(), []usage.Event{s.call(n, 0)}); err != nil {
			t.Fatal(err)
		}
	}
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("alerts\n got %q\nwant %q", got, want)
	}
}

func TestAThresholdIsToldWithTheCommitThatReachesItAndNotBefore(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 499)
	same(t, s.told(t))
	s.commitCalls(t, 1)
	same(t, s.told(t), "operator input_quota 5000 5000 lead")
	s.commitCalls(t, 299, 1, 99, 1, 99, 1)
	same(t, s.told(t), "operator input_quota 5000 5000 lead", "operator input_quota 8000 8000 lead", "operator input_quota 9000 9000 lead",
		"operator input_quota 10000 10000 lead")
}

func TestAJumpTellsEachThresholdInOneGroup(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 950)
	same(t, s.told(t), "operator input_quota 5000 9500", "operator input_quota 8000 9500", "operator input_quota 9000 9500 lead")
	var groups int
	if err := s.db.Get(&groups, `SELECT count(DISTINCT group_id) FROM alert_events`); err != nil || groups != 1 {
		t.Errorf("%d groups, %v", groups, err)
	}
}

func TestNothingIsToldTwiceWhenABatchComesAgain(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	batch := []usage.Event{s.call(600, 0)}
	for range 3 {
		if err := s.committer().CommitUsage(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
	}
	same(t, s.told(t), "operator input_quota 5000 6000 lead")
}

func TestALimitThatIsRaisedTellsNothingAgainAndTheNewOneIsWatched(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 850)
	s.sql(t, `UPDATE quota_buckets SET limit_in = 2000`)
	s.commitCalls(t, 150, 600)
	same(t, s.told(t), "operator input_quota 5000 8500", "operator input_quota 8000 8500 lead")
	s.commitCalls(t, 200)
	same(t, s.told(t)[2:], "operator input_quota 9000 9000 lead")
}

func TestANewPeriodTellsAnew(t *testing.T) {
	now := time.Now()
	s := stockShop(t, New(storetest.Open(t).DB, func() time.Time { return now }), blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 500)
	now = now.AddDate(0, 1, 3)
	old := s.caller.PeriodID
	var hash []byte
	if err := s.db.Get(&hash, `SELECT hash FROM api_keys`); err != nil {
		t.Fatal(err)
	}
	caller, err := s.CallerByHash(context.Background(), [32]byte(hash))
	if err != nil || caller.PeriodID == old {
		t.Fatalf("no new period: %v", err)
	}
	s.caller = caller
	s.commitCalls(t, 500)
	same(t, s.told(t), "operator input_quota 5000 5000 lead", "operator input_quota 5000 5000 lead")
}

func TestARuleOfTheTenantOverridesAndAChangeOfItIsNoticed(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.sql(t, `INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds) VALUES ('operator', 'tenant', $1, 'input_quota', 'tokens', '{700}')`, s.tenant.ID)
	s.commitCalls(t, 600)
	same(t, s.told(t))
	s.commitCalls(t, 100)
	same(t, s.told(t), "operator input_quota 700 700 lead")
	s.sql(t, `UPDATE alert_rules SET thresholds = '{700,800}' WHERE scope = 'tenant'`)
	s.commitCalls(t, 150)
	same(t, s.told(t)[1:], "operator input_quota 800 850 lead")
}

func TestWhatIsReachedUnderANewRuleIsToldWithoutACall(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.sql(t, `DELETE FROM alert_rules`)
	s.commitCalls(t, 600)
	ctx := context.Background()
	if err := s.RaiseDue(ctx); err != nil {
		t.Fatal(err)
	}
	same(t, s.told(t))
	s.sql(t, `INSERT INTO alert_rules (audience, scope, metric, unit, thresholds) VALUES ('customer', 'all', 'input_quota', 'percent', '{6000}')`)
	for range 2 {
		if err := s.RaiseDue(ctx); err != nil {
			t.Fatal(err)
		}
	}
	same(t, s.told(t), "customer input_quota 6000 6000 lead")
}

func TestChargesAreToldByTheirAmount(t *testing.T) {
	s := openShop(t, charging(1000, 1000)) // R$ 0,0001 a token above
	s.onlyTeam(t, alert.Overage)
	s.sql(t, `INSERT INTO alert_rules (audience, scope, metric, unit, thresholds) VALUES ('operator', 'all', 'overage', 'brl', '{10000,20000}')`)
	s.commitCalls(t, 1099)
	same(t, s.told(t))
	s.commitCalls(t, 1)
	same(t, s.told(t), "operator overage 10000 10000 lead")
	s.commitCalls(t, 500)
	same(t, s.told(t)[1:], "operator overage 20000 60000 lead")
	var sums struct{ Bucket, Events int64 }
	if err := s.db.Get(&sums, `SELECT (SELECT sum(charge_brl_micros) FROM quota_buckets) AS bucket, (SELECT sum(charge_brl_micros) FROM usage_events) AS events`); err != nil || sums.Bucket != sums.Events {
		t.Errorf("the bucket charged %d, its calls %d; %v", sums.Bucket, sums.Events, err)
	}
}

func TestAnAlertRollsBackWithItsCommit(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.sql(t, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`)
	s.sql(t, `CREATE TRIGGER fail AFTER UPDATE OF last_used_at ON api_keys FOR EACH ROW EXECUTE FUNCTION fail()`) // the last thing that a commit does
	if err := s.committer().CommitUsage(context.Background(), []usage.Event{s.call(600, 0)}); err == nil {
		t.Fatal("committed")
	}
	same(t, s.told(t))
	s.sql(t, `DROP TRIGGER fail ON api_keys`)
	s.commitCalls(t, 600)
	same(t, s.told(t), "operator input_quota 5000 6000 lead")
}

func TestReplicasThatCommitAtOnceTellEachThresholdOnce(t *testing.T) {
	s := openShop(t, charging(4000, 4000))
	s.sql(t, `DELETE FROM alert_rules WHERE metric NOT IN ('input_quota', 'output_quota')`)
	var wg sync.WaitGroup
	errs := make(chan error, 420)
	for r := range 4 {
		c := s.UsageCommitter(fmt.Sprintf("replica %d", r), func(Committed) {})
		wg.Go(func() {
			for range 100 {
				errs <- c.CommitUsage(context.Background(), []usage.Event{s.call(10, 10)})
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			errs <- s.RaiseDue(context.Background())
		}
	})
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	if all != nil {
		t.Fatal(all)
	}
	if got := s.told(t); len(got) != 2*2*4 { // audiences, kinds of token, thresholds
		t.Errorf("%d alerts: %q", len(got), got)
	}
}

func TestAnAlertSaysHowThePeriodStood(t *testing.T) {
	s := openShop(t, charging(1000, 500))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 1200)
	var got struct {
		Details string
		Subject string
		Tenant  int64
	}
	if err := s.db.Get(&got, `SELECT details->>'tenant' || ' ' || (details->>'used_in') || ' ' || (details->>'charged') || ' ' || (details->>'plan') AS details, subject, tenant_id AS tenant FROM alert_events WHERE lead`); err != nil {
		t.Fatal(err)
	}
	if got.Details != "Padaria 1200 20000 Test" || got.Tenant != s.tenant.ID || got.Subject != fmt.Sprintf("subscription:%d", s.tenant.SubscriptionID) {
		t.Errorf("%+v", got)
	}
}

func TestAKeyWithAPlanOfItsOwnIsToldAsItself(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.sql(t, `DELETE FROM alert_rules`)
	ctx := context.Background()
	plan, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: "own", Name: "Own", Terms: blocking(100, 100)}, true)
	if err != nil {
		t.Fatal(err)
	}
	key, secret, err := s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "robô", PlanID: plan.ID})
	if err != nil {
		t.Fatal(err)
	}
	s.sql(t, `INSERT INTO alert_rules (audience, scope, tenant_id, key_id, metric, unit, thresholds) VALUES ('operator', 'key', $1, $2, 'input_quota', 'percent', '{5000}')`, s.tenant.ID, key.ID)
	s.commitCalls(t, 900) // of the tenant's own plan
	same(t, s.told(t))
	if s.caller, err = s.CallerByHash(ctx, secret.Hash()); err != nil {
		t.Fatal(err)
	}
	s.key = key
	s.commitCalls(t, 50)
	same(t, s.told(t), "operator input_quota 5000 5000 lead")
	s.sql(t, `UPDATE alert_rules SET thresholds = '{5000,9000}'`)
	if _, _, err := s.RotateKey(ctx, key.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 40)
	same(t, s.told(t)[1:], "operator input_quota 9000 9000 lead")
}

func TestAlertsThatCannotBeRaisedKeepNoUsageFromTheBooks(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.sql(t, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`)
	s.sql(t, `CREATE TRIGGER fail BEFORE INSERT ON alert_events FOR EACH ROW EXECUTE FUNCTION fail()`)
	s.commitCalls(t, 600, 1)
	if b := s.bucket(t); b.UsedIn != 601 {
		t.Errorf("%d tokens are in the books, want 601", b.UsedIn)
	}
	if err := s.RaiseDue(context.Background()); err == nil {
		t.Error("nobody hears that alerts cannot be raised")
	}
	s.sql(t, `DROP TRIGGER fail ON alert_events`)
	if err := s.RaiseDue(context.Background()); err != nil {
		t.Fatal(err)
	}
	same(t, s.told(t), "operator input_quota 5000 6010 lead")
	s.audit(t)
}

func TestAMoveToAPlanWithTheSameLimitsMindsItsRules(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.sql(t, `DELETE FROM alert_rules`)
	s.commitCalls(t, 700)
	ctx := context.Background()
	terms := blocking(1000, 1000)
	terms.Price *= 2
	plan, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: "dear", Name: "Dear", Terms: terms}, true)
	if err != nil {
		t.Fatal(err)
	}
	s.sql(t, `INSERT INTO alert_rules (audience, scope, plan_id, metric, unit, thresholds) VALUES ('operator', 'plan', $1, 'input_quota', 'percent', '{5000}')`, plan.ID)
	s.commitCalls(t, 1)
	same(t, s.told(t))
	if _, err := s.ChangePlan(ctx, s.tenant.ID, plan.ID); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 1)
	same(t, s.told(t), "operator input_quota 5000 7020 lead")
}

func TestACustomerThatHasGoneIsToldNothing(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.sql(t, `DELETE FROM alert_rules`)
	s.commitCalls(t, 700)
	ctx := context.Background()
	if err := s.CloseTenant(ctx, s.tenant.ID); err != nil {
		t.Fatal(err)
	}
	s.sql(t, `INSERT INTO alert_rules (audience, scope, metric, unit, thresholds) VALUES ('customer', 'all', 'input_quota', 'percent', '{5000}')`)
	if err := s.RaiseDue(ctx); err != nil {
		t.Fatal(err)
	}
	same(t, s.told(t))
}

func TestAThresholdIsAnotherOneInAnotherUnit(t *testing.T) {
	s := openShop(t, blocking(10_000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.sql(t, `UPDATE alert_rules SET thresholds = '{5000}'`)
	s.commitCalls(t, 5500)
	s.sql(t, `UPDATE alert_rules SET unit = 'tokens', thresholds = '{3000,5000}'`)
	s.commitCalls(t, 500)
	same(t, s.told(t), "operator input_quota 5000 5500 lead", "operator input_quota 3000 6000", "operator input_quota 5000 6000 lead")
}

// TestAMigrationKeepsNoCommitFromRaising: what a connection prepared before a column changed its type is refused from then on.
func TestAMigrationKeepsNoCommitFromRaising(t *testing.T) {
	s := openShop(t, blocking(100_000, 100_000))
	s.onlyTeam(t, alert.InputQuota)
	c := s.committer()
	commit := func(in int64) {
		t.Helper()
		if err := c.CommitUsage(context.Background(), []usage.Event{s.call(in, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // so that the look is prepared
		s.sql(t, `UPDATE quota_buckets SET alert_version = 0`)
		commit(1)
	}
	s.sql(t, `ALTER TABLE plans ALTER name TYPE varchar`)
	s.sql(t, `ALTER TABLE alert_rules ALTER unit TYPE varchar`)
	e := s.call(60_000, 0)
	for tries := 0; ; tries++ { // as the committer of a replica does
		err := c.CommitUsage(context.Background(), []usage.Event{e})
		if err == nil {
			break
		}
		if tries == 3 {
			t.Fatal(err)
		}
	}
	if len(s.told(t)) == 0 {
		t.Error("half of the quota is used, and nothing is raised")
	}
}
