package handlers

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAPlanSaysHowItsCallsUseTheCache(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/plans/new").has(text("plans.form.cache"), `name="cache" value="off" checked`, `name="cache_billed"`, text("plans.preview.cache_off"))
	form := with(planForm(), "cache", "smart", "cache_minutes", "12", "cache_unit", "hours", "cache_billed", "20", "publish", "yes")
	b.post("/plans", form).status(http.StatusSeeOther)
	plan, err := s.store.PlanBySlug(context.Background(), "ouro")
	must(t, err)
	if got := plan.Published.Terms; got.Cache != tenancy.CacheSmart || got.CacheMinutes != 720 || got.CacheBilled != 20 {
		t.Fatalf("%+v", got)
	}
	path := planPath(plan.ID)
	b.get(path).has(text("plans.cache.smart"), "12\u00a0h", text("plans.cache.billed", "percent", 20))
	b.get(path+"/edit").has(`name="cache" value="smart" checked`, `value="12"`, `<option value="hours" selected>`)
	b.post(path, with(form, "slug", "ouro", "cache_minutes", "45", "cache_unit", "minutes", "publish", "")).leadsTo(path)
	b.get(path).has(text("plans.field.cache_minutes"), "45\u00a0min").lacks(text("plans.cache.off"))
	// Switched off, what stands in the hidden fields means nothing.
	b.post(path, with(form, "cache", "off", "cache_minutes", "muito", "cache_billed", "900")).leadsTo(path)
}

func TestARefusedCacheOfAPlanKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/plans/new")
	on := func(pairs ...string) url.Values { return with(with(planForm(), "cache", "exact"), pairs...) }
	for name, c := range map[string]struct {
		form url.Values
		want []string
	}{
		"too many hours":   {on("cache_minutes", "721"), []string{`value="721"`, `<option value="hours" selected>`, text("error.range", "min", 1, "max", 720)}},
		"too many minutes": {on("cache_minutes", "43.201", "cache_unit", "minutes"), []string{`value="43.201"`, text("error.range", "min", 1, "max", 43_200)}},
		"no time at all":   {on("cache_minutes", "0"), []string{`value="0"`, text("error.range", "min", 1, "max", 720)}},
		"no number":        {on("cache_minutes", "um dia"), []string{`value="um dia"`, text("error.integer", "value", "um dia")}},
		"above the whole":  {on("cache_billed", "101"), []string{`value="101"`, text("error.range", "min", 0, "max", 100)}},
		"a huge share":     {on("cache_billed", "9999999999999"), []string{`value="9999999999999"`, text("error.range", "min", 0, "max", 100)}},
		"below nothing":    {on("cache_billed", "-1"), []string{`value="-1"`, text("error.range", "min", 0, "max", 100)}},
		"another mode":     {on("cache", "clever"), []string{"clever"}},
		"no mode":          {on("name", "", "cache", ""), []string{text("error.required")}},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.post("/plans", c.form).status(http.StatusUnprocessableEntity).has(c.want...)
		})
	}
	if page, err := s.store.ListPlans(context.Background(), tenancy.ListQuery{}); err != nil || page.Total != 3 {
		t.Fatal("a refused plan was made", err)
	}
}

func TestThePreviewSaysWhatAnAnswerOfTheCacheCosts(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/plans/new")
	on := func(pairs ...string) url.Values {
		return with(with(planForm(), "cache", "exact", "overage_price", "0,0001"), pairs...)
	}
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"off":              {on("cache", "off"), text("plans.preview.cache_off")},
		"free":             {on(), text("plans.preview.cache_free")},
		"counted":          {on("cache_billed", "20", "overage", "block"), text("plans.preview.cache_counted", "tokens", 1000, "counted", 200)},
		"charged":          {on("cache_billed", "20"), text("plans.preview.cache_charged", "tokens", 1000, "counted", 200, "price", "R$\u00a00,02")},
		"without a price":  {on("price", "", "cache_billed", "0"), text("plans.preview.cache_free")},
		"an odd share":     {on("cache_billed", "0,5"), ""},
		"an odd lifetime":  {on("cache_minutes", "0"), ""},
		"an overage price": {on("overage_price", "?"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			page := b.post("/plans/preview", c.form).status(http.StatusOK).has(c.want)
			if c.want == "" {
				page.lacks("preview-cache")
			}
		})
	}
}

func TestSmartCachingSaysThatItLacksAModel(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	lacks := text("plans.no_likeness")
	b.get("/cache").lacks(text("cache.lacking"))
	b.get("/plans/new").has(lacks, `href="/cache"`)
	b.post("/plans", with(planForm(), "cache", "smart", "publish", "yes")).status(http.StatusSeeOther)
	plan, err := s.store.PlanBySlug(context.Background(), "ouro")
	must(t, err)
	path := planPath(plan.ID)
	b.get(path).has(lacks)
	b.get("/cache").has(text("cache.lacking"))
	must(t, s.store.SetCacheSettings(context.Background(), tenancy.CacheSettings{EmbeddingModel: "text-embedding-3-small", Threshold: 0.95}))
	for _, page := range []string{path, path + "/edit", "/plans/new"} {
		b.get(page).lacks(lacks)
	}
	b.get("/cache").lacks(text("cache.lacking"))
	must(t, s.store.SetCacheSettings(context.Background(), tenancy.CacheSettings{Threshold: 0.95}))
	b.post(path, with(planForm(), "slug", "ouro", "cache", "exact", "publish", "yes")).leadsTo(path)
	b.get(path).lacks(lacks)
}
