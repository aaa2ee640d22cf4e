package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func (s *site) browserPrinter() i18n.Printer { return i18n.NewPrinter(i18n.PtBR, s.Zone) }

// modelForm is what the form of a good model sends, with a route to each provider.
func modelForm(providers ...int64) url.Values {
	form := url.Values{
		"name": {"meu-modelo"}, "owned_by": {"Casa"}, "max_output_tokens": {"8.192"}, "active": {"on"},
		"input_price": {"0,20"}, "output_price": {"0,80"}, "cached_input_price": {"0,05"}, "reasoning_price": {""}, "request_price": {""},
	}
	for i, id := range providers {
		form.Add("route_provider", fmt.Sprint(id))
		form.Add("route_model", map[bool]string{true: "", false: "nome-de-la"}[i == 0])
		form.Add("route_priority", fmt.Sprint(i+1))
		form.Add("route_weight", "1")
		form.Add("route_active", fmt.Sprint(i))
	}
	return form
}

func (s *site) rate(t *testing.T, day time.Time, brl int64) {
	t.Helper()
	must(t, s.store.SetExchangeRate(context.Background(), tenancy.ExchangeRate{Day: day, BRL: 1, Source: "x"}))
	_, err := s.db.Exec(`UPDATE exchange_rates SET brl_micros = $1, source = 'Ana' WHERE day = $2`, brl, day.Format(time.DateOnly))
	must(t, err)
}

func TestAModelIsMadeWithRoutesAndPricesAndShown(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	own := s.comesWith(t)
	second := b.otherHouse("https://api.groq.com/openai/v1")
	b.get("/models/new").status(http.StatusOK).has(text("models.add_route"))
	b.post("/models", modelForm(own.ID, second.ID)).leadsTo("/models/meu-modelo")
	m, err := s.store.Model(context.Background(), "meu-modelo")
	must(t, err)
	if m.MaxOutputTokens != 8192 || !m.Active || m.Default || m.Price.Input != 200_000 || m.Price.CachedInput != 50_000 || m.Price.Output != 800_000 ||
		m.Price.Reasoning != 800_000 || m.Price.Request != 0 {
		t.Fatalf("%+v", m)
	}
	if len(m.Routes) != 2 || m.Routes[0].UpstreamModel != "meu-modelo" || m.Routes[1].UpstreamModel != "nome-de-la" || m.Routes[1].Priority != 2 || !m.Routes[1].Active {
		t.Fatalf("%+v", m.Routes)
	}
	b.get("/models/meu-modelo").status(http.StatusOK).has(text("models.created", "name", "meu-modelo"), "US$\u00a00,20", "US$\u00a00,05", "Groq", "nome-de-la", text("models.price_now"))
	b.get("/models?q=meu").has("OpenAI → Groq", text("models.count", "n", 1), "US$\u00a00,80").lacks("gpt-4.1")
	b.get("/models").has(text("models.default"), "gpt-4.1-nano")
	b.get("/models?sort=output&dir=desc").status(http.StatusOK)
}

func TestARefusedModelKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	own := s.comesWith(t)
	b.get("/models/new")
	form := with(modelForm(own.ID, own.ID), "name", "nome com espaço", "max_output_tokens", "muito", "input_price", "vinte", "output_price", "999.999,00")
	form["route_model"] = []string{"igual", "igual"}
	b.post("/models", form).status(http.StatusUnprocessableEntity).has(
		`value="nome com espaço"`, `value="muito"`, `value="vinte"`, `value="igual"`, text("models.error.name", "value", "nome com espaço"),
		text("error.integer", "value", "muito"), text("error.money", "value", "vinte"), text("models.error.price_range", "max", 100_000),
		text("models.error.route_twice", "value", "igual"))
	b.post("/models", with(modelForm(own.ID), "name", "gpt-4.1")).status(http.StatusUnprocessableEntity).has(text("models.error.name_taken"), `value="0,20"`)
	lost := modelForm(own.ID)
	lost.Set("route_provider", "")
	lost.Set("route_model", "sem-provedor")
	b.post("/models", lost).status(http.StatusUnprocessableEntity).has(text("models.error.route_provider"), `value="sem-provedor"`)
}

// The buttons of the rows work without scripts: the page comes back with the rows changed and nothing saved.
func TestRowsOfRoutesAreAddedAndTakenAway(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	own := s.comesWith(t)
	second := b.otherHouse("https://api.groq.com/openai/v1")
	b.get("/models/new")
	b.post("/models", with(modelForm(own.ID), "add_route", "yes")).status(http.StatusOK).has("<html", `id="route_provider-1"`, `value="meu-modelo"`,
		`id="route_priority-1" name="route_priority" value="2"`).lacks(text("error.form"))
	b.post("/models", with(modelForm(own.ID, second.ID), "remove_route", "0")).status(http.StatusOK).has(`value="nome-de-la"`).lacks(`id="route_provider-1"`)
	b.header.Set("HX-Request", "true")
	b.post("/models/gpt-4.1", with(modelForm(own.ID), "add_route", "yes")).status(http.StatusOK).has(`id="route_provider-1"`).lacks("<html")
	b.header.Del("HX-Request")
	if _, err := s.store.Model(context.Background(), "meu-modelo"); err == nil {
		t.Fatal("a button of the rows saved the model")
	}
}

func TestEditingAModelChangesWhoAnswers(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	own := s.comesWith(t)
	second := b.otherHouse("https://api.groq.com/openai/v1")
	b.get("/models/gpt-4.1/edit").status(http.StatusOK).has(`value="gpt-4.1"`, text("models.same_name")).lacks(`name="input_price"`)
	form := with(modelForm(second.ID, own.ID), "name", "gpt-4.1")
	form["route_active"] = []string{"0"}
	b.post("/models/gpt-4.1", form).leadsTo("/models/gpt-4.1")
	m, err := s.store.Model(context.Background(), "gpt-4.1")
	must(t, err)
	if len(m.Routes) != 2 || m.Routes[0].ProviderID != second.ID || m.Routes[0].UpstreamModel != "gpt-4.1" || !m.Routes[0].Active || m.Routes[1].Active {
		t.Fatalf("%+v", m.Routes)
	}
	b.get("/models/gpt-4.1").has(text("models.route_off"))
	b.get("/models/nenhum").status(http.StatusNotFound)
}

func TestANewPriceFollowsAndKeepsTheOldOne(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	path := "/models/gpt-4.1-nano/price"
	b.get(path).status(http.StatusOK).has(`name="input_price"`)
	b.post(path, url.Values{"input_price": {"0,30"}, "output_price": {"1,20"}, "from": {"now"}}).leadsTo("/models/gpt-4.1-nano")
	later := s.Now().In(s.Zone).AddDate(0, 1, 0)
	b.post(path, url.Values{"input_price": {"0,40"}, "output_price": {"1,60"}, "from": {"date"}, "since": {later.Format(localMinute)}}).leadsTo("/models/gpt-4.1-nano")
	prices, err := s.store.Prices(context.Background(), "gpt-4.1-nano")
	must(t, err)
	if len(prices) != 3 || prices[0].Input != 400_000 || prices[1].Input != 300_000 || prices[1].CachedInput != 300_000 || prices[1].Reasoning != 1_200_000 {
		t.Fatalf("%+v", prices)
	}
	b.get("/models/gpt-4.1-nano").has(text("models.price_now"), text("models.price_to_come"), "US$\u00a00,40", "US$\u00a00,30")
	b.get(path)
	b.post(path, url.Values{"input_price": {"x"}, "output_price": {""}, "from": {"date"}, "since": {""}}).status(http.StatusUnprocessableEntity).
		has(`value="x"`, text("error.money", "value", "x"), text("error.required"))
	past := s.Now().In(s.Zone).AddDate(0, -1, 0)
	b.post(path, url.Values{"input_price": {"1"}, "output_price": {"1"}, "from": {"date"}, "since": {past.Format(localMinute)}}).
		status(http.StatusUnprocessableEntity).has(text("models.error.price_in_past"))
}

func TestAnImportedModelGoesOnOfferWithItsFirstPrice(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	_, err := s.store.ImportModels(context.Background(), s.comesWith(t).ID, []string{"meta/llama-4"})
	must(t, err)
	path := "/models/meta%2Fllama-4"
	b.get("/models?status=unpriced").has(text("models.no_price"), path)
	b.get(path).status(http.StatusOK).has(text("models.warn_no_price"))
	b.get(path + "/price").has(text("models.field.offer"))
	b.post(path+"/price", url.Values{"input_price": {"0,1"}, "output_price": {"0,2"}, "from": {"now"}, "offer": {"on"}}).leadsTo(path)
	m, err := s.store.Model(context.Background(), "meta/llama-4")
	must(t, err)
	if !m.Active || m.Price.Output != 200_000 {
		t.Fatalf("%+v", m)
	}
	b.get(path).has(text("models.price_offered", "name", "meta/llama-4"))
}

func TestThePreviewSaysWhatCallsCost(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	s.rate(t, s.Now().In(s.Zone), 5_000_000) // the day that people there have
	b.get("/models/new")
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"in both currencies":  {url.Values{"input_price": {"0,20"}, "output_price": {"0,80"}}, "US$\u00a00,44"},
		"in reais":            {url.Values{"input_price": {"0,20"}, "output_price": {"0,80"}}, "R$\u00a02,20"},
		"with a price a call": {url.Values{"input_price": {"0"}, "output_price": {"0"}, "request_price": {"0,04"}}, "US$\u00a040,00"},
		"half filled in":      {url.Values{"input_price": {"0,20"}, "output_price": {""}}, text("models.preview_missing")},
		"nonsense":            {url.Values{"input_price": {"?"}, "output_price": {"1"}}, text("models.preview_missing")},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.post("/models/preview", c.form).status(http.StatusOK).has(c.want).lacks("<html")
		})
	}
}

func TestTheExchangeRateIsRecordedAndGrowsStale(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/models").has(text("models.rate_none"))
	b.post("/models/rate", url.Values{"brl": {"cinco"}}).status(http.StatusUnprocessableEntity).has(text("error.money", "value", "cinco"), `value="cinco"`)
	b.post("/models/rate", url.Values{"brl": {"5,4321"}}).leadsTo("/models")
	b.get("/models").has("R$\u00a05,4321", b.user.Name, text("models.rate_saved"),
		text("models.in_brl", "amount", "R$\u00a01,09", "rate", "R$\u00a05,4321", "date", s.browserPrinter().Date(s.Now()))).lacks(text("models.rate_stale", "n", 0))
	s.clock.pass(8 * 24 * time.Hour)
	b = s.as(t, tenancy.Manager)
	b.get("/models").has(text("models.rate_stale", "n", 8))
	b.post("/models/rate", url.Values{"brl": {"5,50"}}).leadsTo("/models")
	b.get("/models").has("R$\u00a05,50", text("models.rate_history"), "R$\u00a05,4321")
}

func TestAPriceFromMidnightUTCIsADate(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	b.get("/models/gpt-4.1-nano").has("01/01/2025").lacks("31/12/2024")
}

func TestNamesOfThePanelsPagesAreNoModels(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	address, _ := modelHouse(t, "New", "preview", "llama-4")
	v := b.otherHouse(address)
	b.part(providerPath(v.ID)+"/import/list").has("llama-4").lacks(`value="New"`, `value="preview"`)
	b.get(providerPath(v.ID) + "/import/list")
	b.post(providerPath(v.ID)+"/import", url.Values{"models": {"New"}}).status(http.StatusUnprocessableEntity)
	b.get("/models/new")
	b.post("/models", url.Values{"name": {"Rate"}, "max_output_tokens": {"10"}}).status(http.StatusUnprocessableEntity).
		has(text("models.error.name_reserved", "value", "Rate"))
}
