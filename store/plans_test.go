package store

import (
	"fmt"
	"testing"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestCreatePlanPublishesOrKeepsADraft(t *testing.T) {
	o := openOffice(t)
	terms := charging(1000, 500)
	terms.RequestsPerMinute, terms.AllowedModels = 60, []string{"gpt-4.1", "gpt-4.1-nano"}
	plan := o.plan("ouro", terms)
	if plan.Draft != nil || plan.Published == nil || plan.Published.Number != 1 || !plan.Published.Terms.Equal(terms) {
		t.Fatalf("published plan: %+v", plan)
	}
	draft, err := o.CreatePlan(o.ctx, tenancy.PlanDraft{Slug: "prata", Name: "Prata", Terms: terms}, false)
	o.must(err)
	if draft.Published != nil || draft.Draft == nil || draft.Draft.Number != 1 {
		t.Fatalf("draft plan: %+v", draft)
	}
	if o.audited("plan.create", planSubject(plan.ID)) != 1 || o.audited("plan.publish", planSubject(plan.ID)) != 1 ||
		o.audited("plan.publish", planSubject(draft.ID)) != 0 {
		t.Fatal("the audit log does not tell what happened")
	}
}

func TestCreatePlanRefusesATakenSlugBesideItsField(t *testing.T) {
	o := openOffice(t)
	o.plan("ouro", blocking(1, 1))
	_, err := o.CreatePlan(o.ctx, tenancy.PlanDraft{Slug: "ouro", Name: "Outro", Terms: blocking(1, 1)}, true)
	o.refused(err, fault.Conflict, "plans.error.slug_taken")
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'plan.create'`); n != 1 {
		t.Fatalf("%d plans in the audit log, want 1: a refused change leaves no trace", n)
	}
}

func TestEditingAPlanMakesADraftAndLeavesSubscribersAlone(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	tenant := o.customer("Padaria", plan.ID)
	edit := tenancy.PlanDraft{Slug: "ouro", Name: "Ouro novo", Description: "Mais", Terms: blocking(2000, 500)}
	now, err := o.UpdatePlanDraft(o.ctx, plan.ID, edit, false)
	o.must(err)
	if now.Name != "Ouro novo" || now.Draft == nil || now.Draft.Number != 2 || now.Published.Terms.InputTokens != 1000 {
		t.Fatalf("after the edit: %+v", now)
	}
	edit.Terms.InputTokens = 3000
	now, err = o.UpdatePlanDraft(o.ctx, plan.ID, edit, false)
	o.must(err)
	if now.Draft.Number != 2 || now.Draft.Terms.InputTokens != 3000 {
		t.Fatalf("a second edit: %+v", now.Draft)
	}
	now, err = o.PublishPlan(o.ctx, plan.ID)
	o.must(err)
	if now.Published.Number != 2 || now.Draft != nil {
		t.Fatalf("published: %+v", now)
	}
	again, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if again.PlanVersion != 1 || again.NewestVersion != 2 || again.Allowance.Input.Limit != 1000 {
		t.Fatalf("the subscriber moved: %+v", again)
	}
	versions, err := o.PlanVersions(o.ctx, plan.ID)
	o.must(err)
	if len(versions) != 2 || versions[0].Number != 2 || versions[0].Subscribers != 0 || versions[1].Subscribers != 1 {
		t.Fatalf("history: %+v", versions)
	}
}

func TestEditingToThePublishedTermsLeavesNoDraft(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	edit := tenancy.PlanDraft{Slug: "ouro", Name: "Ouro", Terms: blocking(2000, 500)}
	_, err := o.UpdatePlanDraft(o.ctx, plan.ID, edit, false)
	o.must(err)
	edit.Terms = blocking(1000, 500)
	now, err := o.UpdatePlanDraft(o.ctx, plan.ID, edit, true)
	o.must(err)
	if now.Draft != nil || now.Published.ID != plan.Published.ID {
		t.Fatalf("nothing changed, yet: %+v", now)
	}
}

func TestTheDatabaseRefusesToChangeAPublishedVersion(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	for _, change := range []string{`UPDATE plan_versions SET price_micros = 1 WHERE id = $1`, `DELETE FROM plan_versions WHERE id = $1`} {
		_, err := o.db.Exec(change, plan.Published.ID)
		o.refused(known(err, planMissing), fault.Conflict, "plans.error.changed_meanwhile")
	}
}

func TestOfManyWhoPublishAtOnceOneDoes(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	_, err := o.UpdatePlanDraft(o.ctx, plan.ID, tenancy.PlanDraft{Slug: "ouro", Name: "Ouro", Terms: blocking(2000, 500)}, false)
	o.must(err)
	o.oneWins(together(6, func() error {
		_, err := o.PublishPlan(o.ctx, plan.ID)
		return err
	}))
	if n := o.audited("plan.publish", planSubject(plan.ID)); n != 2 {
		t.Fatalf("%d publications on record, want 2", n)
	}
}

func TestManyWhoEditAtOnceLeaveOneDraft(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	for _, err := range together(6, func() error {
		_, err := o.UpdatePlanDraft(o.ctx, plan.ID, tenancy.PlanDraft{Slug: "ouro", Name: "Ouro", Terms: blocking(2000, 500)}, false)
		return err
	}) {
		o.must(err)
	}
	if n := o.count(`SELECT count(*) FROM plan_versions WHERE plan_id = $1 AND published_at IS NULL`, plan.ID); n != 1 {
		t.Fatalf("%d drafts", n)
	}
}

func TestDiscardingADraft(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	o.refused(o.DiscardPlanDraft(o.ctx, plan.ID), fault.Conflict, "plans.error.no_draft")
	_, err := o.UpdatePlanDraft(o.ctx, plan.ID, tenancy.PlanDraft{Slug: "ouro", Name: "Ouro", Terms: blocking(2000, 500)}, false)
	o.must(err)
	o.must(o.DiscardPlanDraft(o.ctx, plan.ID))
	if now, err := o.Plan(o.ctx, plan.ID); err != nil || now.Draft != nil {
		t.Fatal(now, err)
	}
	never, err := o.CreatePlan(o.ctx, tenancy.PlanDraft{Slug: "prata", Name: "Prata", Terms: blocking(1, 1)}, false)
	o.must(err)
	o.must(o.DiscardPlanDraft(o.ctx, never.ID))
	_, err = o.PlanBySlug(o.ctx, "prata")
	o.refused(err, fault.NotFound, planMissing)
}

func TestAnArchivedPlanTakesNoSubscriptionsAndKeepsItsOwn(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	tenant := o.customer("Padaria", plan.ID)
	other := o.customer("Oficina", o.plan("prata", blocking(1, 1)).ID)
	o.must(o.ArchivePlan(o.ctx, plan.ID))
	o.must(o.ArchivePlan(o.ctx, plan.ID))
	if n := o.audited("plan.archive", planSubject(plan.ID)); n != 1 {
		t.Fatalf("archived %d times on record, want once", n)
	}
	_, err := o.CreateTenant(o.ctx, customerDraft("Nova", plan.ID))
	o.refused(err, fault.Invalid, "plans.error.not_on_sale")
	_, err = o.ChangePlan(o.ctx, other.ID, plan.ID)
	o.refused(err, fault.Invalid, "plans.error.not_on_sale")
	_, _, err = o.CreateKey(o.ctx, tenancy.KeyDraft{TenantID: other.ID, Name: "k", PlanID: plan.ID})
	o.refused(err, fault.Invalid, "plans.error.not_on_sale")
	if again, err := o.Tenant(o.ctx, tenant.ID); err != nil || again.PlanID != plan.ID {
		t.Fatal(again, err)
	}
	o.must(o.UnarchivePlan(o.ctx, plan.ID))
	o.customer("Nova", plan.ID)
}

func TestADraftCannotBeSubscribedTo(t *testing.T) {
	o := openOffice(t)
	plan, err := o.CreatePlan(o.ctx, tenancy.PlanDraft{Slug: "prata", Name: "Prata", Terms: blocking(1, 1)}, false)
	o.must(err)
	for _, id := range []int64{plan.ID, 999_999} {
		_, err = o.CreateTenant(o.ctx, customerDraft("Nova", id))
		o.refused(err, fault.Invalid, "plans.error.not_on_sale")
	}
}

func TestListPlansSearchesFiltersAndSorts(t *testing.T) {
	o := openOffice(t)
	cheap := blocking(1, 1)
	cheap.Price = 10 * reais
	o.customer("Padaria", o.plan("econo-mico", cheap).ID)
	_, err := o.CreatePlan(o.ctx, tenancy.PlanDraft{Slug: "rascunho", Name: "Rascunho", Terms: charging(1, 1)}, false)
	o.must(err)
	o.must(o.ArchivePlan(o.ctx, o.plan("velho", blocking(1, 1)).ID))
	slugs := func(q tenancy.ListQuery) string {
		page, err := o.ListPlans(o.ctx, q)
		o.must(err)
		list := ""
		for _, p := range page.Items {
			list += p.Slug + " "
		}
		return fmt.Sprintf("%d %s", page.Total, list)
	}
	for name, c := range map[string]struct {
		q    tenancy.ListQuery
		want string
	}{
		"without accents":      {tenancy.ListQuery{Search: "BASICO"}, "1 basico "},
		"with accents":         {tenancy.ListQuery{Search: "básico"}, "1 basico "},
		"a percent sign":       {tenancy.ListQuery{Search: "%"}, "0 "},
		"drafts":               {tenancy.ListQuery{Status: "draft"}, "1 rascunho "},
		"archived":             {tenancy.ListQuery{Status: "archived"}, "1 velho "},
		"on sale, by price":    {tenancy.ListQuery{Status: "active", Sort: "price"}, "4 econo-mico basico pro enterprise "},
		"dearest first":        {tenancy.ListQuery{Status: "active", Sort: "price", Desc: true}, "4 enterprise pro basico econo-mico "},
		"by subscribers":       {tenancy.ListQuery{Status: "active", Sort: "subscribers", Desc: true}, "4 econo-mico enterprise pro basico "},
		"unknown sort, 2 left": {tenancy.ListQuery{Search: "pr", Status: "active", Sort: "; DROP"}, "2 pro enterprise "},
		"beyond the last":      {tenancy.ListQuery{Status: "active", Page: 7}, "4 "},
	} {
		if got := slugs(c.q); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAPlansCacheIsPartOfItsTerms(t *testing.T) {
	o := openOffice(t)
	terms := charging(1000, 500)
	plain := o.plan("bronze", terms)
	if p := plain.Published.Terms; p.Cache != tenancy.CacheOff || p.CacheMinutes != 60 || p.CacheBilled != 0 {
		t.Errorf("nothing said: %+v", p)
	}
	terms.Cache, terms.CacheMinutes, terms.CacheBilled = tenancy.CacheSmart, 1440, 20
	plan := o.plan("ouro", terms)
	if !plan.Published.Terms.Equal(terms) {
		t.Fatalf("%+v, want %+v", plan.Published.Terms, terms)
	}
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'plan.create'
		AND details->'terms'->>'cache' = 'smart' AND details->'terms'->>'cache_billed_percent' = '20'`); n != 1 {
		t.Error("the audit log does not tell of the cache")
	}
	terms.CacheBilled = 0
	edited, err := o.UpdatePlanDraft(o.ctx, plan.ID, tenancy.PlanDraft{Slug: "ouro", Name: "Plano ouro", Terms: terms}, false)
	o.must(err)
	if edited.Draft == nil || edited.Draft.Terms.CacheBilled != 0 || edited.Published.Terms.CacheBilled != 20 {
		t.Errorf("other terms of the cache make a new version: %+v", edited)
	}
}
