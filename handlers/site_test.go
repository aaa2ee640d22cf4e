package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
	"github.com/fila-ia/filaia/store/storetest"
)

// site is the whole browser side over a database of its own, with a clock that tests turn.
type site struct {
	*Panel
	app   *fiber.App
	store *store.Store
	db    *sqlx.DB
	log   *logBook
	clock *clock

	environment provided // of the provider that comes with the product
	running     *running // what the panel is told of this process
}

const (
	siteAddress  = "http://panel.test"
	goodPassword = "uma senha bem comprida"
)

// newSite wires every page family to a real store, as cmd does.
func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteAt(t, siteAddress)
}

func newSiteAt(t *testing.T, address string) *site {
	t.Helper()
	db := storetest.Open(t)
	s := &site{db: db, log: &logBook{}, clock: &clock{at: time.Now().UTC().Truncate(time.Microsecond)}, running: &running{}}
	s.store = store.New(db.DB, s.clock.now)
	zone, err := time.LoadLocation("America/Sao_Paulo")
	must(t, err)
	public, err := url.Parse(address)
	must(t, err)
	s.Panel = New(Deps{
		Secret: [32]byte{7}, PublicURL: public, Zone: zone, Log: slog.New(slog.NewJSONHandler(s.log, nil)), Now: s.clock.now,
		Passwords: tenancy.NewPasswords(), Ping: s.store,
		Sessions: s.store, SignIns: s.store, Setup: s.store, Accounts: s.store, Users: s.store,
		Plans: s.store, Tenants: s.store, Keys: s.store, Dashboard: s.store, Portal: s.store.Portal(), SpendCaps: s.store,
		Providers: s.store, Models: s.store, Rates: s.store, Breakers: s.store, CacheRules: s.store,
		Credentials: secret.New([32]byte{7}), Reach: s.reach, Operations: s.running, Replicas: s.store, Books: s.store, AlertRules: s.store,
		Alerts: s.store, OwnAlerts: s.store.Portal(), TenantAlerts: s.store,
	})
	s.app = fiber.New(fiber.Config{Immutable: true, DisableStartupMessage: true, ErrorHandler: s.Error})
	s.Register(s.app)
	return s
}

// user adds a person of the role; customers' people belong to a tenant made for them.
func (s *site) user(t *testing.T, role tenancy.Role) tenancy.User {
	t.Helper()
	ctx := context.Background()
	hash, err := s.Passwords.Hash(ctx, goodPassword)
	must(t, err)
	var count int
	must(t, s.db.Get(&count, `SELECT count(*) FROM users`))
	d := tenancy.UserDraft{Name: "Pessoa de Teste", Email: fmt.Sprintf("%s%d@empresa.com.br", role, count), Role: role}
	if role.OfTenant() {
		must(t, s.db.Get(&d.TenantID, `INSERT INTO tenants (name) VALUES ('Cliente de Teste') RETURNING id`))
	}
	u, err := s.store.CreateUser(ctx, d, hash)
	must(t, err)
	return u
}

// as signs a new person of the role in.
func (s *site) as(t *testing.T, role tenancy.Role) *browser {
	t.Helper()
	return s.signedIn(t, s.user(t, role))
}

func (s *site) signedIn(t *testing.T, u tenancy.User) *browser {
	t.Helper()
	b := s.browser(t)
	b.user = u
	b.get("/login")
	b.post("/login", url.Values{"email": {u.Email}, "password": {goodPassword}}).status(http.StatusSeeOther)
	b.get("/account") // for a form token of the session
	return b
}

// browser keeps cookies and the last form token, and does not follow redirects.
type browser struct {
	t      *testing.T
	site   *site
	user   tenancy.User
	jar    http.CookieJar
	base   *url.URL
	header http.Header // sent with every request
	token  string
}

func (s *site) browser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{t: t, site: s, jar: jar, base: s.PublicURL, header: http.Header{"Accept-Language": {"pt-BR"}}}
}

// answer is what came back, whole.
type answer struct {
	t    *testing.T
	code int
	head http.Header
	body string
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	return b.send(httptest.NewRequest(http.MethodGet, path, nil))
}

// part asks for what htmx would swap.
func (b *browser) part(path string) answer {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("HX-Request", "true")
	return b.send(r)
}

// post sends a form with the form token of the page seen last.
func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	filled := url.Values{csrfField: {b.token}} // a form may be posted by others, too
	maps.Copy(filled, form)
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(filled.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	r.Host = b.base.Host
	for name, values := range b.header {
		r.Header[name] = values
	}
	for _, c := range b.jar.Cookies(b.base) {
		r.AddCookie(c)
	}
	response, err := b.site.app.Test(r, -1)
	must(b.t, err)
	defer response.Body.Close()
	b.jar.SetCookies(b.base, response.Cookies())
	body, err := io.ReadAll(response.Body)
	must(b.t, err)
	if found := tokenField.FindSubmatch(body); found != nil {
		b.token = string(found[1])
	}
	return answer{b.t, response.StatusCode, response.Header, string(body)}
}

// cookie is the value that the browser holds, "" for none.
func (b *browser) cookie(name string) string {
	for _, c := range b.jar.Cookies(b.base) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (a answer) status(want int) answer {
	a.t.Helper()
	if a.code != want {
		a.t.Fatalf("status %d, want %d:\n%s", a.code, want, a.body)
	}
	return a
}

func (a answer) has(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Fatalf("%q is not in the page:\n%s", text, a.body)
		}
	}
	return a
}

func (a answer) lacks(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Fatalf("%q is in the page:\n%s", text, a.body)
		}
	}
	return a
}

func (a answer) leadsTo(path string) answer {
	a.t.Helper()
	a.status(http.StatusSeeOther)
	if got := a.head.Get("Location"); got != path {
		a.t.Fatalf("leads to %q, want %q", got, path)
	}
	return a
}

// text is a catalogue's text as a page shows it in Portuguese.
func text(key string, args ...any) string {
	return i18n.NewPrinter(i18n.PtBR, nil).T(key, args...)
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logBook keeps all that is logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
