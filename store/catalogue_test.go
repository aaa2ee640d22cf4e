package store

import (
	"slices"
	"testing"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// modelDraft is a model on offer with one route to each of the providers, in their order.
func modelDraft(name string, providers ...int64) tenancy.ModelDraft {
	d := tenancy.ModelDraft{Name: name, OwnedBy: "casa", MaxOutputTokens: 4096, Active: true}
	for i, id := range providers {
		d.Routes = append(d.Routes, tenancy.Route{ProviderID: id, Priority: i + 1, Weight: 1, Active: true})
	}
	return d
}

// usd is a price in whole US$ a million tokens.
func usd(in, out int64) tenancy.Price {
	return tenancy.Price{Input: money.Micros(in) * money.Unit, CachedInput: money.Micros(in) * money.Unit,
		Output: money.Micros(out) * money.Unit, Reasoning: money.Micros(out) * money.Unit}
}

func (o *office) model(name string) tenancy.Model {
	o.t.Helper()
	m, err := o.Model(o.ctx, name)
	o.must(err)
	return m
}

func names(models []tenancy.Model) []string {
	var list []string
	for _, m := range models {
		list = append(list, m.Name)
	}
	return list
}

func TestANewInstallationOffersModelsThroughTheHouseProvider(t *testing.T) {
	o := openOffice(t)
	models, err := o.Models(o.ctx)
	o.must(err)
	if len(models) < 20 || models[0].Name != "gpt-4.1-nano" || !models[0].Default {
		t.Fatalf("%v", names(models))
	}
	if !slices.IsSorted(names(models)[1:]) {
		t.Errorf("not by name: %v", names(models))
	}
	house := o.house().ID
	for _, m := range models {
		if len(m.Routes) != 1 || m.Routes[0].ProviderID != house || m.Routes[0].UpstreamModel != m.Name || !m.Active ||
			m.Price.Since.IsZero() || m.Routes[0].Price != m.Price {
			t.Errorf("%+v", m)
		}
	}
	if p := models[0].Price; p.Input != 200_000 || p.CachedInput != 50_000 || p.Output != 800_000 || p.Reasoning != 800_000 {
		t.Errorf("%+v", p)
	}
}

func TestAModelIsKeptAsGiven(t *testing.T) {
	o := openOffice(t)
	a, b := o.provider("a"), o.provider("b")
	d := modelDraft("llama", a.ID, b.ID)
	d.Routes[1].UpstreamModel, d.Routes[1].Weight, d.Routes[0].Priority = "meta/llama", 7, 3
	price := tenancy.Price{Input: 1, CachedInput: 2, Output: 3, Reasoning: 4, Request: 5}
	o.must(o.CreateModel(o.ctx, d, price))
	m := o.model("llama")
	price.Since = o.at
	if m.OwnedBy != "casa" || m.MaxOutputTokens != 4096 || !m.Active || m.Default || m.Price != price || len(m.Routes) != 2 {
		t.Fatalf("%+v", m)
	}
	first, second := m.Routes[0], m.Routes[1]
	if first.ProviderID != b.ID || first.UpstreamModel != "meta/llama" || first.Weight != 7 || first.Priority != 2 || first.Price != price ||
		second.ProviderID != a.ID || second.UpstreamModel != "llama" || second.Priority != 3 || !second.Active {
		t.Fatalf("%+v", m.Routes)
	}
	o.refused(o.CreateModel(o.ctx, d, price), fault.Conflict, "models.error.name_taken")
	o.refused(o.CreateModel(o.ctx, modelDraft("outro", 999), price), fault.NotFound, providerMissing)
	if o.audited("model.create", modelSubject("llama")) != 1 || o.audited("model.create", modelSubject("outro")) != 0 {
		t.Fatal("the audit log does not tell what happened")
	}
	_, err := o.Model(o.ctx, "outro")
	o.refused(err, fault.NotFound, modelMissing)
	_, err = o.Model(o.ctx, "")
	o.refused(err, fault.NotFound, modelMissing)
}

func TestWhatIsSwitchedOffServesNoCallsAndStaysInThePanel(t *testing.T) {
	o := openOffice(t)
	a, b := o.provider("a"), o.provider("b")
	d := modelDraft("llama", a.ID, b.ID)
	d.Routes[0].Active = false
	o.must(o.CreateModel(o.ctx, d, usd(1, 2)))
	hidden := modelDraft("escondido", a.ID)
	hidden.Active = false
	o.must(o.CreateModel(o.ctx, hidden, usd(1, 2)))

	serving := func(name string) (routes int, offered bool) {
		models, err := o.Models(o.ctx)
		o.must(err)
		i := slices.Index(names(models), name)
		if i < 0 {
			return 0, false
		}
		return len(models[i].Routes), true
	}
	if n, offered := serving("llama"); n != 1 || !offered {
		t.Fatalf("%d routes serve, want the active one", n)
	}
	if _, offered := serving("escondido"); offered {
		t.Fatal("a model that is off is on offer")
	}
	off := providerDraft("b")
	off.Active = false
	o.must(o.UpdateProvider(o.ctx, b.ID, off))
	if n, offered := serving("llama"); n != 0 || !offered {
		t.Fatalf("%d routes, want none while their providers are off", n)
	}
	all, err := o.AllModels(o.ctx)
	o.must(err)
	if !slices.Contains(names(all), "escondido") || len(o.model("llama").Routes) != 2 {
		t.Fatalf("%v", names(all))
	}
}

func TestEditingAModelReplacesItsRoutesAndKeepsTheIDsOfThoseThatStay(t *testing.T) {
	o := openOffice(t)
	a, b, c := o.provider("a"), o.provider("b"), o.provider("c")
	o.must(o.CreateModel(o.ctx, modelDraft("llama", a.ID, b.ID), usd(1, 2)))
	before := o.model("llama").Routes
	d := modelDraft("llama", c.ID, b.ID)
	d.MaxOutputTokens, d.Routes[1].Weight = 99, 5
	o.must(o.UpdateModel(o.ctx, "llama", d))
	m := o.model("llama")
	if m.MaxOutputTokens != 99 || len(m.Routes) != 2 || m.Routes[0].ProviderID != c.ID || m.Routes[1].ID != before[1].ID || m.Routes[1].Weight != 5 {
		t.Fatalf("%+v", m)
	}
	o.refused(o.UpdateModel(o.ctx, "nada", modelDraft("nada")), fault.NotFound, modelMissing)
	if o.audited("model.edit", modelSubject("llama")) != 1 {
		t.Fatal("not in the audit log")
	}
}

func TestAModelChangesItsNameOnlyWhileNothingKnowsIt(t *testing.T) {
	o := openOffice(t)
	a := o.provider("a")
	o.must(o.CreateModel(o.ctx, modelDraft("errado", a.ID), usd(1, 2)))
	o.must(o.UpdateModel(o.ctx, "errado", modelDraft("certo", a.ID)))
	if m := o.model("certo"); len(m.Routes) != 1 || m.Routes[0].UpstreamModel != "certo" || m.Price.Input != money.Unit {
		t.Fatalf("routes and prices move along: %+v", m)
	}
	_, err := o.Model(o.ctx, "errado")
	o.refused(err, fault.NotFound, modelMissing)
	o.refused(o.UpdateModel(o.ctx, "certo", modelDraft("gpt-4.1", a.ID)), fault.Conflict, "models.error.name_taken")

	rename := func() error { return o.UpdateModel(o.ctx, "certo", modelDraft("outro", a.ID)) }
	for known, sql := range map[string][2]string{
		"a call": {`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
			reasoning_tokens, cost_usd_micros, charge_brl_micros) VALUES (now(), 1, 1, 1, 'certo', 1, 0, 0, 0, 0, 0, 0, 0)`, `DELETE FROM usage_hourly`},
		"the cache": {`INSERT INTO settings (name, value) VALUES ('cache', '{"embedding_model": "certo", "threshold": 0.9}')`, `DELETE FROM settings`},
	} {
		o.db.MustExec(sql[0])
		if err := rename(); !fault.Is(err, fault.Conflict) {
			t.Errorf("known to %s: %v", known, err)
		}
		o.db.MustExec(sql[1])
	}
	terms := blocking(1, 1)
	terms.AllowedModels = []string{"certo"}
	o.plan("com-modelo", terms)
	o.refused(rename(), fault.Conflict, "models.error.named")
}

func TestThereIsOneDefaultModelAtMost(t *testing.T) {
	o := openOffice(t)
	a := o.provider("a")
	d := modelDraft("llama", a.ID)
	d.Default = true
	o.must(o.CreateModel(o.ctx, d, usd(1, 2)))
	if models, err := o.Models(o.ctx); err != nil || models[0].Name != "llama" || models[1].Default {
		t.Fatal(names(models), err)
	}
	again := modelDraft("gpt-4.1-nano", o.house().ID)
	again.Default = true
	o.must(o.UpdateModel(o.ctx, "gpt-4.1-nano", again))
	if n := o.count(`SELECT count(*) FROM models WHERE is_default`); n != 1 || !o.model("gpt-4.1-nano").Default {
		t.Fatalf("%d default models", n)
	}
	d.Active = false
	o.refused(o.UpdateModel(o.ctx, "llama", d), fault.Invalid, "models.error.default_off")
}

func TestImportedModelsWaitForAPriceAndKnownOnesGetARouteBehind(t *testing.T) {
	o := openOffice(t)
	a, b := o.provider("a"), o.provider("b")
	o.must(o.CreateModel(o.ctx, modelDraft("so-de-b", b.ID), tenancy.Price{ProviderID: b.ID, Input: 1}))
	added, err := o.ImportModels(o.ctx, a.ID, []string{"novo", "gpt-4.1", "so-de-b", "novo", "", "com espaço"})
	o.must(err)
	if !slices.Equal(added, []string{"gpt-4.1", "novo", "so-de-b"}) {
		t.Fatalf("added %v", added)
	}
	fresh := o.model("novo")
	if fresh.Active || !fresh.Price.Since.IsZero() || len(fresh.Routes) != 1 || fresh.Routes[0].Priority != 1 || fresh.OwnedBy != "a" {
		t.Fatalf("%+v", fresh)
	}
	known := o.model("gpt-4.1")
	if len(known.Routes) != 2 || known.Routes[1].ProviderID != a.ID || known.Routes[1].Priority != 2 || !known.Routes[1].Active ||
		known.Routes[1].Price.Input != 2*money.Unit || !known.Active {
		t.Fatalf("%+v", known)
	}
	if r := o.model("so-de-b").Routes; len(r) != 2 || r[1].Active {
		t.Fatalf("a route without a price serves: %+v", r)
	}
	activate := modelDraft("novo", a.ID)
	o.refused(o.UpdateModel(o.ctx, "novo", activate), fault.Conflict, "models.error.no_price")
	o.must(o.SetPrice(o.ctx, "novo", usd(1, 1)))
	o.must(o.UpdateModel(o.ctx, "novo", activate))

	added, err = o.ImportModels(o.ctx, a.ID, []string{"novo", "gpt-4.1"})
	o.must(err)
	if len(added) != 0 || o.audited("provider.import", providerSubject(a.ID)) != 1 {
		t.Fatalf("a second import adds %v", added)
	}
	_, err = o.ImportModels(o.ctx, 999, []string{"x"})
	o.refused(err, fault.NotFound, providerMissing)
}
