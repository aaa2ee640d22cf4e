package main

import (
	"testing"

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

	w.click("#audit-now")
	w.await("what the audit found", `document.querySelector(".audit-head")?.innerText.includes("pedida por `+ownerEmail+`")`)
	w.shows("main", "Tudo confere")
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
