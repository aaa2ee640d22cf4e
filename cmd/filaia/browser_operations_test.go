package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestAPersonHasTheBooksAuditedInABrowser sees the server that answers, has the books audited and says for how long
// calls are kept.
func TestAPersonHasTheBooksAuditedInABrowser(t *testing.T) {
	s := newInstall(t, provider(t, openaitest.Options{}).URL()).serve()
	w := &walk{tab: openTab(s, "pt-BR,pt", desk)}
	w.setUp("Vamos começar")
	w.navigate("/operations")
	w.shows("main", "Servidores funcionando", "1 de 1", "este servidor", "Nada esperando")
	w.follow(`.tabs a[href="/operations/books"]`, "/operations/books")
	w.shows("main", "Nenhum token passou de um limite", "Para sempre")

	w.holdsThrough("/operations/books", "#audit-now")
	w.await("what the audit found", `document.querySelector(".audit-head")?.innerText.includes("pedida por `+ownerEmail+`")`)
	w.shows("main", "Tudo confere")
	w.await("that it is over", element("#audit-now:not([disabled])"))
	read[bool](w.tab, `document.querySelector("#audit-now").focus(); true`)
	w.await("an update that leaves the focus where it is", `await (async () => {
		const before = document.querySelector("[data-poll] > *");
		for (let i = 0; i < 100 && before.isConnected; i++) await new Promise(r => setTimeout(r, 100));
		return !before.isConnected && document.activeElement.id === "audit-now";
	})()`)

	w.write("months", "1")
	w.await("that one month is too few", element("#fate")+`?.innerText.includes("Informe 0 ou um número de meses")`)
	w.write("months", "3")
	w.await("what becomes of calls", element("#fate")+`?.innerText.includes("3 meses após o mês terminar")`)
	w.follow("#kept-form [type=submit]", "/operations/books")
	w.shows("main", "3 meses depois do mês em que foram feitas")
}

// holdsThrough clicks on an element as somebody who lets go of it only after an update of the page, from address, has come.
func (w *walk) holdsThrough(address, selector string) {
	w.t.Helper()
	at := w.place(selector)
	w.do(chromedp.MouseEvent(chromedp.MousePressed, at[0], at[1], chromedp.ButtonLeft, chromedp.ClickCount(1)))
	updates := `performance.getEntriesByName(location.origin + ` + quoted(address) + `).filter(e => e.responseEnd > 0).length`
	before := read[int](w.tab, updates)
	w.await("two updates", fmt.Sprintf(`%s >= %d`, updates, before+2)) // the second is asked for after the first was shown
	w.do(chromedp.MouseEvent(chromedp.MouseReleased, at[0], at[1], chromedp.ButtonLeft, chromedp.ClickCount(1)))
}
