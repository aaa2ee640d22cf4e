package main

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestTheInboxOpensAndClosesByKeyboard walks into the bell's inbox and out of it without a mouse, has news
// come while somebody is in it, and the bars of a phone's browser come and go.
func TestTheInboxOpensAndClosesByKeyboard(t *testing.T) {
	s := newInstall(t, "").beforeMidnight().serve()
	w := &walk{tab: openTab(s, "en-GB,en", desk)}
	w.setUp("Let’s get started")
	const (
		open = `document.querySelector("#inbox").matches(":popover-open")`
		bell = `document.activeElement.matches("[data-inbox]")`
		last = `document.activeElement.matches("#inbox .inbox-all")`
	)
	begin := func() {
		t.Helper()
		w.await("the bell has the focus", `(document.querySelector(".sidebar [data-inbox]").focus(), `+bell+`)`)
		w.press(kb.Enter)
		w.await("the inbox is open and holds the focus", open+` && document.activeElement.closest("#inbox") && document.querySelector(".inbox-all")`)
	}
	begin()
	w.press(kb.Tab)
	w.await("Tab goes to what is in it", last)
	read[bool](w.tab, `(document.querySelector(".inbox-all").dataset.before = "1", document.dispatchEvent(new Event("filaia:bell")))`)
	w.await("news are filled in under who is there", `document.querySelector(".inbox-all:not([data-before])") !== null && `+last)
	w.press(kb.Tab)
	w.await("and on beside the bell", `!`+open+` && document.activeElement.closest(".sidebar") && !`+bell)
	begin()
	w.press(kb.Escape)
	w.await("Esc leads back to the bell", `!`+open+` && `+bell)
	begin()
	w.do(chromedp.EmulateViewport(desk, screenHeight-60))
	w.await("another height", `window.innerHeight === 840`)
	w.press(kb.Tab)
	w.await("leaves it open", open+` && `+last)
	w.do(chromedp.EmulateViewport(desk-60, screenHeight))
	w.await("another width, at which it would stand elsewhere, does not", `!`+open)
}
