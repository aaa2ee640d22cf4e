package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestCreateTenantSubscribesFromNowOn(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	d := customerDraft(" Padaria São João ", plan.ID)
	d.Email, d.TaxID, d.BillingDay = "contato@padaria.com.br", "11.222.333/0001-81", 15
	tenant, err := o.CreateTenant(o.ctx, d)
	o.must(err)
	if tenant.Name != "Padaria São João" || tenant.TaxID != "11222333000181" || tenant.Status != tenancy.TenantActive ||
		tenant.PlanID != plan.ID || tenant.PlanVersion != 1 || tenant.NewestVersion != 1 || tenant.NextPlanName != "" {
		t.Fatalf("%+v", tenant)
	}
	a := tenant.Allowance
	if a.Input.Limit != 1000 || a.Output.Limit != 500 || !a.Hard || a.Input.Used != 0 {
		t.Fatalf("allowance: %+v", a)
	}
	if want := time.Date(2026, 12, 15, 3, 0, 0, 0, time.UTC); !a.Period.End.Equal(want) {
		t.Fatalf("the period ends at %v, want %v", a.Period.End, want)
	}
	if o.audited("tenant.create", tenantSubject(tenant.ID)) != 1 {
		t.Fatal("not in the audit log")
	}
}

func TestATaxIDBelongsToOneOpenTenant(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1, 1))
	d := customerDraft("Padaria", plan.ID)
	d.TaxID = "529.982.247-25"
	first, err := o.CreateTenant(o.ctx, d)
	o.must(err)
	d.Name = "Outra"
	_, err = o.CreateTenant(o.ctx, d)
	o.refused(err, fault.Conflict, "tenants.error.tax_id_taken")
	other := o.customer("Outra", plan.ID)
	_, err = o.UpdateTenant(o.ctx, other.ID, d)
	o.refused(err, fault.Conflict, "tenants.error.tax_id_taken")
	o.must(o.CloseTenant(o.ctx, first.ID))
	if _, err = o.UpdateTenant(o.ctx, other.ID, d); err != nil {
		t.Fatalf("a closed tenant still holds its tax id: %v", err)
	}
}

func TestTwoWhoAddTheSameTaxIDAtOnceMakeOneTenant(t *testing.T) {
	o := openOffice(t)
	d := customerDraft("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	d.TaxID = "529.982.247-25"
	o.oneWins(together(5, func() error {
		_, err := o.CreateTenant(o.ctx, d)
		return err
	}))
}

func TestUpdateTenantKeepsPersonalDataOutOfTheAuditLog(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1, 1))
	tenant := o.customer("Padaria", plan.ID)
	d := customerDraft("Padaria Nova", plan.ID)
	d.Email, d.TaxID, d.TimeZone = "dona@padaria.com.br", "529.982.247-25", "America/Manaus"
	change, err := o.UpdateTenant(o.ctx, tenant.ID, d)
	o.must(err)
	if change.Timing != tenancy.ChangeNone {
		t.Fatalf("%+v", change)
	}
	again, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if again.Name != "Padaria Nova" || again.Email != d.Email || again.TaxID != "52998224725" || again.TimeZone != "America/Manaus" {
		t.Fatalf("%+v", again)
	}
	if n := o.count(`SELECT count(*) FROM audit_log WHERE details::text LIKE '%dona@%' OR details::text LIKE '%5299822%'`); n != 0 {
		t.Fatal("an e-mail address or tax id is in the audit log")
	}
	_, err = o.UpdateTenant(o.ctx, 999_999, d)
	o.refused(err, fault.NotFound, tenantMissing)
}

func TestSuspendingAndReactivating(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	status := func() tenancy.TenantStatus {
		caller, err := o.CallerByHash(o.ctx, secret.Hash())
		o.must(err)
		return caller.TenantStatus
	}
	o.must(o.SuspendTenant(o.ctx, tenant.ID))
	o.must(o.SuspendTenant(o.ctx, tenant.ID))
	if status() != tenancy.TenantSuspended || o.audited("tenant.suspend", tenantSubject(tenant.ID)) != 1 {
		t.Fatal("not suspended, or twice")
	}
	o.must(o.ReactivateTenant(o.ctx, tenant.ID))
	if status() != tenancy.TenantActive {
		t.Fatal("not active again")
	}
	o.refused(o.SuspendTenant(o.ctx, 999_999), fault.NotFound, tenantMissing)
}

func TestClosingIsFinalRevokesKeysAndEndsPlans(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1, 1))
	tenant := o.customer("Padaria", plan.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "lote", PlanID: plan.ID})
	o.must(o.CloseTenant(o.ctx, tenant.ID))
	o.must(o.CloseTenant(o.ctx, tenant.ID))
	if n := o.count(`SELECT count(*) FROM subscriptions WHERE ended_at IS NULL`) + o.count(`SELECT count(*) FROM api_keys WHERE revoked_at IS NULL`); n != 0 {
		t.Fatalf("%d subscriptions or keys outlive their tenant", n)
	}
	_, err := o.CallerByHash(o.ctx, secret.Hash())
	o.refused(err, fault.NotFound, "keys.error.not_found")
	again, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if again.Status != tenancy.TenantClosed || again.PlanName != "Plano ouro" || again.Keys != 0 {
		t.Fatalf("%+v", again)
	}
	for name, act := range map[string]func() error{
		"reactivate": func() error { return o.ReactivateTenant(o.ctx, tenant.ID) },
		"edit":       func() error { _, err := o.UpdateTenant(o.ctx, tenant.ID, customerDraft("X", plan.ID)); return err },
		"plan":       func() error { _, err := o.ChangePlan(o.ctx, tenant.ID, plan.ID); return err },
		"cancel":     func() error { return o.CancelPlanChange(o.ctx, tenant.ID) },
	} {
		t.Run(name, func(t *testing.T) { o.refused(act(), fault.Conflict, "tenants.error.closed") })
	}
	if p, err := o.Plan(o.ctx, plan.ID); err != nil || p.Subscribers != 0 {
		t.Fatal(p, err)
	}
}

func TestListTenantsSearchesFiltersAndSorts(t *testing.T) {
	o := openOffice(t)
	gold, silver := o.plan("ouro", blocking(1000, 1000)), o.plan("prata", blocking(1000, 1000))
	bakery := o.customer("Padaria São João", gold.ID)
	garage := o.customer("ábaco Contábil", silver.ID)
	closed := o.customer("Zebra", gold.ID)
	o.must(o.CloseTenant(o.ctx, closed.ID))
	o.must(o.SuspendTenant(o.ctx, garage.ID))
	d := customerDraft("Mercado", silver.ID)
	d.Email, d.TaxID = "financeiro@mercado.com.br", "12.ABC.345/01DE-35"
	market, err := o.CreateTenant(o.ctx, d)
	o.must(err)
	o.use(market, 0, 900)
	o.use(bakery, 500, 0)
	key, _ := o.newKey(tenancy.KeyDraft{TenantID: garage.ID, Name: "k"})
	_, err = o.db.Exec(`UPDATE api_keys SET last_used_at = $2 WHERE id = $1`, key.ID, o.at)
	o.must(err)
	const b, g, m, z = "Padaria São João", "ábaco Contábil", "Mercado", "Zebra"
	for name, c := range map[string]struct {
		q    tenancy.ListQuery
		want []string
	}{
		"accents fold in the order":  {tenancy.ListQuery{}, []string{g, m, b, z}},
		"without accents":            {tenancy.ListQuery{Search: "sao joao"}, []string{b}},
		"e-mail":                     {tenancy.ListQuery{Search: "FINANCEIRO@"}, []string{m}},
		"tax id as written":          {tenancy.ListQuery{Search: "12.abc.345"}, []string{m}},
		"tax id bare":                {tenancy.ListQuery{Search: "12ABC345"}, []string{m}},
		"only marks find by nothing": {tenancy.ListQuery{Search: "-"}, nil},
		"open":                       {tenancy.ListQuery{Status: "open"}, []string{g, m, b}},
		"suspended":                  {tenancy.ListQuery{Status: "suspended"}, []string{g}},
		"closed":                     {tenancy.ListQuery{Status: "closed"}, []string{z}},
		"of a plan":                  {tenancy.ListQuery{PlanID: silver.ID}, []string{g, m}},
		"fullest first":              {tenancy.ListQuery{Sort: "use", Desc: true, Status: "active"}, []string{m, b}},
		"last call, none comes last": {tenancy.ListQuery{Sort: "last_call", Desc: true, Status: "open", Search: "a"}, []string{g, m, b}},
	} {
		page, err := o.ListTenants(o.ctx, c.q)
		o.must(err)
		var names []string
		for _, one := range page.Items {
			names = append(names, one.Name)
		}
		if fmt.Sprint(names) != fmt.Sprint(c.want) || page.Total != len(names) {
			t.Errorf("%s: %v of %d, want %v", name, names, page.Total, c.want)
		}
	}
	again, err := o.Tenant(o.ctx, market.ID)
	o.must(err)
	if again.Allowance.Output.Used != 900 || again.Allowance.Output.Limit != 1000 {
		t.Fatalf("%+v", again.Allowance)
	}
}

func TestListsComeInPagesOfFifty(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1, 1))
	for i := range 53 {
		o.customer(fmt.Sprintf("Cliente %02d", i), plan.ID)
	}
	first, err := o.ListTenants(o.ctx, tenancy.ListQuery{})
	o.must(err)
	second, err := o.ListTenants(o.ctx, tenancy.ListQuery{Page: 2})
	o.must(err)
	if first.Total != 53 || len(first.Items) != 50 || len(second.Items) != 3 || second.Items[0].Name != "Cliente 50" {
		t.Fatalf("%d of %d, then %d beginning with %v", len(first.Items), first.Total, len(second.Items), second.Items[0].Name)
	}
}

func TestATenantsLimitsAreKeptShownAndAudited(t *testing.T) {
	o := openOffice(t)
	d := customerDraft("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	d.Rates = tenancy.Rates{RequestsPerMinute: 600, TokensPerMinute: 90_000, ParallelCalls: 30}
	tenant, err := o.CreateTenant(o.ctx, d)
	o.must(err)
	if self, err := o.Portal().Self(o.ctx, tenant.ID); err != nil || tenant.Rates != d.Rates || self.Rates != d.Rates {
		t.Fatalf("%+v, the portal shows %+v (%v)", tenant.Rates, self.Rates, err)
	}
	page, err := o.ListTenants(o.ctx, tenancy.ListQuery{})
	o.must(err)
	if page.Items[0].Rates != d.Rates {
		t.Errorf("in the list: %+v", page.Items[0].Rates)
	}
	d.Rates = tenancy.Rates{ParallelCalls: 5}
	_, err = o.UpdateTenant(o.ctx, tenant.ID, d)
	o.must(err)
	again, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if again.Rates != d.Rates {
		t.Errorf("after the edit: %+v", again.Rates)
	}
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'tenant.edit' AND details->'limits'->>'parallel_calls' = '5'
		AND details->'old_limits'->>'requests_per_minute' = '600'`); n != 1 {
		t.Error("the audit log does not tell which limits changed")
	}
}
