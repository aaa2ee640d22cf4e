package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestAPersonSetsUpAProviderInABrowser goes from a new provider to a breaker opened by hand, by mouse and keyboard.
func TestAPersonSetsUpAProviderInABrowser(t *testing.T) {
	first, second := provider(t, openaitest.Options{}), provider(t, openaitest.Options{})
	s := newInstall(t, first.URL()).serve()
	w := &walk{tab: openTab(s, "pt-BR,pt", desk)}
	w.setUp("Vamos começar")
	w.secrets = append(w.secrets, "sk-segredo-da-segunda-casa")

	w.addsAProvider(second.URL())
	w.importsItsModels()
	w.setsAPrice()
	w.addsARoute()
	w.opensABreaker()
}

// addsAProvider tries the connection out before anything is saved.
func (w *walk) addsAProvider(address string) {
	w.t.Helper()
	w.navigate("/providers")
	w.follow(`.page-top-action a`, "/providers/new")
	w.follow(`a[href="/providers/new?preset=other"]`, `/providers/new\?preset=other`)
	w.write("name", "Segunda casa")
	w.write("base_url", "http://127.0.0.1:1/v1")
	w.write("credential", "sk-segredo-da-segunda-casa")
	w.click(`[formaction="/providers/test"]`)
	w.await("what is wrong with the address", element("#probe .tone-bad"))
	w.write("base_url", address)
	w.click(`[formaction="/providers/test"]`)
	w.await("that it answers", element("#probe .tone-ok"))
	if w.value("credential") == "" {
		w.t.Error("the typed key is lost by the test")
	}
	w.follow(".form-actions .btn-primary", `/providers/\d+`)
	w.shows("main", "Segunda casa", "Pronto", "termina em …casa")
}

// importsItsModels finds one of them, and takes that one alone.
func (w *walk) importsItsModels() {
	w.t.Helper()
	w.follow(`.page-top-action a[href$="/import"]`, `/providers/\d+/import`)
	w.await("the list", element("#import-names"))
	w.click("[data-filter]")
	w.press("davinci-002")
	w.await("the others to go", `[...document.querySelectorAll("#import-names > :not([hidden])")].length === 1`)
	w.press(kb.Enter) // sends nothing
	w.click("[data-check-shown]")
	w.await("the one shown to be ticked", `document.querySelectorAll("#import-names input:checked").length === 1`)
	w.follow(".import-foot [type=submit]", `/models\?status=unpriced`)
	w.shows("main", "davinci-002", "Sem preço")
}

// setsAPrice puts the model on offer with it; what calls cost is told while one types.
func (w *walk) setsAPrice() {
	w.t.Helper()
	w.follow(`a[href="/models/davinci-002"]`, "/models/davinci-002")
	w.follow(`.notice a`, "/models/davinci-002/price")
	w.write("input_price", "0,20")
	w.write("output_price", "0,80")
	w.await("what calls cost", element(".preview-total")+`?.innerText.replace(/\s/g, " ") === "US$ 0,44"`)
	w.follow(".form-actions button", "/models/davinci-002")
	w.shows("main", "Em oferta", "US$ 0,80", "Segunda casa")
}

// addsARoute by the buttons of the rows, which leave the rest of the form as it was typed.
func (w *walk) addsARoute() {
	w.t.Helper()
	w.follow(`.page-top-action a[href$="/edit"]`, "/models/davinci-002/edit")
	w.write("owned_by", "Casa")
	w.click("[name=add_route]")
	w.await("a second row", `document.querySelectorAll(".route").length === 2`)
	w.click("[name=add_route]")
	w.await("a third row", `document.querySelectorAll(".route").length === 3`)
	w.click(`[name=remove_route][value="2"]`)
	w.await("two rows again", `document.querySelectorAll(".route").length === 2`)
	if w.value("owned_by") != "Casa" {
		w.t.Error("a button of the rows changed the rest of the form")
	}
	read[bool](w.tab, `(() => { const s = document.querySelectorAll("[name=route_provider]")[1]; s.value = s.options[1].value; return true; })()`)
	w.follow(".form-actions .btn-primary", "/models/davinci-002")
	w.shows("main", "OpenAI", "Segunda casa")
}

// opensABreaker on a page that keeps itself up to date, but not under an open menu.
func (w *walk) opensABreaker() {
	w.t.Helper()
	w.navigate("/operations")
	w.shows("main", "Ao vivo", "Segunda casa")
	head := `.house-head:has(a[href^="/providers/2"]) `
	w.do(chromedp.EmulateViewport(desk, 2*screenHeight)) // a page that scrolls closes its menus
	w.await("that all is in view", `document.documentElement.scrollHeight <= innerHeight`)
	w.click(head + "[popovertarget]")
	w.await("the menu", element(".menu:popover-open"))
	read[bool](w.tab, `document.querySelector(".menu:popover-open").dataset.mark = "yes"; true`)
	w.click(`.menu:popover-open [data-open^="open-"]`)
	w.await("the question", element("dialog[open]"))
	read[bool](w.tab, `new Promise(r => setTimeout(() => r(true), 4000))`) // longer than between two updates
	if !read[bool](w.tab, `!!document.querySelector("dialog[open]") && !!document.querySelector("[data-mark]")`) {
		w.t.Error("an update took the question away")
	}
	w.follow("dialog[open] [type=submit]", "/operations")
	w.shows("main", "Aberto à mão", ownerEmail)
	w.await("an update", `await (async () => {
		const before = document.querySelector("[data-poll] > *");
		for (let i = 0; i < 100 && before.isConnected; i++) await new Promise(r => setTimeout(r, 100));
		return !before.isConnected;
	})()`)
	if text := w.text("main"); !strings.Contains(text, "Aberto à mão") {
		w.t.Errorf("after an update: %s", text)
	}
}
