package handlers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// patience bounds waiting for what must come; it only matters when it does not.
const patience = time.Minute

// subscriber is a tenant with a key that has called.
type subscriber struct {
	s      *site
	tenant tenancy.Tenant
	key    tenancy.Key
	caller *tenancy.Caller
}

// subscriber makes a tenant on a plan of 1,000 input and 1,000 output tokens.
func (s *site) subscriber(t *testing.T, name string, overage tenancy.Overage) *subscriber {
	t.Helper()
	ctx := context.Background()
	terms := tenancy.Terms{Price: money.Unit, InputTokens: 1000, OutputTokens: 1000, Overage: overage}
	if overage == tenancy.Charge {
		terms.OveragePrice = 100
	}
	c := &subscriber{s: s}
	plan, err := s.store.CreatePlan(ctx, tenancy.PlanDraft{Slug: tenancy.Slugify(name), Name: "Plano de " + name, Terms: terms}, true)
	must(t, err)
	c.tenant, err = s.store.CreateTenant(ctx, tenancy.TenantDraft{Name: name, TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: plan.ID})
	must(t, err)
	var secret tenancy.Secret
	c.key, secret, err = s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: c.tenant.ID, Name: "chave de " + name})
	must(t, err)
	c.caller, err = s.store.CallerByHash(ctx, secret.Hash())
	must(t, err)
	return c
}

// person signs in someone who belongs to the customer.
func (c *subscriber) person(t *testing.T, role tenancy.Role) *browser {
	t.Helper()
	hash, err := c.s.Passwords.Hash(context.Background(), goodPassword)
	must(t, err)
	u, err := c.s.store.CreateUser(context.Background(), tenancy.UserDraft{
		Name: "Gente", Email: fmt.Sprintf("%s-%d@cliente.example", role, c.tenant.ID), Role: role, TenantID: c.tenant.ID,
	}, hash)
	must(t, err)
	return c.s.signedIn(t, u)
}

// calls records calls of so many tokens each, and tells the panel.
func (c *subscriber) calls(t *testing.T, n int, in, out int64) {
	t.Helper()
	events := make([]usage.Event, n)
	for i := range events {
		events[i] = usage.Event{
			ID: uuid.Must(uuid.NewV7()), CreatedAt: c.s.Now(), TenantID: c.tenant.ID, KeyID: c.key.ID, PeriodID: c.caller.PeriodID,
			Model: "gpt-4.1-nano", Endpoint: "chat.completions", HTTPStatus: 200, Tokens: usage.Tokens{Input: in, Output: out},
			CostUSD: 4_321_000, LatencyMS: 640, RequestID: "req_of_" + c.tenant.Name,
		}
	}
	must(t, c.s.store.UsageCommitter("test", func(store.Committed) {}).CommitUsage(context.Background(), events))
	c.s.Notify()
}

// listening serves the site on a real connection, since a stream only ends with one, and runs what keeps pages live.
func (s *site) listening(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	running := make(chan error, 2)
	go func() { running <- s.Run(ctx) }()
	go func() { running <- s.app.Listener(listener) }()
	t.Cleanup(func() {
		cancel()
		if err := s.app.ShutdownWithTimeout(patience); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-running; err != nil {
				t.Error(err)
			}
		}
	})
	return listener.Addr().String()
}

// stream is an open page's connection.
type openStream struct {
	t      *testing.T
	events chan part
	close  func()
}

// stream opens a live address as an EventSource would.
func (b *browser) stream(address, path string) *openStream {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	must(b.t, err)
	r.Host = b.base.Host
	r.Header.Set("Accept", "text/event-stream")
	for _, c := range b.jar.Cookies(b.base) {
		r.AddCookie(c)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	must(b.t, err)
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/event-stream") {
		response.Body.Close()
		b.t.Fatalf("%s answers %d, %s", path, response.StatusCode, got)
	}
	s := &openStream{t: b.t, events: make(chan part, 1000), close: func() { response.Body.Close() }}
	b.t.Cleanup(s.close)
	go s.read(response.Body)
	return s
}

func (s *openStream) read(body io.Reader) {
	defer close(s.events)
	var p part
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case lines.Text() == "" && p.name != "":
			s.events <- p
			p = part{}
		case field == "event":
			p.name = value
		case field == "data":
			p.text += value + "\n"
		}
	}
}

// until waits for an event of the name whose text has all of want, and returns all that came.
func (s *openStream) until(name string, want ...string) (seen []part) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case <-deadline:
			s.t.Fatalf("no event %s with %q came; there were %v", name, want, seen)
		case p, open := <-s.events:
			if !open {
				s.t.Fatalf("the stream ended before an event %s with %q; there were %v", name, want, seen)
			}
			seen = append(seen, p)
			if p.name == name && hasAll(p.text, want) {
				return seen
			}
		}
	}
}

func hasAll(text string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// ended waits for the end of the stream and returns the names of the last events.
func (s *openStream) ended() (names []string) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case <-deadline:
			s.t.Fatal("the stream goes on")
		case p, open := <-s.events:
			if !open {
				return names
			}
			names = append(names, p.name)
		}
	}
}

func TestANewCallShowsOnOpenPages(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	other := s.subscriber(t, "Oficina", tenancy.Charge)
	other.calls(t, 1, 987_654, 11)
	address := s.listening(t)
	all := s.as(t, tenancy.Viewer).stream(address, "/live")
	one := s.as(t, tenancy.Manager).stream(address, fmt.Sprintf("/live?tenant=%d", c.tenant.ID))
	own := c.person(t, tenancy.TenantViewer).stream(address, "/portal/live")
	all.until("calls", "Oficina", "987.654")
	c.calls(t, 3, 123, 45)
	ranked := false
	for _, p := range all.until("calls", "Padaria", "123", "US$") {
		ranked = ranked || p.name == "top" && hasAll(p.text, []string{"Padaria", "Oficina"})
	}
	if !ranked {
		t.Error("the ranking did not move with the calls")
	}
	for _, seen := range [][]part{one.until("calls", "123"), own.until("calls", "123")} {
		for _, p := range seen {
			if strings.Contains(p.text, "Oficina") || strings.Contains(strings.ReplaceAll(p.text, ".", ""), "987654") {
				t.Errorf("another tenant's usage in %s: %s", p.name, p.text)
			}
		}
	}
	c.calls(t, 1, 500, 5)
	for _, p := range append(own.until("remaining", "131 "), own.until("calls", "500")...) { // 1000 - 3 × 123 - 500
		if strings.Contains(p.text, "US$") || strings.Contains(p.text, "4,32") {
			t.Errorf("provider cost on a customer's page: %s", p.text)
		}
	}
}

func TestTheChartMovesWithACall(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 1, 10, 1)
	address := s.listening(t)
	page := s.as(t, tenancy.Owner).stream(address, "/live")
	page.until("tokens", `"input":[`, `10]`)
	c.calls(t, 1, 7, 1)
	page.until("tokens", `17]`, `"limit":null`)
}

func TestAStreamEndsWhenItsSessionIsRevoked(t *testing.T) {
	s := newSite(t)
	s.subscriber(t, "Padaria", tenancy.Charge).calls(t, 1, 10, 1)
	b := s.as(t, tenancy.Owner)
	page := b.stream(s.listening(t), "/live")
	page.until("calls")
	must(t, s.store.RevokeSessions(context.Background(), b.user.ID, tenancy.SessionID{}))
	if names := page.ended(); len(names) == 0 || names[len(names)-1] != "signed-out" {
		t.Errorf("the last events were %v, want signed-out", names)
	}
}

func TestStreamsEndAtShutdown(t *testing.T) {
	s := newSite(t)
	s.subscriber(t, "Padaria", tenancy.Charge).calls(t, 1, 10, 1)
	page := s.as(t, tenancy.Owner).stream(s.listening(t), "/live")
	page.until("calls")
	s.Close()
	page.ended()
}

func TestAPageThatLeftFreesItsPlace(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 1, 10, 1)
	page := s.as(t, tenancy.Owner).stream(s.listening(t), "/live")
	page.until("calls")
	page.close()
	for deadline := time.Now().Add(patience); ; {
		s.hub.mu.Lock()
		viewers, feeds := s.hub.viewers, len(s.hub.feeds)
		s.hub.mu.Unlock()
		if viewers == 0 && feeds == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d viewers of %d scopes are left", viewers, feeds)
		}
		c.calls(t, 1, 10, 1) // what is written to a page that left fails
		time.Sleep(50 * time.Millisecond)
	}
}

func TestTheFirstCallTicksTheLastStep(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	page := b.stream(s.listening(t), "/live?view=steps")
	page.until("steps", text("dashboard.step.call.title"))
	c.calls(t, 1, 10, 1)
	page.until("steps", text("dashboard.steps.arrived"))
}

func TestStreamsAreForTheirOwnSide(t *testing.T) {
	s := newSite(t)
	s.browser(t).get("/live").leadsTo("/login?next=%2Flive")
	s.subscriber(t, "Padaria", tenancy.Charge).person(t, tenancy.TenantAdmin).get("/live").leadsTo("/portal")
	s.as(t, tenancy.Owner).get("/portal/live").leadsTo("/")
}
