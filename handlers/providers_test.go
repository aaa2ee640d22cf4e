package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// credential is what a provider is called with in these tests; it must never be seen again.
const credential = "sk-segredo-da-operadora-aB3x"

// providerForm is what the form of a good provider sends.
func providerForm(address string) url.Values {
	return url.Values{
		"preset": {"groq"}, "name": {"Groq"}, "kind": {"compatible"}, "base_url": {address}, "credential": {credential}, "active": {"on"},
		"connect": {"10"}, "first_byte": {"300"}, "idle": {"120"}, "total": {"600"}, "retries": {"2"}, "hedge": {""},
		"max_parallel": {""}, "max_waiting": {"200"}, "max_wait": {"10"}, "breaker_failure_percent": {"50"}, "breaker_min_calls": {"5"},
		"breaker_window": {"30"}, "breaker_slow": {"60"}, "breaker_open": {"15"},
	}
}

// otherHouse adds a provider through the form.
func (b *browser) otherHouse(address string) tenancy.Provider {
	b.t.Helper()
	b.get("/providers/new?preset=groq")
	b.post("/providers", providerForm(address)).status(http.StatusSeeOther)
	v, err := b.site.store.ProviderBySlug(context.Background(), "groq")
	must(b.t, err)
	return v
}

// comesWith is the provider that comes with the product.
func (s *site) comesWith(t *testing.T) tenancy.Provider {
	t.Helper()
	v, err := s.store.ProviderBySlug(context.Background(), "openai")
	must(t, err)
	return v
}

// modelHouse answers as a provider does that has these models and takes the credential.
func modelHouse(t *testing.T, names ...string) (address string, seen *[]string) {
	t.Helper()
	seen = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != "Bearer "+credential {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":{"message":"Incorrect API key: %s"}}`, r.Header.Get("Authorization"))
			return
		}
		var items []string
		for _, name := range names {
			items = append(items, fmt.Sprintf(`{"id":%q,"object":"model"}`, name))
		}
		fmt.Fprintf(w, `{"object":"list","data":[%s]}`, strings.Join(items, ","))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1", seen
}

func TestAProviderIsMadeFromAPresetAndShown(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/providers/new").status(http.StatusOK).has("OpenRouter", `href="/providers/new?preset=azure"`)
	b.get("/providers/new?preset=groq").status(http.StatusOK).has(`value="https://api.groq.com/openai/v1"`, `value="Groq"`, text("providers.preset_lead.groq"))
	form := with(providerForm("https://api.groq.com/openai/v1/"), "hedge", "1,5", "max_parallel", "1.000", "connect", "0,5")
	b.post("/providers", form)
	v, err := s.store.ProviderBySlug(context.Background(), "groq")
	must(t, err)
	key, err := s.Credentials.Open(v.Credential, "provider:groq")
	must(t, err)
	if string(key) != credential || v.CredentialHint != "…aB3x" || v.BaseURL != "https://api.groq.com/openai/v1" || v.Limits.Hedge != 1500*time.Millisecond ||
		v.Limits.MaxParallel != 1000 || v.Limits.Connect != 500*time.Millisecond || !v.Active {
		t.Fatalf("%+v, key %q", v, key)
	}
	b.get(providerPath(v.ID)).status(http.StatusOK).has(text("providers.created", "name", "Groq"), text("providers.credential.own", "hint", "…aB3x"),
		"https://api.groq.com/openai/v1", text("providers.no_models"))
	b.get("/providers").has("OpenAI", "Groq", text("providers.count", "n", 2), text("providers.from_environment"))
	b.get("/providers/new")
	b.post("/providers", providerForm("https://outro.example/v1"))
	if _, err := s.store.ProviderBySlug(context.Background(), "groq-2"); err != nil {
		t.Fatal("a second provider of the same name has no code of its own", err)
	}
}

func TestARefusedProviderKeepsWhatWasTypedButTheKey(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/providers/new?preset=other")
	form := with(providerForm("ftp://casa"), "name", "", "connect", "dez", "total", "99999", "max_parallel", "muitas", "breaker_failure_percent", "0")
	b.post("/providers", form).status(http.StatusUnprocessableEntity).has(
		`value="ftp://casa"`, `value="dez"`, `value="99999"`, `value="muitas"`, text("error.required"), text("providers.error.base_url", "value", "ftp://casa"),
		text("providers.error.seconds", "value", "dez"), text("providers.error.duration", "min", time.Second, "max", time.Hour),
		text("error.integer", "value", "muitas"), text("error.range", "min", 1, "max", 100), `open id="advanced"`).lacks(credential)
	if list, err := s.store.Providers(context.Background()); err != nil || len(list) != 1 {
		t.Fatal("a refused provider was made", err)
	}
}

func TestEditingAProviderKeepsItsKeyUntilAnotherIsTyped(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	v := b.otherHouse("https://api.groq.com/openai/v1")
	path := providerPath(v.ID)
	read := func() (tenancy.Provider, string) {
		t.Helper()
		now, err := s.store.Provider(context.Background(), v.ID)
		must(t, err)
		if now.Credential == nil {
			return now, ""
		}
		key, err := s.Credentials.Open(now.Credential, "provider:groq")
		must(t, err)
		return now, string(key)
	}
	b.get(path+"/edit").status(http.StatusOK).has(text("providers.help.credential_kept", "hint", "…aB3x"), `value="300"`)
	b.post(path, with(providerForm("https://api.groq.com/openai/v2"), "name", "Groq Brasil", "credential", "", "active", "")).leadsTo(path)
	if now, key := read(); key != credential || now.Name != "Groq Brasil" || now.BaseURL != "https://api.groq.com/openai/v2" || now.Active {
		t.Fatalf("%+v, key %q", now, key)
	}
	b.post(path, with(providerForm("https://api.groq.com/openai/v1"), "credential", "another-credential-Zz99")).leadsTo(path)
	if now, key := read(); key != "another-credential-Zz99" || now.CredentialHint != "…Zz99" {
		t.Fatalf("%+v, key %q", now, key)
	}
	b.post(path, with(providerForm("https://api.groq.com/openai/v1"), "credential", "", "forget_credential", "on")).leadsTo(path)
	if now, key := read(); key != "" || now.CredentialHint != "" {
		t.Fatalf("%+v, key %q", now, key)
	}
}

func TestAKeyThatNoHeaderCarriesIsRefusedBesideItsField(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	address, seen := modelHouse(t, "a")
	v := b.otherHouse(address)
	wrong := text("providers.error.credential")
	for _, key := range []string{"sk-…aB3x", "sk-um dois", "sk-chavé", "sk-a\tb", "sk-\x7f"} {
		form := with(providerForm(address), "credential", key, "name", "Outra")
		b.post("/providers", form).status(http.StatusUnprocessableEntity).has(wrong).lacks(key)
		b.post(providerPath(v.ID), form).status(http.StatusUnprocessableEntity).has(wrong)
		b.post("/providers/test", form).has(wrong)
		b.post(providerPath(v.ID)+"/test", form).has(wrong)
	}
	if list, err := s.store.Providers(context.Background()); err != nil || len(list) != 2 || len(*seen) != 0 {
		t.Fatal("a key that cannot be sent was kept or used", err)
	}
}

func TestCodesOfLongNamesStayApart(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/providers/new?preset=other")
	name := strings.Repeat("casa ", 16) // 80 characters with the last space, 79 without
	for _, slug := range []string{strings.Repeat("casa-", 11) + "casa", strings.Repeat("casa-", 11) + "cas-2", strings.Repeat("casa-", 11) + "cas-3"} {
		b.post("/providers", with(providerForm("https://casa.example/v1"), "name", name)).status(http.StatusSeeOther)
		if _, err := s.store.ProviderBySlug(context.Background(), slug); err != nil {
			t.Fatal(slug, err)
		}
	}
	b.get("/providers/new?preset=other")
	b.post("/providers", with(providerForm("https://casa.example/v1"), "name", strings.Repeat("n", 81))).status(http.StatusUnprocessableEntity).
		has(text("error.too_long", "max", 80)).lacks(text("error.slug", "value", strings.Repeat("n", 60)))
}

// Whoever may edit a provider but does not know its key must not have it sent to a server of their own.
func TestAStoredKeyGoesToNoOtherServer(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	home, _ := modelHouse(t, "a")
	away, seen := modelHouse(t, "b")
	v := b.otherHouse(home)
	path := providerPath(v.ID)
	again := text("providers.error.credential_again")
	b.post(path, with(providerForm(away), "credential", "")).status(http.StatusUnprocessableEntity).has(again)
	b.post(path+"/test", with(providerForm(away), "credential", "")).has(again)
	if len(*seen) != 0 {
		t.Fatalf("the other server was asked with %q", *seen)
	}
	b.post(path+"/test", with(providerForm(away), "credential", "typed-for-the-other-server")).status(http.StatusOK)
	if len(*seen) != 1 || strings.Contains((*seen)[0], credential) {
		t.Fatalf("the other server was asked with %q", *seen)
	}
	s.environment = provided{address: home, key: credential}
	own := s.comesWith(t)
	b.post(providerPath(own.ID), with(providerForm(away), "credential", "")).status(http.StatusUnprocessableEntity).has(again)
}

func TestTheConnectionIsTestedBeforeSavingAndAfter(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	address, _ := modelHouse(t, "llama-4", "qwen-3")
	b.header.Set("HX-Request", "true")
	b.post("/providers/test", providerForm(address)).status(http.StatusOK).has("Conectado: 2 modelos").lacks("<html", credential)
	b.post("/providers/test", with(providerForm(address), "credential", "wrong-credential-here")).status(http.StatusOK).
		has("tone-bad").lacks("Conectado", "wrong-credential-here", "Incorrect API key")
	b.post("/providers/test", with(providerForm(""), "name", "")).has(text("providers.error.base_url", "value", ""))
	b.post("/providers/test", providerForm("http://127.0.0.1:1/v1")).status(http.StatusOK).has("tone-bad", "127.0.0.1:1")
	b.header.Del("HX-Request")
	b.post("/providers/test", providerForm(address)).status(http.StatusOK).has("<html", "Conectado: 2 modelos", `value="Groq"`).lacks(credential)
	v := b.otherHouse(address)
	b.header.Set("HX-Request", "true")
	b.post(providerPath(v.ID)+"/test", nil).status(http.StatusOK).has("Conectado: 2 modelos")
	b.post(providerPath(v.ID)+"/test", with(providerForm(address), "credential", "")).status(http.StatusOK).has("Conectado: 2 modelos")
	b.header.Del("HX-Request")
	b.post(providerPath(v.ID)+"/test", nil).leadsTo(providerPath(v.ID))
	b.get(providerPath(v.ID)).has("Conectado: 2 modelos")
}

func TestModelsOfAProviderAreImported(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	address, _ := modelHouse(t, "llama-4", "qwen-3", "gpt-4.1-nano")
	v := b.otherHouse(address)
	path := providerPath(v.ID) + "/import"
	b.get(path).status(http.StatusOK).has(path+"/list", text("providers.import_asking", "name", "Groq"))
	b.part(path+"/list").status(http.StatusOK).has("llama-4", "qwen-3", text("providers.import_count", "n", 3, "fresh", 3)).lacks("<html")
	b.get(path + "/list") // as without scripts
	b.post(path, nil).status(http.StatusUnprocessableEntity).has(text("providers.error.nothing_ticked"))
	b.post(path, url.Values{"models": {"llama-4", "gpt-4.1-nano"}}).leadsTo("/models?status=unpriced")
	b.get("/models?status=unpriced").has(text("providers.imported", "n", 2), "llama-4").lacks(">gpt-4.1-nano<")
	b.part(path+"/list").has(text("providers.import_count", "n", 3, "fresh", 1), text("providers.import_there"))
	b.get(providerPath(v.ID)).has("llama-4", "gpt-4.1-nano")
	b.get(path + "/list")
	b.post(path, url.Values{"models": {"<script>"}}).status(http.StatusUnprocessableEntity)

	_, err := s.db.Exec(`UPDATE providers SET base_url = 'http://127.0.0.1:1' WHERE id = $1`, v.ID)
	must(t, err)
	b.part(path+"/list").status(http.StatusOK).has("tone-bad", text("providers.try_again"))
}

func TestAProviderIsDeletedOnceNoRouteLeadsToIt(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	v := b.otherHouse("https://api.groq.com/openai/v1")
	_, err := s.store.ImportModels(context.Background(), v.ID, []string{"llama-4"})
	must(t, err)
	path := providerPath(v.ID)
	b.get(path).has(text("providers.delete_routed", "n", 1, "models", "llama-4")).lacks("delete-provider")
	named := url.Values{"confirm": {"Groq"}}
	b.post(path+"/delete", named).status(http.StatusConflict).has(text("providers.error.in_use"))
	_, err = s.db.Exec(`DELETE FROM model_routes WHERE provider_id = $1`, v.ID)
	must(t, err)
	b.get(path).has("delete-provider", text("providers.lost.credential"))
	for _, typed := range []string{"", "groq", "OpenAI"} {
		b.post(path+"/delete", url.Values{"confirm": {typed}}).status(http.StatusUnprocessableEntity).has(text("providers.error.not_confirmed"))
	}
	b.post(path+"/delete", named).leadsTo("/providers")
	b.get(path).status(http.StatusNotFound)
	own := providerPath(s.comesWith(t).ID)
	b.get(own).lacks("delete-provider")
	b.post(own+"/delete", url.Values{"confirm": {"OpenAI"}}).status(http.StatusConflict)
}

func TestTheProviderFromTheEnvironmentSaysWhatItTakesFromThere(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	path := providerPath(s.comesWith(t).ID)
	s.Simulated, s.environment = true, provided{address: "http://127.0.0.1:4711/v1", key: "simulator"}
	b.get(path).has(text("providers.state.simulated"), text("providers.built_in"), text("providers.credential.simulator")).lacks(":4711")
	s.Simulated, s.environment = false, provided{address: "https://api.openai.com/v1", key: "sk-da-variavel"}
	b.get(path).has(text("providers.state.ready"), text("providers.credential.environment"), "https://api.openai.com/v1").lacks("sk-da-variavel")
	b.get(path+"/edit").has(text("providers.environment_lead"), text("providers.help.credential_environment")).lacks("sk-da-variavel")
	s.environment.key = ""
	b.get(path).has(text("providers.state.keyless"), text("providers.credential.none"))
	b.post(path, with(providerForm(""), "name", "OpenAI", "kind", "openai", "credential", "sk-propria-do-painel-9zZ9")).leadsTo(path)
	b.get(path).has(text("providers.state.ready"), text("providers.credential.own", "hint", "…9zZ9"), "https://api.openai.com/v1")
}

func TestAProvidersPageTellsHowItStands(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	own := s.comesWith(t)
	s.running.providers = map[int64]breaker.Snapshot{own.ID: {
		Parallel: 12, MaxParallel: 40, Waiting: 3, ThrottledUntil: s.Now().Add(90 * time.Second),
		Models: []breaker.ModelSnapshot{{Model: "gpt-4.1-nano", State: breaker.Open, Since: s.Now().Add(-3 * time.Minute), FailurePercent: 62, Calls: 50, RetryIn: 9 * time.Second}},
	}}
	b.get(providerPath(own.ID)).status(http.StatusOK).has(text("providers.state.stopped"), "62%", text("operations.retry_in", "time", "9\u00a0s"), "1\u00a0min 30\u00a0s")
	b.part(providerPath(own.ID)).status(http.StatusOK).has("62%").lacks("<html")
	b.get("/providers").has(text("providers.state.stopped"), text("operations.waiting", "n", 3))
}

// The key is sealed in the database, and in no page, log line or audit entry.
func TestAProvidersKeyIsNeverSeenAgain(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	address, _ := modelHouse(t, "llama-4")
	v := b.otherHouse(address)
	path := providerPath(v.ID)
	pages := []string{"/providers", path, path + "/edit", path + "/import/list", "/models", "/operations"}
	for _, page := range pages {
		b.get(page).status(http.StatusOK).lacks(credential)
	}
	b.post(path, with(providerForm("nada"), "credential", credential)).status(http.StatusUnprocessableEntity).lacks(credential)
	b.post(path+"/test", providerForm(address)).lacks(credential)
	if strings.Contains(s.log.all(), credential) {
		t.Error("the key is in the log")
	}
	for _, table := range []string{"providers", "audit_log"} {
		var rows []string
		must(t, s.db.Select(&rows, `SELECT t::text FROM `+table+` t`))
		all := strings.Join(rows, "\n")
		if strings.Contains(all, credential) || strings.Contains(all, fmt.Sprintf("%x", credential)) {
			t.Errorf("the key lies open in %s", table)
		}
	}
}

func TestAProviderIsCalledConnectedOnlyWhileItAnswers(t *testing.T) {
	s := newSite(t)
	s.environment = provided{address: "https://api.openai.com/v1", key: "sk-da-variavel"}
	b := s.as(t, tenancy.Viewer)
	own := s.comesWith(t)
	words := []string{"ready", "connected", "failing", "trying", "stopped"}
	for name, c := range map[string]struct {
		models []breaker.ModelSnapshot
		want   string
	}{
		"nothing called":        {nil, "ready"},
		"called long ago":       {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed}}, "ready"},
		"one call failed":       {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed, Calls: 1, FailurePercent: 100}}, "ready"},
		"answers":               {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed, Calls: 4, FailurePercent: 25}}, "connected"},
		"fails, too few yet":    {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed, Calls: 3, FailurePercent: 100}}, "failing"},
		"half of its calls":     {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed, Calls: 4, FailurePercent: 50}}, "failing"},
		"one model of two":      {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed, Calls: 9}, {Model: "gpt-4o", State: breaker.Closed, Calls: 9, FailurePercent: 90}}, "failing"},
		"lets some through":     {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.HalfOpen, Calls: 9, FailurePercent: 100}}, "trying"},
		"lets nothing through":  {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Open, Calls: 9, FailurePercent: 100}}, "stopped"},
		"open beside a failing": {[]breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Closed, Calls: 9, FailurePercent: 90}, {Model: "gpt-4o", State: breaker.Open}}, "stopped"},
	} {
		s.running.providers = map[int64]breaker.Snapshot{own.ID: {Models: c.models}}
		page := b.get("/providers")
		for _, word := range words {
			if shown := strings.Contains(page.body, ">"+text("providers.state."+word)+"<"); shown != (word == c.want) {
				t.Errorf("%s: %s shown: %v", name, word, shown)
			}
		}
		normal := "1"
		if c.want != "ready" && c.want != "connected" {
			normal = "0"
		}
		b.get("/operations").has(text("operations.of", "some", normal, "all", "1"))
	}
}

func TestAProviderWithHundredsOfModelsShowsThoseThatMatter(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	v := b.otherHouse("https://api.groq.com/openai/v1")
	var names []string
	for i := range 120 {
		names = append(names, fmt.Sprintf("m%03d", i))
	}
	_, err := s.store.ImportModels(context.Background(), v.ID, names)
	must(t, err)
	s.running.providers = map[int64]breaker.Snapshot{v.ID: {Models: []breaker.ModelSnapshot{
		{Model: "m117", State: breaker.Closed, Calls: 5}, {Model: "m118", State: breaker.Open}, {Model: "m119", State: breaker.Closed, Calls: 5, FailurePercent: 100},
	}}}
	page := b.get(providerPath(v.ID)).status(http.StatusOK).has(text("providers.more_routes", "n", 70), fmt.Sprintf("/models?provider=%d", v.ID))
	if n := strings.Count(page.body, `class="row-link"`); n != 50 {
		t.Errorf("%d routes shown", n)
	}
	last := -1
	for _, name := range []string{"m118", "m119", "m117", "m000", "m046"} {
		at := strings.Index(page.body, `href="/models/`+name+`"`)
		if at <= last {
			t.Errorf("%s is not in its place", name)
		}
		last = at
	}
	page.lacks(`href="/models/m047"`)
	b.get(fmt.Sprintf("/models?provider=%d", v.ID)).has(text("models.count", "n", 120), text("models.filter.all_providers")).lacks(">gpt-4.1-nano<")
	b.get("/models").lacks(text("models.filter.all_providers"))
}
