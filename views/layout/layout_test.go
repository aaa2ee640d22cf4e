package layout_test

import (
	"context"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

func draw(t *testing.T, frame func(layout.Model) templ.Component, m layout.Model) string {
	t.Helper()
	var b strings.Builder
	ctx := templ.WithChildren(context.Background(), templ.Raw(`<p>conteúdo</p>`))
	if err := frame(m).Render(ctx, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEveryFrameIsAWholePageAroundItsContent(t *testing.T) {
	frames := map[string]func(layout.Model) templ.Component{"panel": layout.Page, "portal": layout.Portal, "bare": layout.Bare}
	asset := func(name string) string { return "/static/abc/" + name }
	for name, frame := range frames {
		page := draw(t, frame, layout.Model{Title: "Título", Asset: asset, CSRF: "token-1"})
		for _, part := range []string{
			"<!doctype html>", `<html lang="pt-BR" data-bs-theme="light" data-theme-choice="auto">`, "<title>Título · FILA-IA</title>",
			"<p>conteúdo</p>", `href="#main"`, `<main id="main"`, `src="/static/abc/js/theme.js"`, `name="csrf" value="token-1"`, "</html>",
		} {
			if !strings.Contains(page, part) {
				t.Errorf("%s lacks %s", name, part)
			}
		}
	}
}

func TestFramesOfferWhatTheirPeopleMaySee(t *testing.T) {
	panel := draw(t, layout.Page, layout.Model{User: layout.User{Name: "Ana", Owner: true}})
	manager := draw(t, layout.Page, layout.Model{User: layout.User{Name: "Ana"}})
	portal := draw(t, layout.Portal, layout.Model{User: layout.User{Name: "Rui", Tenant: "Padaria"}})
	bare := draw(t, layout.Bare, layout.Model{})
	cases := []struct {
		name, page, part string
		want             bool
	}{
		{"owners see users", panel, `href="/users"`, true},
		{"managers do not", manager, `href="/users"`, false},
		{"managers see plans", manager, `href="/plans"`, true},
		{"customers see their keys", portal, `href="/portal/keys"`, true},
		{"customers see no plans", portal, `href="/plans"`, false},
		{"customers see their company", portal, "Padaria", true},
		{"nobody signed in signs out", bare, "/logout", false},
	}
	for _, c := range cases {
		if strings.Contains(c.page, c.part) != c.want {
			t.Errorf("%s: %q present is not %v", c.name, c.part, c.want)
		}
	}
}

func TestTheChosenThemeAndLanguageAreMarked(t *testing.T) {
	page := draw(t, layout.Page, layout.Model{Printer: i18n.NewPrinter(i18n.En, nil), Theme: "dark"})
	for _, part := range []string{
		`<html lang="en" data-bs-theme="dark" data-theme-choice="dark">`,
		`name="theme" value="dark" class="active" aria-pressed="true"`,
		`name="theme" value="auto" aria-pressed="false"`,
		`name="lang" value="en" class="active" aria-pressed="true"`,
	} {
		if !strings.Contains(strings.ReplaceAll(page, ` class=""`, ""), part) {
			t.Errorf("the page lacks %s", part)
		}
	}
}

func TestPreferencesLeadBackWithinTheSiteOnly(t *testing.T) {
	cases := map[string]string{"/plans?q=a&page=2": "/plans?q=a&amp;page=2", "": "/", "//evil.example": "/", "https://evil.example": "/"}
	for path, want := range cases {
		page := draw(t, layout.Page, layout.Model{Path: path})
		if !strings.Contains(page, `name="next" value="`+want+`"`) {
			t.Errorf("from %q the form does not lead to %q", path, want)
		}
	}
}

func TestBannerAndFlashAreShownAndEscaped(t *testing.T) {
	page := draw(t, layout.Page, layout.Model{
		Banner: &layout.Banner{Tone: ui.Warn, Text: "Simulador", Link: &ui.Link{Label: "Configurar", Href: "/providers"}},
		Flash:  &layout.Flash{Tone: ui.OK, Text: "<b>salvo</b>"},
	})
	for _, part := range []string{"Simulador", `<a href="/providers">Configurar</a>`, "&lt;b&gt;salvo&lt;/b&gt;", "data-toast"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
}

// A typing error here would make htmx fall back to eval and to caching pages.
func TestTheHtmxConfigurationIsJSON(t *testing.T) {
	page := draw(t, layout.Bare, layout.Model{})
	found := regexp.MustCompile(`name="htmx-config" content="([^"]*)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatal("the page has no htmx configuration")
	}
	var config struct {
		AllowEval        *bool `json:"allowEval"`
		HistoryCacheSize *int  `json:"historyCacheSize"`
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &config); err != nil {
		t.Fatal(err)
	}
	if config.AllowEval == nil || *config.AllowEval || config.HistoryCacheSize == nil || *config.HistoryCacheSize != 0 {
		t.Errorf("htmx may evaluate or keep pages: %s", found[1])
	}
}
