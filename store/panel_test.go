package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

// office is a store whose clock the test sets.
type office struct {
	*Store
	t   *testing.T
	ctx context.Context
	at  time.Time
}

func openOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, at: time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)}
	o.Store = New(storetest.Open(t).DB, func() time.Time { return o.at })
	o.ctx = tenancy.WithActor(context.Background(), tenancy.Actor{Label: "gestora@empresa.com.br"})
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// plan publishes a plan.
func (o *office) plan(slug string, terms tenancy.Terms) tenancy.Plan {
	o.t.Helper()
	plan, err := o.CreatePlan(o.ctx, tenancy.PlanDraft{Slug: slug, Name: "Plano " + slug, Terms: terms}, true)
	o.must(err)
	return plan
}

func (o *office) customer(name string, planID int64) tenancy.Tenant {
	o.t.Helper()
	tenant, err := o.CreateTenant(o.ctx, customerDraft(name, planID))
	o.must(err)
	return tenant
}

func customerDraft(name string, planID int64) tenancy.TenantDraft {
	return tenancy.TenantDraft{Name: name, TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: planID}
}

func (o *office) newKey(d tenancy.KeyDraft) (tenancy.Key, tenancy.Secret) {
	o.t.Helper()
	key, secret, err := o.CreateKey(o.ctx, d)
	o.must(err)
	return key, secret
}

// refused wants a fault of the kind with the key, or with the key beside the field.
func (o *office) refused(err error, kind fault.Kind, key string) {
	o.t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind {
		o.t.Fatalf("error %v, want kind %d", err, kind)
	}
	for _, field := range f.Fields {
		if field.Key == key {
			return
		}
	}
	if f.Key != key {
		o.t.Fatalf("error %v, want %s", err, key)
	}
}

// audited counts the entries of an action on a subject.
func (o *office) audited(action, subject string) int {
	o.t.Helper()
	var n int
	const count = `SELECT count(*) FROM audit_log WHERE action = $1 AND subject = $2 AND actor = 'gestora@empresa.com.br'`
	o.must(o.db.Get(&n, count, action, subject))
	return n
}

// count runs a query that gives one number.
func (o *office) count(query string, args ...any) int64 {
	o.t.Helper()
	var n int64
	o.must(o.db.Get(&n, query, args...))
	return n
}

// together runs fn n times at once and gives the errors.
func together(n int, fn func() error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	ready.Add(1)
	for i := range errs {
		done.Go(func() {
			ready.Wait()
			errs[i] = fn()
		})
	}
	ready.Done()
	done.Wait()
	return errs
}

// oneWins wants a single success, the others refused as conflicts.
func (o *office) oneWins(errs []error) {
	o.t.Helper()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !fault.Is(err, fault.Conflict):
			o.t.Errorf("loser got %v, want a conflict", err)
		}
	}
	if won != 1 {
		o.t.Fatalf("%d won, want exactly one: %v", won, errs)
	}
}

// use counts tokens as used in the tenant's current period.
func (o *office) use(t tenancy.Tenant, in, out int64) {
	o.t.Helper()
	o.must(o.inTx(o.ctx, func(tx *tx) error {
		period, err := tx.ensurePeriod(o.ctx, t.SubscriptionID)
		if err != nil {
			return err
		}
		const add = `UPDATE quota_buckets SET used_in = used_in + $2, used_out = used_out + $3 WHERE period_id = $1`
		_, err = tx.ExecContext(o.ctx, add, period.ID, in, out)
		return err
	}))
}

const reais = money.Unit
