package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestCreateKeyKeepsOnlyHashAndHint(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1000, 500)).ID)
	key, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: " site ", AllowedModels: []string{"gpt-4.1"}})
	if key.Name != "site" || key.PlanID != 0 || key.PlanName != "Plano ouro" || key.TenantName != "Padaria" || len(key.AllowedModels) != 1 {
		t.Fatalf("%+v", key)
	}
	var dump string
	o.must(o.db.Get(&dump, `SELECT (SELECT string_agg(k::text, ' ') FROM api_keys k) || (SELECT string_agg(a::text, ' ') FROM audit_log a)`))
	if strings.Contains(dump, secret.Reveal()) || !strings.Contains(dump, secret.Hint()) {
		t.Fatal("the database must hold the hint and not the secret")
	}
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	if caller.KeyID != key.ID || caller.SubscriptionID != tenant.SubscriptionID {
		t.Fatalf("%+v", caller)
	}
}

func TestAKeyWithAPlanOfItsOwnHasASubscriptionToItself(t *testing.T) {
	o := openOffice(t)
	small, large := o.plan("ouro", blocking(1000, 500)), o.plan("prata", blocking(9000, 500))
	tenant := o.customer("Padaria", small.ID)
	key, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "lote", PlanID: large.ID})
	if key.PlanID != large.ID || key.PlanName != "Plano prata" {
		t.Fatalf("%+v", key)
	}
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	if caller.SubscriptionID == tenant.SubscriptionID || caller.Terms.InputTokens != 9000 {
		t.Fatalf("%+v", caller)
	}
	if again, err := o.Tenant(o.ctx, tenant.ID); err != nil || again.PlanID != small.ID || again.Keys != 1 {
		t.Fatal(again, err)
	}
}

func TestCreateKeyRefusesAMissingOrClosedTenant(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	_, _, err := o.CreateKey(o.ctx, tenancy.KeyDraft{TenantID: 999_999, Name: "k"})
	o.refused(err, fault.NotFound, tenantMissing)
	o.must(o.CloseTenant(o.ctx, tenant.ID))
	_, _, err = o.CreateKey(o.ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "k"})
	o.refused(err, fault.Conflict, "tenants.error.closed")
}

func TestRotatingKeepsEverythingButTheSecret(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	tenant := o.customer("Padaria", plan.ID)
	ends := o.at.Add(90 * 24 * time.Hour)
	old, oldSecret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site", PlanID: plan.ID, AllowedModels: []string{"gpt-4.1"}, ExpiresAt: &ends})
	before, err := o.CallerByHash(o.ctx, oldSecret.Hash())
	o.must(err)
	key, secret, err := o.RotateKey(o.ctx, old.ID, time.Hour)
	o.must(err)
	if key.ID == old.ID || key.Name != "site" || key.PlanID != plan.ID || len(key.AllowedModels) != 1 || !key.ExpiresAt.Equal(ends) {
		t.Fatalf("new key: %+v", key)
	}
	after, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	if after.SubscriptionID != before.SubscriptionID || after.PeriodID != before.PeriodID {
		t.Fatal("rotating gave the key another quota")
	}
	old, err = o.Key(o.ctx, old.ID)
	o.must(err)
	if old.RotatedTo != key.ID || !old.ExpiresAt.Equal(o.at.Add(time.Hour)) {
		t.Fatalf("old key: %+v", old)
	}
	if old.State(o.at) != tenancy.KeyActive || old.State(o.at.Add(time.Hour)) != tenancy.KeyExpired {
		t.Fatal("the old key must work through the overlap and not after it")
	}
}

func TestRotatingNeverMakesTheOldKeyLastLonger(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	ends := o.at.Add(time.Hour)
	soon, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "a", ExpiresAt: &ends})
	_, _, err := o.RotateKey(o.ctx, soon.ID, 7*24*time.Hour)
	o.must(err)
	if soon, err = o.Key(o.ctx, soon.ID); err != nil || !soon.ExpiresAt.Equal(ends) {
		t.Fatal(soon, err)
	}
	leaked, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "b"})
	_, _, err = o.RotateKey(o.ctx, leaked.ID, 0)
	o.must(err)
	if leaked, err = o.Key(o.ctx, leaked.ID); err != nil || leaked.State(o.at) != tenancy.KeyExpired {
		t.Fatal("without overlap the old key must end at once", leaked, err)
	}
}

func TestManyClicksOnRotateMakeOneKey(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	old, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	o.oneWins(together(8, func() error {
		_, _, err := o.RotateKey(o.ctx, old.ID, time.Hour)
		return err
	}))
	if n := o.count(`SELECT count(*) FROM api_keys`); n != 2 {
		t.Fatalf("%d keys, want 2", n)
	}
	if n := o.audited("key.rotate", keySubject(old.ID)); n != 1 {
		t.Fatalf("%d rotations on record", n)
	}
	_, _, err := o.RotateKey(o.ctx, old.ID, time.Hour)
	o.refused(err, fault.Conflict, "keys.error.already_rotated")
}

func TestAKeyThatNoLongerWorksCannotBeRotated(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	revoked, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "a"})
	o.must(o.RevokeKey(o.ctx, revoked.ID))
	ends := o.at.Add(time.Minute)
	expired, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "b", ExpiresAt: &ends})
	o.at = o.at.Add(time.Hour)
	for _, id := range []int64{revoked.ID, expired.ID} {
		_, _, err := o.RotateKey(o.ctx, id, 0)
		o.refused(err, fault.Conflict, "keys.error.not_active")
	}
}

func TestRevokingEndsTheKeyAndThePlanOfItsOwnWithTheLastKey(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	tenant := o.customer("Padaria", plan.ID)
	old, oldSecret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "lote", PlanID: plan.ID})
	key, secret, err := o.RotateKey(o.ctx, old.ID, time.Hour)
	o.must(err)
	open := func() int64 {
		return o.count(`SELECT count(*) FROM subscriptions WHERE scope = 'key' AND ended_at IS NULL`)
	}
	o.must(o.RevokeKey(o.ctx, old.ID))
	o.must(o.RevokeKey(o.ctx, old.ID))
	if open() != 1 || o.audited("key.revoke", keySubject(old.ID)) != 1 {
		t.Fatal("the plan must go on while the new key uses it, and a second click does nothing")
	}
	_, err = o.CallerByHash(o.ctx, oldSecret.Hash())
	o.refused(err, fault.NotFound, "keys.error.not_found")
	if _, err := o.CallerByHash(o.ctx, secret.Hash()); err != nil {
		t.Fatal(err)
	}
	o.must(o.RevokeKey(o.ctx, key.ID))
	if open() != 0 {
		t.Fatal("the key's own plan outlived it")
	}
}

func TestRenamingAKey(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	key, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	o.refused(o.RenameKey(o.ctx, key.ID, " "), fault.Invalid, "error.required")
	o.must(o.RenameKey(o.ctx, key.ID, "site novo"))
	if key, err := o.Key(o.ctx, key.ID); err != nil || key.Name != "site novo" {
		t.Fatal(key, err)
	}
	o.refused(o.RenameKey(o.ctx, 999_999, "x"), fault.NotFound, keyMissing)
}

func TestListKeysFiltersByTenantStateAndSearch(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1, 1))
	bakery, garage := o.customer("Padaria São João", plan.ID), o.customer("Oficina", plan.ID)
	site, _ := o.newKey(tenancy.KeyDraft{TenantID: bakery.ID, Name: "site"})
	ends := o.at.Add(time.Minute)
	o.newKey(tenancy.KeyDraft{TenantID: bakery.ID, Name: "breve", ExpiresAt: &ends})
	gone, _ := o.newKey(tenancy.KeyDraft{TenantID: garage.ID, Name: "antiga"})
	o.must(o.RevokeKey(o.ctx, gone.ID))
	o.at = o.at.Add(time.Hour)
	for name, c := range map[string]struct {
		q    tenancy.ListQuery
		want string
	}{
		"newest first": {tenancy.ListQuery{}, "antiga breve site"},
		"by name":      {tenancy.ListQuery{Sort: "name"}, "antiga breve site"},
		"by tenant":    {tenancy.ListQuery{Sort: "tenant", Desc: true}, "breve site antiga"},
		"one tenant":   {tenancy.ListQuery{TenantID: bakery.ID, Sort: "name"}, "breve site"},
		"active":       {tenancy.ListQuery{Status: "active"}, "site"},
		"expired":      {tenancy.ListQuery{Status: "expired"}, "breve"},
		"revoked":      {tenancy.ListQuery{Status: "revoked"}, "antiga"},
		"by hint":      {tenancy.ListQuery{Search: site.Hint[len(site.Hint)-4:]}, "site"},
		"tenant name":  {tenancy.ListQuery{Search: "sao joao", Sort: "name"}, "breve site"},
	} {
		page, err := o.ListKeys(o.ctx, c.q)
		o.must(err)
		var names []string
		for _, k := range page.Items {
			names = append(names, k.Name)
		}
		if got := strings.Join(names, " "); got != c.want || page.Total != len(names) {
			t.Errorf("%s: %q of %d, want %q", name, got, page.Total, c.want)
		}
	}
}

func TestAKeysLimitsChangeWithoutANewSecretAndOutliveIt(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1000, 500)).ID)
	first, own := tenancy.Rates{RequestsPerMinute: 10}, tenancy.Rates{RequestsPerMinute: 60, TokensPerMinute: 9000, ParallelCalls: 3}
	key, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site", Rates: first, Cache: tenancy.CacheOff})
	if key.Rates != first || key.Cache != tenancy.CacheOff {
		t.Fatalf("made: %+v", key)
	}
	for range 2 {
		o.must(o.UpdateKeyLimits(o.ctx, key.ID, own, tenancy.CacheSmart))
	}
	if n := o.audited("key.limits", keySubject(key.ID)); n != 1 {
		t.Errorf("%d changes in the audit log, want 1: the second changed nothing", n)
	}
	var details string
	o.must(o.db.Get(&details, `SELECT details::text FROM audit_log WHERE action = 'key.limits'`))
	for _, part := range []string{`"requests_per_minute": 60`, `"requests_per_minute": 10`, `"old_cache": "off"`, `"cache": "smart"`} {
		if !strings.Contains(details, part) {
			t.Errorf("the audit log misses %s: %s", part, details)
		}
	}
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	if caller.KeyRates != own || caller.Cache.Mode != tenancy.CacheSmart {
		t.Errorf("%+v", caller)
	}
	heir, _, err := o.RotateKey(o.ctx, key.ID, time.Hour)
	o.must(err)
	if heir.Rates != own || heir.Cache != tenancy.CacheSmart {
		t.Errorf("rotated: %+v", heir)
	}
	shown, err := o.Portal().OwnKeys(o.ctx, tenant.ID)
	o.must(err)
	if len(shown) != 2 || shown[0].Rates != own || shown[0].Cache != tenancy.CacheSmart {
		t.Errorf("portal: %+v", shown)
	}
	o.must(o.UpdateKeyLimits(o.ctx, heir.ID, tenancy.Rates{}, ""))
	if back, err := o.Key(o.ctx, heir.ID); err != nil || back.Rates != (tenancy.Rates{}) || back.Cache != "" {
		t.Errorf("taken back: %+v %v", back, err)
	}
}

func TestAKeysLimitsAreRefusedBesideTheirFields(t *testing.T) {
	o := openOffice(t)
	tenant := o.customer("Padaria", o.plan("ouro", blocking(1, 1)).ID)
	key, _ := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	err := o.UpdateKeyLimits(o.ctx, key.ID, tenancy.Rates{RequestsPerMinute: -1, ParallelCalls: 1 << 20}, "always")
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Kind != fault.Invalid || len(refused.Fields) != 3 {
		t.Errorf("%v", err)
	}
	o.refused(o.UpdateKeyLimits(o.ctx, 999_999, tenancy.Rates{}, ""), fault.NotFound, keyMissing)
}
