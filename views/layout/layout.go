// Package layout is the frame around every page: the panel's and the portal's navigation, and the bare one of sign-in,
// set-up and errors.
package layout

import (
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/ui"
)

// ContentSecurityPolicy is the header the pages are written for: nothing inline, nothing from elsewhere. The data:
// images are Tabler's arrows and ticks; the only frames are previews of e-mails.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Model is what a frame needs to know, the same for every page.
type Model struct {
	Printer i18n.Printer
	Title   string // of the page, without the product's name
	Active  string // key of the navigation's item: see PanelNav and PortalNav
	User    User
	CSRF    string
	Theme   string // light, dark or auto; "" is auto
	Path    string // where we are, with query: the preferences form leads back here
	Banner  *Banner
	Flash   *Flash
	Bell    *Bell                    // nil: none is shown
	Asset   func(name string) string // address of a static file: static.URL
}

// User is the person signed in.
type User struct {
	Name, Email string
	RoleLabel   string // translated: "Proprietário"
	Tenant      string // the customer's name, in the portal
	Owner       bool   // sees the pages that only owners have
}

// Banner stands above every page while something about the whole installation should be known.
type Banner struct {
	Tone ui.Tone
	Text string
	Link *ui.Link // what to do about it, optional
}

// Flash tells once how the last act went.
type Flash struct {
	Tone ui.Tone
	Text string
}

// Bell leads to what this person was told and has not seen yet.
type Bell struct {
	Unseen int
	Href   string // of the history
}

// Group is a headed part of the navigation.
type Group struct {
	Label string
	Items []Item
}

// Item is one place to go. Key is what Model.Active names.
type Item struct {
	Key, Label, Href, Icon string
}

// PanelNav is the panel's navigation: what would lead this user nowhere is left out.
func PanelNav(p i18n.Printer, u User) []Group {
	groups := []Group{
		{Items: []Item{{"overview", p.T("nav.overview"), "/", "layout-dashboard"}}},
		{Label: p.T("nav.group.business"), Items: []Item{
			{"plans", p.T("nav.plans"), "/plans", "stack-2"},
			{"tenants", p.T("nav.tenants"), "/tenants", "building"},
			{"refusals", p.T("refusals.title"), "/refusals", "alert-circle"},
			{"alerts", p.T("nav.alerts"), "/alerts", "bell"},
		}},
		{Label: p.T("nav.group.platform"), Items: []Item{
			{"keys", p.T("nav.keys"), "/keys", "key"},
			{"providers", p.T("providers.title"), "/providers", "server"},
			{"models", p.T("models.title"), "/models", "cpu"},
			{"operations", p.T("operations.title"), "/operations", "activity"},
			{"cache", p.T("cache.title"), "/cache", "bolt"},
		}},
	}
	if u.Owner {
		groups = append(groups, Group{Label: p.T("nav.group.admin"), Items: []Item{
			{"users", p.T("nav.users"), "/users", "users"},
			{"mail", p.T("nav.mail"), "/settings/mail", "mail"},
		}})
	}
	return groups
}

// PortalNav is the customers' navigation.
func PortalNav(p i18n.Printer) []Group {
	return []Group{{Items: []Item{
		{"overview", p.T("nav.overview"), "/portal", "layout-dashboard"},
		{"keys", p.T("nav.keys"), "/portal/keys", "key"},
		{"refusals", p.T("refusals.title"), "/portal/refusals", "alert-circle"},
		{"alerts", p.T("nav.alerts"), "/portal/alerts", "bell"},
	}}}
}

// htmxConfig fits htmx to the policy above and to our answers: a refused form (422) is shown, and a page gone back to
// is asked for again, so that no figures of one person are kept for the next.
const htmxConfig = `{"allowEval":false,"includeIndicatorStyles":false,"historyCacheSize":0,"refreshOnHistoryMiss":true,` +
	`"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"422","swap":true},` +
	`{"code":"[45]..","swap":false,"error":true}]}`

func (m Model) asset(name string) string {
	if m.Asset == nil {
		return "/static/0/" + name
	}
	return m.Asset(name)
}

func (m Model) theme() string {
	if m.Theme == "light" || m.Theme == "dark" {
		return m.Theme
	}
	return "auto"
}

// drawnTheme is what stands until theme.js has asked the system.
func (m Model) drawnTheme() string {
	if m.Theme == "dark" {
		return "dark"
	}
	return "light"
}

func (m Model) path() templ.Attributes {
	next := m.Path
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") { // never lead to another site
		next = "/"
	}
	return templ.Attributes{"value": next}
}

// initials are at most two letters for the person's mark.
func (u User) initials() string {
	words := strings.Fields(u.Name)
	if len(words) == 0 {
		words = []string{u.Email}
	}
	first, _ := utf8.DecodeRuneInString(words[0])
	text := string(first)
	if len(words) > 1 {
		last, _ := utf8.DecodeRuneInString(words[len(words)-1])
		text += string(last)
	}
	return strings.ToUpper(text)
}

func (u User) called() string {
	if u.Name != "" {
		return u.Name
	}
	return u.Email
}

type choice struct{ value, label, icon string }

func themes(p i18n.Printer) []choice {
	return []choice{
		{"light", p.T("nav.theme.light"), "sun"},
		{"dark", p.T("nav.theme.dark"), "moon"},
		{"auto", p.T("nav.theme.auto"), "device-desktop"},
	}
}

func languages() []choice {
	return []choice{{string(i18n.PtBR), "Português", ""}, {string(i18n.En), "English", ""}}
}
