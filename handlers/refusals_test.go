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

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// refused keeps a refusal of one of the customer's calls, as the gateway does, and gives the id that callers are told.
func (c *subscriber) refused(t *testing.T, r tenancy.Refusal) string {
	t.Helper()
	r.ID, r.At, r.TenantID, r.KeyID = uuid.Must(uuid.NewV7()), c.s.Now(), c.tenant.ID, c.key.ID
	if r.HTTPStatus == 0 {
		r.HTTPStatus = http.StatusTooManyRequests
	}
	r.Endpoint = "chat.completions"
	must(t, c.s.store.InsertRefusals(context.Background(), []tenancy.Refusal{r}))
	return requestID(r.ID)
}

// tooMany is a call above the requests a minute of the key.
func (c *subscriber) tooMany() tenancy.Refusal {
	return tenancy.Refusal{Reason: "rate_limited", Scope: "key", Limit: "requests_per_minute", LimitValue: 60, Asked: 1, Model: "gpt-4.1-nano",
		ResetsAt: c.s.Now().Add(12 * time.Second)}
}

// everyRefusal is one of each: each reason of the gateway, and each limit that can be in the way.
func everyRefusal(now time.Time) map[string]tenancy.Refusal {
	list := map[string]tenancy.Refusal{}
	for _, reason := range []gateway.Reason{
		gateway.ExpiredKey, gateway.TenantInactive, gateway.UnknownModel, gateway.NotRecordable, gateway.DatabaseAway, gateway.ProviderAway,
		gateway.ProviderTimeout, gateway.ProviderBusy,
	} {
		list[string(reason)] = tenancy.Refusal{Reason: string(reason), Model: "gpt-4.1-nano", HTTPStatus: 503}
	}
	for _, limit := range []string{"requests_per_minute", "tokens_per_minute", "parallel_calls"} {
		for _, scope := range []string{"key", "tenant", "plan"} {
			list[limit+" of "+scope] = tenancy.Refusal{Reason: string(gateway.RateLimited), Scope: scope, Limit: limit, LimitValue: 4321, Asked: 1,
				ResetsAt: now.Add(90 * time.Second)}
		}
	}
	for _, limit := range []string{"input_tokens", "output_tokens"} {
		for name, remaining := range map[string]int64{"spent": 0, "short": 77} {
			list[limit+" "+name] = tenancy.Refusal{Reason: string(gateway.QuotaExhausted), Scope: "plan", Limit: limit, LimitValue: 4321, Asked: 900,
				Remaining: remaining, ResetsAt: now.AddDate(0, 0, 9)}
		}
	}
	list["cap"] = tenancy.Refusal{Reason: string(gateway.QuotaExhausted), Scope: "tenant", Limit: tenancy.LimitSpendCap, LimitValue: 4321 * int64(money.Unit),
		Asked: 1_500_000, Remaining: 77_700, ResetsAt: now.AddDate(0, 0, 9)}
	list["cap, of calls in flight"] = tenancy.Refusal{Reason: string(gateway.QuotaBusy), Scope: "tenant", Limit: tenancy.LimitSpendCap,
		LimitValue: 4321 * int64(money.Unit), Asked: 1_500_000}
	list["busy"] = tenancy.Refusal{Reason: string(gateway.QuotaBusy), Scope: "plan", Limit: "output_tokens", LimitValue: 4321, Asked: 900, Remaining: 5}
	list["new"] = tenancy.Refusal{Reason: "a reason of tomorrow"}
	return list
}

func TestEveryRefusalSaysWhatHappenedAndWhatToDo(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	customer, manager := c.person(t, tenancy.TenantViewer), s.as(t, tenancy.Manager)
	steps := regexp.MustCompile(`(?s)<ol class="refusal-steps">(.*?)</ol>`)
	for name, r := range everyRefusal(s.Now()) {
		id := c.refused(t, r)
		for _, lang := range []string{"pt-BR", "en"} {
			_, err := s.db.Exec(`UPDATE users SET language = $1`, lang)
			must(t, err)
			for path, b := range map[string]*browser{"/portal/refusals/" + id: customer, "/refusals/" + id: manager} {
				page := b.get(path).status(http.StatusOK).has(id, "/v1/chat/completions", `<html lang="`+lang+`"`)
				if found := steps.FindStringSubmatch(page.body); found == nil || !strings.Contains(found[1], "<li>") {
					t.Errorf("%s: nothing to do on %s", name, path)
				}
				_, words, _ := strings.Cut(page.body, "<main")
				if key := regexp.MustCompile(`refusals\.[a-z_.]+|\{`).FindString(words); key != "" {
					t.Errorf("%s on %s in %s is not in words: %q", name, path, lang, key)
				}
				if r.LimitValue > 0 {
					page.has(map[string]string{"pt-BR": "4.321", "en": "4,321"}[lang])
				}
				b.get(strings.TrimSuffix(path, "/"+id)).status(http.StatusOK).has(id)
			}
		}
	}
	customer.get("/portal/refusals").has("Calls that got no answer")
}

func TestARefusalTellsTheLimitAndWhenItResets(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	b := c.person(t, tenancy.TenantAdmin)
	id := c.refused(t, c.tooMany())
	reset := c.tooMany().ResetsAt.In(s.Zone).Format("15:04:05")
	b.get("/portal/refusals/"+id).has(text("refusals.kind.rate_requests"), text("refusals.why.rate_requests.key", "key", "chave de Padaria", "n", 60),
		reset, text("refusals.in", "time", "12\u00a0s"), text("refusals.do.wait", "when", reset), "chave de Padaria", "gpt-4.1-nano", "HTTP 429")
	s.clock.pass(5 * time.Minute)
	b.get("/portal/refusals/"+id).has(text("refusals.do.over"), text("refusals.over", "ago", "há 4\u00a0min"), reset).lacks(text("refusals.do.wait", "when", reset))

	left := c.refused(t, tenancy.Refusal{Reason: "quota_exhausted", Scope: "plan", Limit: "output_tokens", LimitValue: 500_000, Asked: 4096, Remaining: 812,
		ResetsAt: s.Now().AddDate(0, 0, 9)})
	b.get("/portal/refusals/"+left).has("4.096", "812", "500.000", text("refusals.do.lower_max_to", "remaining", 812), text("refusals.do.bigger_plan"),
		text("refusals.do.until", "when", s.say().DateTime(s.Now().AddDate(0, 0, 9))), s.say().Date(s.Now().AddDate(0, 0, 9)), `href="/portal"`)
	s.clock.pass(10 * 24 * time.Hour)
	c.person(t, tenancy.TenantViewer).get("/portal/refusals/"+left).status(http.StatusOK).has(text("refusals.do.renewed"), text("refusals.renewed")).
		lacks(text("refusals.do.bigger_plan"))
}

func TestACustomerSeesItsOwnRefusalsOnly(t *testing.T) {
	s := newSite(t)
	mine, other := s.subscriber(t, "Padaria", tenancy.Block), s.subscriber(t, "Oficina", tenancy.Block)
	own, foreign := mine.refused(t, mine.tooMany()), other.refused(t, other.tooMany())
	b := mine.person(t, tenancy.TenantViewer)
	b.get("/portal/refusals").has(own, "chave de Padaria").lacks(foreign, "Oficina")
	b.get("/portal/refusals/"+own).status(http.StatusOK).lacks("/keys/", "/tenants/", "US$")
	for _, id := range []string{foreign, requestID(uuid.Must(uuid.NewV7())), "req_12", "req_" + strings.Repeat("z", 32), "7", "req_"} {
		b.get("/portal/refusals/"+id).status(http.StatusNotFound).
			has(text("refusals.unknown.title"), text("refusals.unknown.other"), text("refusals.unknown.old"), `href="/portal/refusals"`).lacks("Oficina")
	}
}

// The message of a refused call leads a person to its page whoever they are and wherever they come from.
func TestTheLinkOfAnErrorLeadsThroughSignInToItsPage(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	id := c.refused(t, c.tooMany())
	link := "/portal/refusals/" + id
	customer := c.person(t, tenancy.TenantViewer).user
	manager := s.user(t, tenancy.Manager)
	for name, p := range map[string]struct {
		user tenancy.User
		hops []string
	}{"customer": {customer, []string{link}}, "team": {manager, []string{link, "/refusals/" + id}}} {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t)
			b.get(link).leadsTo("/login?next=" + url.QueryEscape(link))
			b.get("/login?next=" + url.QueryEscape(link)).status(http.StatusOK).has(`name="next" value="` + link + `"`)
			next := b.post("/login", url.Values{"email": {p.user.Email}, "password": {goodPassword}, "next": {link}})
			for i, hop := range p.hops {
				next.leadsTo(hop)
				next = b.get(hop)
				if i == len(p.hops)-1 {
					next.status(http.StatusOK).has(id, text("refusals.kind.rate_requests"))
				}
			}
		})
	}
	c.person(t, tenancy.TenantAdmin).get("/refusals/" + id).leadsTo(link)
	s.signedIn(t, manager).get("/portal/keys").leadsTo("/")
}

func TestTheTeamSeesWhoWasRefusedAndIsLedToWhatHelps(t *testing.T) {
	s := newSite(t)
	c, d := s.subscriber(t, "Padaria", tenancy.Block), s.subscriber(t, "Oficina", tenancy.Block)
	id := c.refused(t, c.tooMany())
	d.refused(t, d.tooMany())
	manager, viewer := s.as(t, tenancy.Manager), s.as(t, tenancy.Viewer)
	limits := fmt.Sprintf(`href="/keys/%d/limits"`, c.key.ID)
	manager.get("/refusals").has("Padaria", "Oficina", id)
	manager.get("/refusals/"+id).has("Padaria", limits, text("refusals.do.team.raise_key"))
	viewer.get("/refusals/" + id).status(http.StatusOK).lacks(limits).has(fmt.Sprintf(`href="/keys/%d"`, c.key.ID))
	tab := tenantPath(c.tenant.ID) + "/refusals"
	manager.get(tenantPath(c.tenant.ID)).has(`href="`+tab+`"`, text("tenants.tab.refusals"))
	manager.get(tab).status(http.StatusOK).has(id, "chave de Padaria").lacks("Oficina")
	manager.get("/refusals/req_00").status(http.StatusNotFound).has(text("refusals.unknown.title"), `href="/refusals"`).lacks(text("refusals.unknown.other"))
	manager.get("/tenants/987654/refusals").status(http.StatusNotFound)
	c.calls(t, 1, 10, 1)
	for path, want := range map[string]string{"/": `href="/refusals"`, fmt.Sprintf("/?tenant=%d", c.tenant.ID): `href="` + tab + `"`} {
		manager.get(path).status(http.StatusOK).has(want)
	}
	c.person(t, tenancy.TenantViewer).get("/portal").has(`href="/portal/refusals"`)
}

func TestRefusalsArePagedByTheLastOneShown(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	for range refusalsPage + 3 {
		c.refused(t, c.tooMany())
	}
	customer, manager := c.person(t, tenancy.TenantViewer), s.as(t, tenancy.Viewer)
	for path, b := range map[string]*browser{"/portal/refusals": customer, "/refusals": manager, tenantPath(c.tenant.ID) + "/refusals": manager} {
		first := b.get(path).status(http.StatusOK)
		if n := strings.Count(first.body, "/refusals/req_"); n != refusalsPage {
			t.Errorf("%d refusals on the first page of %s, want %d", n, path, refusalsPage)
		}
		next := regexp.MustCompile(`hx-get="([^"]+)"`).FindStringSubmatch(first.body)
		if next == nil || !strings.HasPrefix(next[1], path+"?before=") {
			t.Fatalf("%s leads to older ones by %v", path, next)
		}
		rest := b.part(next[1]).status(http.StatusOK).lacks("<html", "hx-get")
		if n := strings.Count(rest.body, "<tr>"); n != 3 {
			t.Errorf("%d older refusals of %s, want 3", n, path)
		}
		b.get(path + "?before=garbage").status(http.StatusNotFound)
	}
}

func TestNothingRefusedIsSaidSo(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	c.person(t, tenancy.TenantViewer).get("/portal/refusals").status(http.StatusOK).has(text("refusals.none"))
	s.as(t, tenancy.Viewer).get("/refusals").status(http.StatusOK).has(text("refusals.none"))
}

func TestTheNavigationLeadsToRefusals(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	b.get("/plans").has(`href="/refusals"`)
	page := b.get("/refusals").body
	at := strings.Index(page, `aria-current="page"`)
	if at < 0 || !strings.Contains(page[max(0, at-200):at+200], `href="/refusals"`) {
		t.Error("refusals are not highlighted in the navigation")
	}
}
