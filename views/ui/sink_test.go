package ui_test

import (
	"context"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

var now = time.Date(2026, 11, 22, 17, 5, 0, 0, time.UTC)

// draw renders a component.
func draw(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// within gives a component children.
func within(outer templ.Component, children ...templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return outer.Render(templ.WithChildren(ctx, templ.Join(children...)), w)
	})
}

func printer(t *testing.T, lang i18n.Lang) i18n.Printer {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	return i18n.NewPrinter(lang, zone)
}

func plans(query string) ui.TableModel {
	q, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	return ui.TableModel{
		ID: "plans-table", Path: "/plans", Query: q, Label: "Planos", Search: "Buscar plano", CountKey: "format.ago.days", Total: 120,
		Columns: []ui.Column{{Label: "Nome", Sort: "name"}, {Label: "Preço", Sort: "price", Numeric: true}, {Label: "Ações", Hidden: true}},
		Filters: []ui.Filter{{Name: "status", Label: "Situação", Options: []ui.Option{{Label: "Todos"}, {Value: "draft", Label: "Rascunhos"}}}},
		Empty:   ui.EmptyModel{Icon: "stack-2", Title: "Nenhum plano", Text: "Um plano diz quanto se pode usar."},
	}
}

// sink is one page with every component on it.
func sink(p i18n.Printer) templ.Component {
	limit := int64(3_000_000)
	field := ui.Field{Name: "name", Label: "Nome", Help: "Como o cliente o vê", Value: `Pro "A" <b>`, Error: "Já existe"}
	choice := ui.Field{Name: "overage", Label: "Acima da franquia", Value: "charge", Options: []ui.Option{
		{Value: "block", Label: "Bloquear", Text: "Recusa"}, {Value: "charge", Label: "Cobrar", Checked: true},
	}}
	lead := ui.LinkButton(ui.ButtonModel{Label: "Novo plano", Icon: "plus", Kind: ui.Primary, Href: "/plans/new"})
	return within(layout.Page(layout.Model{
		Printer: p, Title: "Planos", Active: "plans", CSRF: "token-1", Theme: "dark", Path: "/plans?q=a",
		User:   layout.User{Name: "Ana Souza", Email: "ana@example.com", RoleLabel: "Gestora"},
		Banner: &layout.Banner{Tone: ui.Warn, Text: "Simulador", Link: &ui.Link{Label: "Configurar", Href: "/providers"}},
		Flash:  &layout.Flash{Tone: ui.OK, Text: "Plano salvo"},
	}),
		ui.PageHeader(ui.HeaderModel{Crumbs: []ui.Link{{Label: "Negócio", Href: "/"}}, Title: "Planos", Lead: "O que se vende", Status: ui.StatusDot(ui.OK, "Publicado"), Action: lead}),
		within(ui.StatGrid(), ui.StatCard(ui.StatModel{Label: "Receita", Value: p.Money(2_350_000_000, "BRL"), Trend: "+12%", Up: true, Tone: ui.OK, Note: "no mês", Href: "/invoices", Bar: &ui.QuotaModel{Used: 1, Limit: 2}})),
		ui.ChartCard(p, ui.ChartModel{ID: "day", Title: "Tokens por dia", Unit: ui.Day, Live: "/live", Data: ui.Tokens{Labels: []time.Time{now}, Input: []int64{1_234_567}, Output: []int64{1000}, Limit: &limit}}),
		ui.QuotaBar(p, ui.QuotaModel{Label: "Tokens de entrada", Used: 1_234_567, Limit: 3_000_000}),
		ui.QuotaCell(p, ui.QuotaModel{Label: "Saída", Used: 5, Limit: 0}),
		within(ui.DataTable(p, plans("q=a&sort=price&dir=desc&page=2&status=draft")), within(ui.TableRegion(p, plans("q=a&sort=price&dir=desc&page=2&status=draft")),
			ui.RowMenu(p, "menu-1", "Pro", []ui.MenuItem{{Label: "Editar", Href: "/plans/1"}, {Label: "Copiar", Post: "/plans/1/copy", CSRF: "token-1"}, {Label: "Arquivar", Opens: "archive-1", Danger: true}}))),
		within(ui.Card(ui.CardModel{Title: "Formulário", Lead: "Tudo", Action: lead}), within(ui.Form(ui.FormModel{Action: "/plans", CSRF: "token-1", Error: "Confira"}),
			ui.TextField(p, field), ui.EmailField(p, field), ui.PasswordField(p, field), ui.MoneyField(p, field), ui.IntegerField(p, field), ui.TextArea(p, field), ui.DateTimeField(p, field),
			ui.SelectField(p, choice), ui.Checkbox(p, choice), ui.CheckboxGroup(p, choice), ui.RadioCards(p, choice), ui.FormActions(p, "Salvar", "/plans"))),
		ui.Tabs("Seções", []ui.Tab{{Label: "Resumo", Href: "/a", Active: true}, {Label: "Chaves", Href: "/b"}}),
		ui.Alert(ui.Bad, "Limite atingido"), ui.Badge(ui.Info, "v3"), ui.EmptyState(plans("").Empty),
		ui.Facts([]ui.Fact{{Label: "Criado", Value: ui.Ago(p, now.Add(-3*time.Minute), now)}, {Label: "Código", Text: "pro"}}),
		ui.CompactNumber(p, 1_234_567), ui.Number(p, 1_234_567), ui.Ago(p, time.Time{}, now),
		ui.ConfirmDialog(p, ui.ConfirmModel{ID: "archive-1", Title: "Arquivar?", Lost: []string{"12 assinaturas"}, Submit: "Arquivar", Action: "/plans/1/archive", CSRF: "token-1", Danger: true, TypeName: "Pro"}),
		ui.SecretBox(p, ui.SecretModel{Title: "Chave criada", Secret: "fia_live_abc", Done: "Já guardei", Href: "/keys"}),
		ui.Button(ui.ButtonModel{Label: "Arquivar", Kind: ui.Danger, Opens: "archive-1"}),
	)
}

func TestEveryComponentSpeaksBothLanguages(t *testing.T) {
	want := map[i18n.Lang][]string{
		i18n.PtBR: {`<html lang="pt-BR"`, "R$\u00a02.350,00", "1,2\u00a0mi de 3\u00a0mi", "1.234.567 de 3.000.000 tokens", "há 3\u00a0min", "Tokens de entrada", "Visão geral", "51–100 de 120", "Para confirmar, digite “Pro”"},
		i18n.En:   {`<html lang="en"`, "R$\u00a02,350.00", "1.2M of 3M", "1,234,567 of 3,000,000 tokens", "3\u00a0min ago", "Input tokens", "Overview", "51–100 of 120", "To confirm, type “Pro”"},
	}
	for lang, parts := range want {
		page := draw(t, sink(printer(t, lang)))
		for _, part := range parts {
			if !strings.Contains(page, part) {
				t.Errorf("%s: the page lacks %q", lang, part)
			}
		}
	}
}

// The policy that pages are sent with forbids all of these, so they would silently do nothing.
func TestPagesHaveNothingInline(t *testing.T) {
	page := draw(t, sink(printer(t, i18n.PtBR)))
	for _, forbidden := range []string{" style=", " onclick=", " onchange=", " onsubmit=", " hx-on", "javascript:", "<style", "https://", "http://"} {
		if i := strings.Index(page, forbidden); i >= 0 {
			t.Errorf("%q in …%s…", forbidden, page[max(0, i-60):min(len(page), i+60)])
		}
	}
	for script := range strings.SplitSeq(page, "<script") {
		tag, body, _ := strings.Cut(script, ">")
		code, _, closed := strings.Cut(body, "</script>")
		if closed && code != "" && !strings.Contains(tag, `type="application/json"`) {
			t.Errorf("inline script: %.60s", code)
		}
	}
}

func TestTypedTextIsKeptAndEscaped(t *testing.T) {
	html := draw(t, ui.TextField(printer(t, i18n.PtBR), ui.Field{Name: "name", Label: "Nome", Value: `"><script>`, Error: "Ruim", Help: "Ajuda"}))
	for _, part := range []string{`value="&#34;&gt;&lt;script&gt;"`, `aria-invalid="true"`, `aria-describedby="f-name-error f-name-help"`, `id="f-name-error"`, `for="f-name"`, " required"} {
		if !strings.Contains(html, part) {
			t.Errorf("the field lacks %s: %s", part, html)
		}
	}
}

func TestAPasswordIsNeverSentBack(t *testing.T) {
	html := draw(t, ui.PasswordField(printer(t, i18n.PtBR), ui.Field{Name: "password", Value: "s3cret"}))
	if strings.Contains(html, "s3cret") {
		t.Error("the value of a password field is in the page")
	}
}

func TestAQuotaIsCalledFullOnlyWhenItIs(t *testing.T) {
	p := printer(t, i18n.PtBR)
	cases := []struct {
		name        string
		used, limit int64
		word        string
	}{
		{"one below near", 799, 1000, ""},
		{"near", 800, 1000, "Perto do limite"},
		{"one token left", 999_999_999, 1_000_000_000, "Perto do limite"},
		{"full", 1000, 1000, "Limite atingido"},
		{"overrun", 1500, 1000, "Limite atingido"},
		{"too large to multiply", math.MaxInt64 - 1, math.MaxInt64, "Perto do limite"},
		{"no limit", 5000, 0, ""},
	}
	for _, c := range cases {
		html := draw(t, ui.QuotaBar(p, ui.QuotaModel{Label: "Tokens", Used: c.used, Limit: c.limit}))
		for _, word := range []string{"Perto do limite", "Limite atingido"} {
			if got := strings.Contains(html, word); got != (word == c.word) {
				t.Errorf("%s: shows %q: %v", c.name, word, got)
			}
		}
	}
}

func TestNavigationMarksWhereWeAre(t *testing.T) {
	page := draw(t, sink(printer(t, i18n.PtBR)))
	if n := strings.Count(page, `aria-current="page"`); n != 1 {
		t.Errorf("%d items are marked as the page", n)
	}
	if !strings.Contains(page, `<a href="/plans" class="nav-item active" aria-current="page">`) {
		t.Error("the plans item is not marked")
	}
}

var iconName = regexp.MustCompile(`Icon(?:\(|:\s*)"([a-z0-9-]+)"`)

// An unknown name draws nothing, so only a test notices it.
func TestEveryIconNamedInTheSourcesIsDrawn(t *testing.T) {
	if page := draw(t, sink(printer(t, i18n.PtBR))); strings.Contains(page, `d=""`) {
		t.Error("the page has an icon without a drawing")
	}
	names := map[string]string{}
	for _, root := range []string{"..", "../../handlers"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_templ.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range iconName.FindAllStringSubmatch(string(text), -1) {
				names[m[1]] = path
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(names) < 5 {
		t.Fatalf("found only the icons %v: the scan is broken", names)
	}
	for name, path := range names {
		if strings.Contains(draw(t, ui.Icon(name)), `d=""`) {
			t.Errorf("%s: no icon is called %q", path, name)
		}
	}
}

func TestAChartCarriesItsFiguresTwice(t *testing.T) {
	p := printer(t, i18n.PtBR)
	html := draw(t, ui.ChartCard(p, ui.ChartModel{ID: "day", Title: "Tokens por dia", Unit: ui.Day, Data: ui.Tokens{
		Labels: []time.Time{time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)}, Input: []int64{1_234_567}, Output: []int64{1000},
	}}))
	for _, part := range []string{
		`<script id="day-data" type="application/json">{"labels":["2026-03-01T02:30:00Z"],"input":[1234567],"output":[1000],"limit":null}`,
		`data-zone="America/Sao_Paulo"`, "<td>28/02/2026</td>", `<td class="num">1.234.567</td>`, `<td class="num">1.235.567</td>`,
	} {
		if !strings.Contains(html, part) {
			t.Errorf("the chart lacks %s", part)
		}
	}
	if strings.Contains(html, "data-live") {
		t.Error("a chart without a stream asks for one")
	}
	if empty := draw(t, ui.ChartCard(p, ui.ChartModel{ID: "none"})); !strings.Contains(empty, `{"labels":[],"input":[],"output":[],"limit":null}`) {
		t.Error("an empty chart does not send empty lists")
	}
}
