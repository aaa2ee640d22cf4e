package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/fila-ia/filaia/internal/openaitest"
)

const (
	ownerEmail    = "marina@operadora.com.br"
	customerEmail = "joana@padaria.com.br"
)

// beforeMidnight keeps a walk from passing midnight, when the figures of the day begin anew.
func (i *install) beforeMidnight() *install {
	zone := "America/Sao_Paulo"
	if at, err := time.LoadLocation(zone); err == nil && time.Now().In(at).Hour() == 23 {
		zone = "America/Rio_Branco"
	}
	i.env = append(i.env, "FILAIA_TIME_ZONE="+zone)
	return i
}

// walk is what one walk carries from step to step.
type walk struct {
	*tab
	plan   string // where its page is
	key    string
	used   calls
	limits [2]int64
}

// TestAPersonRunsTheBusinessInABrowser goes from the set-up link to a revoked key, by mouse and keyboard.
func TestAPersonRunsTheBusinessInABrowser(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).beforeMidnight().serve()
	began := time.Now()
	w := &walk{tab: openTab(s, "pt-BR,pt", desk), limits: [2]int64{20_000, 2_000}}

	w.setUp("Vamos começar")
	w.publishesAPlan()
	w.addsACustomer()
	w.makesAKey()
	w.seesTheFirstCall()
	w.seesTheNextCallLive()
	w.findsTheCustomer()
	password := w.addsThePersonOfTheCustomer()
	w.looksAround()
	w.signOut()
	w.customerSeesTheirOwn(password)
	w.customerChangesTheLanguage()
	w.signOut()
	w.revokesTheKey()

	t.Logf("the walk took %s over %d pages", time.Since(began).Round(time.Second), w.visited)
}

func (w *walk) setUp(title string) {
	w.t.Helper()
	link := ""
	eventually(w.t, "the set-up link is printed", func() bool { link = setupLink.FindString(w.output.String()); return link != "" })
	w.open(link, `/setup\?token=.*`)
	w.shows("h1", title)
	w.write("name", "Marina Souza")
	w.write("email", ownerEmail)
	w.write("password", password)
	w.follow(".form-actions button", "/")
}

// publishesAPlan types its figures the Brazilian way; the preview follows.
func (w *walk) publishesAPlan() {
	w.t.Helper()
	w.navigate("/plans")
	w.follow(`.page-top-action a[href="/plans/new"]`, "/plans/new")
	w.write("name", "Essencial")
	w.write("price", "1.234,56")
	w.write("input_tokens", "20000")
	w.leave()
	w.await("digits in groups", element("[name=input_tokens]")+`.value === "20.000"`)
	w.write("output_tokens", "2.000")
	w.write("overage_price", "0,0001")
	w.write("simulate", "32000")
	// The plan includes 22,000 tokens: 10,000 above it come to R$ 1,00.
	w.await("what a customer would pay", element(".preview-total")+`?.innerText.replace(/\s/g, " ") === "R$ 1.235,56"`)
	w.click(`label:has([name=overage][value=block])`)
	w.follow("[name=publish]", `/plans/\d+`)
	w.shows("main", "Essencial", "R$ 1.234,56", "20 mil", "2 mil", "Bloqueia")
	w.plan = w.path()
}

// addsACustomer first mistypes the tax number: that is said beside its field, and everything typed stays.
func (w *walk) addsACustomer() {
	w.t.Helper()
	w.open("/", "/")
	w.follow(`[data-part=steps] a[href="/tenants/new"]`, "/tenants/new")
	w.write("name", "Padaria do João")
	w.write("email", "contas@padaria.com.br")
	w.choose("plan", "Essencial")
	w.write("tax_id", "11.222.333/0001-80")
	w.leave()
	w.await("a word beside the field", element("#tax-id .field-error"))
	w.expect(422, "POST /tenants")
	w.follow(".form-actions button", "/tenants")
	w.shows("#tax-id .field-error", "11.222.333/0001-80")
	for name, typed := range map[string]string{"name": "Padaria do João", "email": "contas@padaria.com.br", "tax_id": "11.222.333/0001-80"} {
		if got := w.value(name); got != typed {
			w.t.Errorf("%s is %q after a refusal, %q was typed", name, got, typed)
		}
	}
	if !strings.HasPrefix(read[string](w.tab, `document.querySelector("[name=plan]").selectedOptions[0].text`), "Essencial") {
		w.t.Error("the chosen plan is lost after a refusal")
	}
	w.write("tax_id", "11222333000181")
	w.leave()
	w.await("a word that it is right", element("#tax-id .field-good"))
	if got := w.value("tax_id"); got != "11.222.333/0001-81" {
		w.t.Errorf("the tax number is written %q", got)
	}
	w.follow(".form-actions button", `/tenants/\d+`)
	w.shows("main", "Padaria do João", "Essencial", "0 de 20.000", "restam 2.000")
}

// makesAKey copies the secret, which is shown once: not in the list, and not on the way back.
func (w *walk) makesAKey() {
	w.t.Helper()
	w.follow(`.page-actions a[href^="/keys/new"]`, `/keys/new\?tenant=\d+`)
	w.write("name", "Site em produção")
	w.follow(".form-actions button", "/keys")
	w.key = w.copySecret(`/tenants/\d+/keys`)
	if !regexp.MustCompile(`^fia_live_[0-9A-Za-z]{20,}$`).MatchString(w.key) {
		w.t.Fatalf("the secret is %q", w.key)
	}
	w.shows("#keys-table tbody", "Site em produção", w.hint(), "Ativa")
	w.expect("net::ERR_CACHE_MISS", "POST /keys")
	_, _ = tryRead[bool](w.tab, `history.back() || true`) // the page may be gone before it answers
	w.await("the page of the secret is not kept", `location.protocol === "chrome-error:"`)
}

// hint is what stays visible of the key.
func (w *walk) hint() string { return w.key[:len("fia_live_")+2] + "…" + w.key[len(w.key)-4:] }

// seesTheFirstCall waits on the page of the first steps, which notices the call by itself.
func (w *walk) seesTheFirstCall() {
	w.t.Helper()
	w.open("/", "/")
	w.await("three steps done", `document.querySelectorAll(".step-done").length === 3`)
	w.used.make(w.server, w.key)
	began := time.Now()
	w.await("the first call is noticed", element(`[data-part=steps] a.btn-primary[href="/"]`))
	w.t.Logf("the first steps: noticed the call after %s", time.Since(began).Round(time.Millisecond))
	w.follow(`[data-part=steps] a.btn-primary[href="/"]`, "/")
}

// seesTheNextCallLive watches figures, chart and remaining quota move by exactly what a call used.
func (w *walk) seesTheNextCallLive() {
	w.t.Helper()
	w.mark()
	w.awaitUsage("the overview as it came", w.used, w.limits)
	w.used.make(w.server, w.key)
	w.awaitUsage("the overview", w.used, w.limits)
	w.shows("[data-part=top]", "Padaria do João")
	w.shows("[data-part=calls]", "Site em produção", "gpt-4.1-nano")
}

// findsTheCustomer searches by keyboard, and looks at how the customer stands.
func (w *walk) findsTheCustomer() {
	w.t.Helper()
	w.open("/tenants", "/tenants")
	w.press("/")
	w.await("the search has the focus", `document.activeElement.matches("[data-search]")`)
	w.press("não existe")
	w.await("nothing is found", `document.querySelectorAll("#tenants-table tbody tr").length === 0`)
	read[bool](w.tab, `document.activeElement.select() || true`)
	w.press("padaria")
	w.await("the customer is found", `document.querySelectorAll("#tenants-table tbody tr").length === 1`)
	w.shows("#tenants-table .table-count", "1 cliente")
	w.follow("#tenants-table a.row-link", `/tenants/\d+`)
	w.shows("main", "Padaria do João", w.exactly(w.used.Input, w.limits[0]), w.exactly(w.used.Output, w.limits[1]))

	w.click(".page-actions [popovertarget=menu-tenant]")
	w.click("#menu-tenant [data-open=suspend-tenant]")
	w.await("the question", element("#suspend-tenant:modal"))
	w.press(kb.Escape)
	w.await("Esc closes it", `!`+element("dialog:modal"))

	w.follow(`.tabs a[href$="tab=usage"]`, `/tenants/\d+\?tab=usage`)
	w.mark()
	w.used.make(w.server, w.key)
	w.awaitUsage("the customer's page", w.used, w.limits)
}

// looksAround opens what is left of the panel.
func (w *walk) looksAround() {
	w.t.Helper()
	w.visit("/?view=days", "/?tenant=1", "/calls", "/calls?tenant=1", w.plan+"/edit", "/tenants?status=all", "/tenants/1/edit", "/tenants/1/plan",
		"/tenants/1/plan?plan=1", "/tenants/1/keys", "/tenants/1/details", "/tenants/1?tab=usage&view=days", "/tenants/1/usage",
		"/keys?status=revoked", "/keys/1/rotate", "/keys/1/rename", "/users/1", "/users/2", "/account")
	w.expect(404, "GET /nowhere")
	w.visit("/nowhere")
	w.open("/users", "/users")
}

// exactly is how a page writes what is used and what is left.
func (w *walk) exactly(used, limit int64) string {
	dots := func(n int64) string {
		if n < 1000 {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%d.%03d", n/1000, n%1000)
	}
	return fmt.Sprintf("%s de %s – restam %s", dots(used), dots(limit), dots(limit-used))
}

func (w *walk) addsThePersonOfTheCustomer() (password string) {
	w.t.Helper()
	w.navigate("/users")
	w.follow(`.page-top-action a[href="/users/new"]`, "/users/new")
	w.write("name", "Joana Lima")
	w.write("email", customerEmail)
	w.click("label:has([name=role][value=tenant_admin])")
	w.choose("tenant", "Padaria do João")
	w.follow(".form-actions button", "/users")
	return w.copySecret("/users")
}

// customerSeesTheirOwn signs the customer's person in, who sees their own usage live and nothing of the panel.
func (w *walk) customerSeesTheirOwn(password string) {
	w.t.Helper()
	w.signIn(customerEmail, password, "/portal")
	w.shows("main", "Padaria do João", "Plano Essencial")
	w.mark()
	w.awaitUsage("the portal as it came", w.used, w.limits)
	w.used.make(w.server, w.key)
	w.awaitUsage("the portal", w.used, w.limits)
	if text := w.text("main"); strings.Contains(text, "US$") {
		w.t.Errorf("a customer sees the operator's costs:\n%s", text)
	}
	w.navigate("/portal/keys")
	w.shows("main", "Site em produção", w.hint(), "Ativa", w.url()+"/v1")

	for _, panel := range []string{"/", "/plans", "/plans/new", "/tenants", "/tenants/1", "/tenants/1/usage", "/keys", "/keys/new", "/users", "/calls", "/live"} {
		if ended := read[string](w.tab, `fetch(`+quoted(panel)+`).then(r => new URL(r.url).pathname)`); ended != "/portal" {
			w.t.Errorf("a customer who asks for %s comes to %s", panel, ended)
		}
	}
	w.expect(404, "POST /keys/1/revoke")
	if status := read[int](w.tab, `fetch("/keys/1/revoke", {method: "POST", headers: {"X-CSRF-Token": document.querySelector("[name=csrf]").value}}).then(r => r.status)`); status != 404 {
		w.t.Errorf("a customer who revokes in the panel is answered %d", status)
	}
	w.open("/users", "/portal")
	w.visit("/portal?view=days", "/portal/calls")
	w.menu()
	w.follow(`#user-menu a.menu-item`, "/account")
	w.shows("main", customerEmail)
	w.follow(".sidebar a.brand", "/portal")
}

func (w *walk) customerChangesTheLanguage() {
	w.t.Helper()
	w.shows(".sidebar", "Visão geral", "Chaves de API")
	w.shows("main", "Quanto ainda resta", "Tokens de entrada")
	w.language("en")
	w.shows(".sidebar", "Overview", "API keys")
	w.shows("main", "Input tokens")
	if strings.Contains(w.text("main"), "Tokens de entrada") {
		w.t.Error("English pages still speak Portuguese")
	}
	w.language("pt-BR")
	w.shows(".sidebar", "Visão geral")
}

// revokesTheKey takes the key back in the panel: the next call is refused.
func (w *walk) revokesTheKey() {
	w.t.Helper()
	w.signIn(ownerEmail, password, "/")
	w.navigate("/keys")
	w.shows("#keys-table tbody", "Site em produção", "Ativa")
	w.click("#keys-table [popovertarget^=menu-]")
	w.click("#keys-table .menu:popover-open [data-open^=revoke-]")
	w.await("the question", element("dialog[id^=revoke-]:modal"))
	w.shows("dialog:modal", "Site em produção", "Padaria do João")
	w.follow("dialog:modal [type=submit]", `/tenants/\d+/keys`)
	refusedSoon(w.t, w.server, w.key)
	w.shows("#keys-table tbody", "Revogada")
}
