package main

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/openaitest"
)

// cap sets what a tenant may be charged in a period, in tokens above a plan of charging.
func (f *fleet) cap(tenant, tokens int64) {
	f.t.Helper()
	limit := money.Micros(tokens * 100)
	f.must(f.books.SetSpendCap(f.ctx, tenant, &limit))
}

// charged is what the calls of a tenant were charged, in tokens above a plan of charging.
func (f *fleet) charged(tenant int64) int64 {
	f.t.Helper()
	return f.number(`SELECT coalesce(sum(charge_brl_micros), 0)::bigint / 100 FROM usage_events WHERE tenant_id = $1`, tenant)
}

// TestASpendCapStopsThreeReplicasAtExactlyTheCallsItPaysFor has two hundred callers use up the included tokens and then the cap,
// has it raised, and lowered below what is charged.
func TestASpendCapStopsThreeReplicasAtExactlyTheCallsItPaysFor(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 3, p.URL())
	in, out := f.cost()
	const included, above, more = 40, 301, 150
	tenant, key := f.tenantOn("teto", charging(included*in, included*out))
	f.cap(tenant, above*(in+out))
	c := f.gather(key, 200, 0, 1, 2)
	c.done()
	if c.n(served) != included+above || c.n(usedUp) != 200 || c.n(broken) != 0 {
		t.Errorf("%d calls were answered, %d refused, %d broke; want exactly %d, 200 and none", c.n(served), c.n(usedUp), c.n(broken), included+above)
	}
	f.committed(tenant, included+above)
	c.recorded(tenant)
	if got := f.charged(tenant); got != above*(in+out) {
		t.Errorf("%d tokens were charged, and the cap pays for %d", got, above*(in+out))
	}
	r := f.replicas[0].chat(key, question)
	if judge(r) != usedUp || !strings.Contains(gjson.Get(r.body, "error.message").Str, "spend cap: R$ ") {
		t.Errorf("%d %s", r.status, r.body)
	}

	f.cap(tenant, (above+more)*(in+out)+1) // one token more is no call more
	eventually(t, "calls go on after the cap was raised", func() bool { return judge(f.replicas[1].chat(key, question)) == served })
	again := f.gather(key, 64, 0, 1, 2)
	again.done()
	if again.n(served) != more-1 {
		t.Errorf("%d calls were answered after the cap was raised; want exactly %d", again.n(served)+1, more)
	}
	f.committed(tenant, included+above+more)
	if got := f.charged(tenant); got != (above+more)*(in+out) {
		t.Errorf("%d tokens were charged of %d", got, (above+more)*(in+out)+1)
	}

	f.cap(tenant, 2*(above+more)*(in+out))
	eventually(t, "calls go on", func() bool { return judge(f.replicas[2].chat(key, question)) == served })
	f.cap(tenant, above) // far below what is charged
	eventually(t, "every replica refuses after the cap was lowered", func() bool {
		for _, s := range f.replicas {
			if judge(s.chat(key, question)) != usedUp {
				return false
			}
		}
		return true
	})
	if n := f.number(`SELECT overrun_in + overrun_out FROM quota_buckets WHERE tenant_id = $1`, tenant); n != 0 {
		t.Errorf("%d tokens passed the cap", n)
	}
	refused := f.number(`SELECT count(*) FROM refusals WHERE tenant_id = $1 AND limit_name = 'spend_cap'`, tenant)
	if refused == 0 {
		t.Error("no refusal says that it was the cap's")
	}
	f.agree()
	t.Logf("told to try again: %d; refusals that name the cap: %d", c.n(tryAgain)+again.n(tryAgain), refused)
}
