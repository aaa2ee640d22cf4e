package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// twins wants the refusal of a rule that says the same as another.
func (o *office) twins(err error, id int64) {
	o.t.Helper()
	var twin *alert.Twin
	if !fault.Is(err, fault.Conflict) || !errors.As(err, &twin) || twin.ID != id {
		o.t.Fatalf("%v, want it refused as a twin of rule %d", err, id)
	}
}

func TestARuleThatSaysTheSameAsAnotherIsRefused(t *testing.T) {
	o := openOffice(t)
	first := o.rule(quotaRule(alert.All))
	again := quotaRule(alert.All)
	again.Name, again.Thresholds = "Outra vez", []int64{10_000, 5000, 5000}
	_, err := o.CreateAlertRule(o.ctx, again)
	o.twins(err, first.ID)
	for name, change := range map[string]func(*alert.Rule){
		"a threshold": func(r *alert.Rule) { r.Thresholds = []int64{5000} },
		"people":      func(r *alert.Rule) { r.To.Roles = []tenancy.Role{tenancy.Manager} },
		"hours":       func(r *alert.Rule) { r.Quiet = &alert.Quiet{From: 1, Until: 2} },
	} {
		r := quotaRule(alert.All)
		change(&r)
		made, err := o.CreateAlertRule(o.ctx, r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same := quotaRule(alert.All)
		same.ID = made.ID
		_, err = o.UpdateAlertRule(o.ctx, same)
		o.twins(err, first.ID)
	}
	first.Name = "Com nome"
	if _, err := o.UpdateAlertRule(o.ctx, first); err != nil {
		t.Errorf("a rule is its own twin: %v", err)
	}
	o.must(o.DeleteAlertRule(o.ctx, first.ID))
	o.rule(quotaRule(alert.All))
}

func TestOfTwoFormsSentAtOnceOneMakesTheRule(t *testing.T) {
	o := openOffice(t)
	var waiting sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		waiting.Go(func() { _, results[i] = o.CreateAlertRule(o.ctx, quotaRule(alert.All)) })
	}
	waiting.Wait()
	made := 0
	for _, err := range results {
		if err == nil {
			made++
		} else if !fault.Is(err, fault.Conflict) {
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d rules were made", made)
	}
}

func TestARuleAlikeWatchesTheSameForTheSame(t *testing.T) {
	o := openOffice(t)
	o.db.MustExec(`DELETE FROM alert_rules`)
	first := o.rule(quotaRule(alert.All))
	other := quotaRule(alert.All)
	other.Thresholds = []int64{7000}
	alike := func(r alert.Rule, want int64) {
		t.Helper()
		if got, err := o.RuleAlike(o.ctx, r); err != nil || got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
	alike(other, first.ID)
	alike(first, 0)
	output := other
	output.Metric = alert.OutputQuota
	alike(output, 0)
	_, err := o.EnableAlertRule(o.ctx, first.ID, false)
	o.must(err)
	alike(other, 0)
}

func TestWhatIsForeseenIsWhatSavingTells(t *testing.T) {
	o := openOffice(t)
	o.at = time.Now() // open periods are those of PostgreSQL's clock
	o.db.MustExec(`DELETE FROM alert_rules`)
	plan := o.plan("basis", blocking(1000, 1000))
	for i, used := range []int{680, 400, 990} {
		c := o.customer(string(rune('A'+i)), plan.ID)
		_, err := o.CurrentUsage(o.ctx, c.ID)
		o.must(err)
		o.db.MustExec(`UPDATE quota_buckets SET used_in = $1 WHERE tenant_id = $2`, used, c.ID)
	}
	raised := func() (n int) {
		o.must(o.RaiseDue(o.ctx))
		o.must(o.db.Get(&n, `SELECT count(*) FROM alert_events WHERE lead`))
		return n
	}
	foresees := func(r alert.Rule, news, old int) {
		t.Helper()
		got, err := o.ToldAtOnce(o.ctx, r)
		if err != nil || len(got.News) != news || got.Old != old || got.More {
			t.Fatalf("%+v, %v; want %d told and %d that know", got, err, news, old)
		}
	}
	r := quotaRule(alert.All)
	r.Thresholds = []int64{5000, 10_000}
	foresees(r, 2, 0)
	r = o.rule(r)
	if n := raised(); n != 2 {
		t.Fatalf("%d alerts were raised", n)
	}
	foresees(r, 0, 2)
	r.Thresholds = []int64{4000, 5000, 9000}
	foresees(r, 2, 1) // 40 % of one, and 90 % of another; 68 % is above nothing that is new
	r.UpdatedAt = time.Time{}
	_, err := o.UpdateAlertRule(o.ctx, r)
	o.must(err)
	if n := raised(); n != 4 {
		t.Fatalf("%d alerts were raised", n)
	}
	watched := quotaRule(alert.All)
	watched.Metric, watched.Thresholds = alert.Forecast, []int64{1}
	foresees(watched, 0, 0)
}
