package main

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// TestAnEnglishSpeakerStartsOnAPhone is a shorter walk over a new installation as make run starts it, with the built-in
// provider: the browser asks for English, and the screen is small.
func TestAnEnglishSpeakerStartsOnAPhone(t *testing.T) {
	s := newInstall(t, "").beforeMidnight().serve()
	began := time.Now()
	w := &walk{tab: openTab(s, "en-GB,en", phone), limits: [2]int64{20_000, 2_000}}

	w.setUp("Let’s get started")
	w.shows(".banner", "Simulation")
	w.navigate("/plans")
	w.follow(`.page-top-action a[href="/plans/new"]`, "/plans/new")
	w.write("name", "Starter")
	w.write("price", "1234.56")
	w.write("input_tokens", "20000")
	w.leave()
	w.await("digits in groups", element("[name=input_tokens]")+`.value === "20,000"`)
	w.write("output_tokens", "2,000")
	w.click(`label:has([name=overage][value=block])`)
	w.follow("[name=publish]", `/plans/\d+`)
	w.shows("main", "Starter", "R$ 1,234.56", "20K", "2K")

	w.navigate("/tenants")
	w.follow(`a.btn-primary[href="/tenants/new"]`, "/tenants/new")
	w.write("name", "Corner Bakery")
	w.choose("plan", "Starter")
	w.follow(".form-actions button", `/tenants/\d+`)
	w.shows("main", "Corner Bakery", "0 of 20,000")
	w.follow(`.page-actions a[href^="/keys/new"]`, `/keys/new\?tenant=\d+`)
	w.write("name", "Website")
	w.follow(".form-actions button", "/keys")
	w.key = w.copySecret(`/tenants/\d+/keys`)
	w.shows("#keys-table tbody", "Website", w.hint(), "Active")

	w.seesTheFirstCall()
	w.mark()
	w.awaitUsage("the overview as it came", w.used, w.limits)
	w.used.make(s, w.key)
	w.awaitUsage("the overview", w.used, w.limits)
	w.shows("main", "Corner Bakery", "Website")

	w.navigate("/keys")
	w.click("#keys-table [popovertarget^=menu-]")
	w.click("#keys-table .menu:popover-open [data-open^=revoke-]")
	w.await("the question", element("dialog[id^=revoke-]:modal"))
	w.press(kb.Escape)
	w.await("Esc closes it", `!`+element("dialog:modal"))
	w.language("pt-BR")
	w.shows("h1", "Chaves de API")
	w.language("en")
	w.shows("h1", "API keys")
	w.signOut()
	w.shows("h1", "Sign in")

	t.Logf("the walk took %s over %d pages", time.Since(began).Round(time.Second), w.visited)
}
