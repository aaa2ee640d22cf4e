package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// say writes as the site writes for a Brazilian.
func (s *site) say() i18n.Printer { return i18n.NewPrinter(i18n.PtBR, s.Zone) }

var shownSecret = regexp.MustCompile(`fia_live_[0-9A-Za-z]{43}`)

// secret is the one that the page shows.
func (a answer) secret() string {
	a.t.Helper()
	found := shownSecret.FindString(a.body)
	if found == "" {
		a.t.Fatalf("no secret in the page:\n%s", a.body)
	}
	return found
}

func TestAKeysSecretIsShownOnceWithExamplesAndNeverAgain(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1000, 1000)).ID)
	b := s.as(t, tenancy.Manager)
	b.get("/keys/new?tenant=" + fmt.Sprint(tenant.ID)).status(http.StatusOK).has(`<option value="` + fmt.Sprint(tenant.ID) + `" selected>`)
	made := b.post("/keys", url.Values{"tenant": {fmt.Sprint(tenant.ID)}, "name": {"site"}, "models": {"gpt-4.1"}, "plan": {""}, "expires_at": {""}})
	made.status(http.StatusOK)
	secret := made.secret()
	made.has(`closedby="none"`, siteAddress+"/v1/chat/completions", "Authorization: Bearer "+secret, `api_key=&#34;`+secret, `base_url=&#34;`+siteAddress+"/v1",
		"gpt-4.1", "/tenants/"+fmt.Sprint(tenant.ID)+"/keys")
	if made.head.Get("Cache-Control") != "no-store" {
		t.Error("a page with a secret may be kept")
	}
	if _, err := s.store.CallerByHash(context.Background(), tenancy.Secret(secret).Hash()); err != nil {
		t.Fatal("the secret does not work", err)
	}
	for _, path := range []string{"/keys", "/tenants/" + fmt.Sprint(tenant.ID) + "/keys", "/tenants/" + fmt.Sprint(tenant.ID)} {
		b.get(path).lacks(secret)
	}
	b.get("/keys").has(tenancy.Secret(secret).Hint(), "Padaria", text("keys.models_count", "n", 1), text("keys.count", "n", 1))
	if strings.Contains(s.log.all(), secret) {
		t.Error("the secret is in the log")
	}
}

func TestARefusedKeyKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	b := s.as(t, tenancy.Manager)
	b.get("/keys/new")
	id := fmt.Sprint(tenant.ID)
	b.post("/keys", url.Values{"tenant": {id}, "name": {""}, "models": {"gpt-4.1"}, "expires_at": {"2020-01-01T10:00"}}).
		status(http.StatusUnprocessableEntity).has(text("error.required"), text("error.in_the_past"), `value="2020-01-01T10:00"`,
		`<option value="`+id+`" selected>`, `value="gpt-4.1" checked`)
	b.post("/keys", url.Values{"tenant": {id}, "name": {"x"}, "expires_at": {"amanhã"}}).status(http.StatusUnprocessableEntity).has(text("keys.error.date", "value", "amanhã"))
	b.post("/keys", url.Values{"tenant": {"999999"}, "name": {"x"}}).status(http.StatusUnprocessableEntity).has(text("tenants.error.not_found"))
	if page, err := s.store.ListKeys(context.Background(), tenancy.ListQuery{}); err != nil || page.Total != 0 {
		t.Fatal("a refused key was made", err)
	}
}

func TestAKeyExpiresInTheZoneThatThePageShows(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	b := s.as(t, tenancy.Manager)
	b.get("/keys/new")
	want := time.Date(s.clock.now().Year()+1, 3, 5, 14, 5, 0, 0, s.Zone)
	b.post("/keys", url.Values{"tenant": {fmt.Sprint(tenant.ID)}, "name": {"x"}, "expires_at": {want.Format(localMinute)}}).status(http.StatusOK)
	page, err := s.store.ListKeys(context.Background(), tenancy.ListQuery{})
	must(t, err)
	if got := page.Items[0].ExpiresAt; got == nil || !got.Equal(want) {
		t.Fatalf("expires %v, want %v", got, want)
	}
}

func TestRotatingShowsTheNewSecretAndHowLongTheOldWorks(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	ctx := context.Background()
	key, old, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	must(t, err)
	b := s.as(t, tenancy.Manager)
	path := "/keys/" + fmt.Sprint(key.ID) + "/rotate"
	b.get(path).status(http.StatusOK).has(key.Hint, text("keys.overlap.7d"))
	b.post(path, url.Values{"overlap": {"para sempre"}}).status(http.StatusUnprocessableEntity).has(text("keys.error.overlap"))
	rotated := b.post(path, url.Values{"overlap": {"1h"}}).status(http.StatusOK)
	secret := rotated.secret()
	rotated.has(text("keys.rotated_text", "until", s.say().DateTime(s.clock.now().Add(time.Hour)))).lacks(old.Reveal())
	if _, err := s.store.CallerByHash(ctx, tenancy.Secret(secret).Hash()); err != nil {
		t.Fatal(err)
	}
	// A second click, or the page sent again.
	b.get("/keys")
	b.post(path, url.Values{"overlap": {"1h"}}).status(http.StatusConflict).has(text("keys.error.already_rotated"))
	b.get("/keys").has(text("keys.replaced"), text("keys.count", "n", 2))
	s.clock.pass(2 * time.Hour)
	b.get("/keys?status=expired").has(key.Hint, text("keys.count", "n", 1))
}

func TestRevokingAndRenamingAKey(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	ctx := context.Background()
	key, secret, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	must(t, err)
	b := s.as(t, tenancy.Manager)
	path := "/keys/" + fmt.Sprint(key.ID)
	back := tenantPath(tenant.ID) + "/keys"
	b.get(path + "/rename").has(`value="site"`)
	b.post(path+"/rename", url.Values{"name": {"  "}}).status(http.StatusUnprocessableEntity).has(text("error.required"))
	b.post(path+"/rename", url.Values{"name": {"loja"}}).leadsTo(back)
	b.get(back).has("loja", text("keys.renamed"), text("keys.revoke_title", "name", "loja"))
	b.post(path+"/revoke", nil).leadsTo(back)
	if _, err := s.store.CallerByHash(ctx, secret.Hash()); !fault.Is(err, fault.NotFound) {
		t.Fatal("a revoked key still calls", err)
	}
	b.get(back).has(text("keys.state.revoked")).lacks(path + "/rotate")
	b.get("/keys?tenant="+fmt.Sprint(tenant.ID)).has("Padaria", text("keys.filter.any_tenant"))
}
