package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// failing is a site with a page that fails the given way.
func failing(t *testing.T, err error) (*site, *browser) {
	t.Helper()
	s := newSite(t)
	s.app = fiber.New(fiber.Config{Immutable: true, ErrorHandler: s.Error})
	s.app.Use(s.observe, s.secureHeaders, s.identify, s.checkCSRF)
	s.app.Get("/fail/:secret", func(*fiber.Ctx) error { return err })
	s.app.Get("/panic", func(*fiber.Ctx) error { panic("boom") })
	return s, s.browser(t)
}

func TestEachKindOfFaultHasItsStatusAndItsText(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.Invalid: 422, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409, fault.Unavailable: 503,
	} {
		_, b := failing(t, fmt.Errorf("do it: %w", fault.New(kind, "users.error.last_owner").Because(errors.New("canary cause"))))
		b.get("/fail/x").status(want).has(text("users.error.last_owner")).lacks("canary")
	}
}

func TestAnUnknownErrorShowsItsRequestAndIsLoggedOnceWithItsCause(t *testing.T) {
	s, b := failing(t, errors.New("canary cause"))
	a := b.get("/fail/canary-path?token=canary-query").status(http.StatusInternalServerError)
	id := a.head.Get("X-Request-Id")
	a.has(text("problem.title.internal"), id).lacks("canary cause")
	log := s.log.all()
	if strings.Count(log, "canary cause") != 1 || strings.Contains(log, "canary-") {
		t.Fatalf("log:\n%s", log)
	}
	var line map[string]any
	must(t, json.Unmarshal([]byte(log), &line))
	if line["request_id"] != id || line["route"] != "/fail/:secret" || line["status"] != 500.0 || line["level"] != "ERROR" || line["method"] != "GET" {
		t.Errorf("log: %v", line)
	}
}

func TestAPanicIsAPageOfItsOwnAndTheServerGoesOn(t *testing.T) {
	s, b := failing(t, nil)
	b.get("/panic").status(http.StatusInternalServerError).has(text("problem.title.internal")).lacks("boom")
	if log := s.log.all(); !strings.Contains(log, "panic: boom") || !strings.Contains(log, "errors_test.go") {
		t.Errorf("log:\n%s", log)
	}
	b.get("/fail/x").status(http.StatusOK)
}

func TestScriptsGetTheFailureAsPlainText(t *testing.T) {
	_, b := failing(t, fault.New(fault.Conflict, "users.error.last_owner"))
	a := b.part("/fail/x").status(http.StatusConflict)
	if a.body != text("users.error.last_owner") || !strings.HasPrefix(a.head.Get("Content-Type"), "text/plain") {
		t.Errorf("%s: %q", a.head.Get("Content-Type"), a.body)
	}
}

func TestFailuresSpeakTheVisitorsLanguage(t *testing.T) {
	_, b := failing(t, fault.New(fault.NotFound, "problem.no_page"))
	b.header.Set("Accept-Language", "en-GB,en;q=0.9")
	b.get("/fail/x").has("Page not found", `<html lang="en"`)
	b.header.Set("Accept-Language", "fr")
	b.get("/fail/x").has("Página não encontrada")
}

func TestWhatFailsBeforeAnyRouteHasAPageToo(t *testing.T) {
	s := newSite(t)
	s.app = fiber.New(fiber.Config{Immutable: true, ErrorHandler: s.Error})
	s.app.Get("/", func(*fiber.Ctx) error { return fiber.ErrRequestEntityTooLarge })
	response, err := s.app.Test(httptest.NewRequest(http.MethodGet, "/", nil))
	must(t, err)
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestEveryPageForbidsFramesForeignScriptsAndCaches(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	for _, path := range []string{"/login", "/setup", "/account", "/users", "/nothing"} {
		h := b.get(path).head
		csp := h.Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, rule) {
				t.Errorf("%s: no %q in %q", path, rule, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" ||
			h.Get("Cache-Control") != "no-store" || h.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
	secure := newSiteAt(t, "https://panel.test").browser(t)
	if secure.get("/login").head.Get("Strict-Transport-Security") == "" {
		t.Error("https without Strict-Transport-Security")
	}
}

func TestHealthSaysThatTheProcessIsUpAndReadinessThatTheDatabaseAnswers(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.get("/healthz").status(http.StatusOK).has(`"status":"ok"`)
	b.get("/readyz").status(http.StatusOK).has(`"status":"ok"`)
	s.db.Close()
	b.get("/healthz").status(http.StatusOK)
	b.get("/readyz").status(http.StatusServiceUnavailable).has(`"status":"unavailable"`).lacks("sql")
	b.get("/login").status(http.StatusInternalServerError).has(text("problem.title.internal"))
}

func TestSimulationIsSaidOnEveryTeamPage(t *testing.T) {
	s := newSite(t)
	s.Simulated = true
	s.as(t, tenancy.Viewer).get("/account").has(text("problem.banner.simulated"))
	s.as(t, tenancy.TenantAdmin).get("/account").lacks(text("problem.banner.simulated"))
	s.browser(t).get("/login").lacks(text("problem.banner.simulated"))
}

func TestChangesArePutDownToThePersonSignedIn(t *testing.T) {
	s := newSite(t)
	var got tenancy.Actor
	s.app = fiber.New(fiber.Config{Immutable: true})
	s.app.Use(s.observe, s.identify)
	s.auth(s.app)
	s.app.Get("/who", func(c *fiber.Ctx) error { got = tenancy.ActorOf(c.UserContext()); return nil })
	b := s.as(t, tenancy.Manager)
	b.get("/who").status(http.StatusOK)
	if want := (tenancy.Actor{UserID: b.user.ID, Label: b.user.Email}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if a := tenancy.ActorOf(context.Background()); a.Label != "system" {
		t.Errorf("nobody is %v", a)
	}
}
