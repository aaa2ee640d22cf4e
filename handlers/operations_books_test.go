package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// audited compares the books as cmd does.
func (s *site) audited(ctx context.Context) error {
	a, err := s.store.RunAudit(ctx, usage.AuditScope{})
	if err != nil {
		return err
	}
	return s.store.SaveAudit(ctx, a)
}

// await reads the page until it has a text.
func (b *browser) await(path, text string) answer {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		page := b.part(path).status(http.StatusOK)
		if strings.Contains(page.body, text) {
			return page
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%q does not appear:\n%s", text, page.body)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAnAuditIsMadeOnceHoweverOftenItIsAskedFor(t *testing.T) {
	s := newSite(t)
	var made atomic.Int32
	begin, fail := make(chan struct{}), atomic.Bool{}
	s.running.audit = func(ctx context.Context) error {
		made.Add(1)
		select {
		case <-begin:
		case <-ctx.Done():
			return ctx.Err()
		}
		if fail.Load() {
			return errors.New("pq: connection refused")
		}
		return s.audited(ctx)
	}
	s.listening(t)
	b := s.as(t, tenancy.Manager)
	b.get("/operations/books").has(text("operations.audit.none"), text("operations.audit.now"), `action="/operations/books/audit"`)
	for range 3 {
		b.post("/operations/books/audit", nil).leadsTo("/operations/books")
	}
	b.get("/operations/books").has(text("operations.audit.under_way"), `id="audit-now" class="btn" disabled`)
	begin <- struct{}{}
	// What it found is there a moment before it is over.
	b.await("/operations/books", text("operations.audit.now")).has(text("operations.audit.asked_by", "who", b.user.Email), text("operations.audit.agree"))
	if n := made.Load(); n != 1 {
		t.Errorf("%d audits were made", n)
	}
	b.get("/operations").has(text("operations.audit.agree"))

	fail.Store(true)
	b.post("/operations/books/audit", nil).leadsTo("/operations/books")
	begin <- struct{}{}
	b.await("/operations/books", "A conferência pedida não terminou").has(text("operations.audit.agree")).lacks("pq:")
	b.post("/operations/books/audit", nil).leadsTo("/operations/books")
	b.await("/operations/books", text("operations.audit.under_way")).lacks("A conferência pedida não terminou")
}

func TestOnlyThoseWhoMayEditHaveTheBooksAudited(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	b.get("/operations/books").status(http.StatusOK).lacks("/operations/books/audit", "/operations/books/retention")
	for _, path := range []string{"/operations/books/audit", "/operations/books/retention", "/operations/books/retention/preview"} {
		b.post(path, nil).status(http.StatusForbidden)
	}
	manager := s.as(t, tenancy.Manager)
	manager.post("/operations/books/audit", url.Values{csrfField: {"forged"}}).status(http.StatusForbidden)
	manager.get("/operations/books").lacks("/operations/books/retention")
	manager.post("/operations/books/retention", url.Values{"months": {"2"}}).status(http.StatusNotFound)
	if since, _ := s.audits.state(); !since.IsZero() {
		t.Error("an audit was asked for")
	}
	s.as(t, tenancy.TenantAdmin).get("/operations/books").leadsTo("/portal")
}

func TestDifferencesAreToldInWords(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 2, 600, 10)
	_, err := s.db.Exec(`UPDATE usage_hourly SET input_tokens = input_tokens + 4`)
	must(t, err)
	must(t, s.audited(context.Background()))
	b := s.as(t, tenancy.Viewer)
	b.get("/operations").has(text("operations.audit.alert", "n", 2), `href="/operations/books"`)
	page := b.get("/operations/books").status(http.StatusOK).has(
		text("operations.audit.differences", "n", 2), text("operations.audit.what_to_do"),
		text("operations.difference.events_hours", "expected", "1.200 tokens de entrada", "found", "1.204 tokens de entrada"),
		text("operations.difference.hours_used", "expected", "1.204 tokens de entrada", "found", "1.200 tokens de entrada"),
		fmt.Sprintf(`href="/tenants/%d"`, c.tenant.ID), "Padaria", "gpt-4.1-nano", ">+4<", ">-4<", text("operations.audit.hourly"))
	page.lacks("input_tokens", "events_hours")
	_, err = s.db.Exec(`UPDATE usage_hourly SET input_tokens = input_tokens - 4`)
	must(t, err)
	s.clock.pass(time.Minute)
	must(t, s.audited(context.Background()))
	b.get("/operations/books").has(text("operations.audit.agree"), text("operations.audit.earlier"), text("operations.audit.differences", "n", 2)).
		lacks(text("operations.audit.what_to_do"))
	b.get("/operations").lacks("A última conferência dos livros achou")
}

func TestTokensBeyondALimitAreListedWithTheirCause(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	b := s.as(t, tenancy.Viewer)
	b.get("/operations/books").has(text("operations.overruns_none"))
	for i, cause := range []usage.OverrunCause{usage.OverrunReported, usage.OverrunLate, usage.OverrunUnheld, usage.OverrunEarlier} {
		_, err := s.db.Exec(`INSERT INTO quota_overruns (at, period_id, tenant_id, replica, cause, tokens_in, tokens_out) VALUES (now(), $1, $2, 'replica-one', $3, $4, 7)`,
			c.caller.PeriodID, c.tenant.ID, cause, 1_000_000+i)
		must(t, err)
	}
	page := b.get("/operations/books").has(fmt.Sprintf(`href="/tenants/%d"`, c.tenant.ID), `title="1.000.003"`, text("operations.overrun.reported"),
		text("operations.overrun.late"), text("operations.overrun.unheld"), text("operations.overrun.earlier"))
	page.lacks(text("operations.overruns_none"))
}

func TestAnOwnerSaysForHowLongCallsAreKept(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	must(t, s.store.EnsurePartitions(ctx, s.Now().AddDate(0, -5, 0), s.Now()))
	b := s.as(t, tenancy.Owner)
	b.get("/operations/books").has(text("operations.kept.for_ever"), text("operations.kept.fate_never"), `name="months"`)
	const save, preview = "/operations/books/retention", "/operations/books/retention/preview"
	typed := func(months string) url.Values { return url.Values{"months": {months}} }
	for _, wrong := range []string{"1", "-3", "muitos", "", "99999999999"} {
		b.post(save, typed(wrong)).status(http.StatusUnprocessableEntity).has(`value="`+wrong+`"`, "field-error", text("operations.kept.fate_unknown"))
		b.post(preview, typed(wrong)).status(http.StatusOK).has(text("operations.kept.fate_unknown")).lacks("<html")
	}
	b.post(preview, typed("0")).has(text("operations.kept.fate_never"))
	told := b.post(preview, typed("3")).status(http.StatusOK)
	if r, err := s.store.Retention(ctx); err != nil || r.Months != 0 {
		t.Fatalf("a preview changed something: %+v %v", r, err)
	}
	b.post(save, typed("3")).leadsTo("/operations/books")
	b.get("/operations/books").has(text("operations.kept.for_months", "n", 3), text("operations.kept.saved"))
	due, err := s.store.DueMonths(ctx)
	must(t, err)
	newest := due[len(due)-1].Month
	told.has(text("operations.kept.fate_goes", "month", strings.ToLower(s.browserPrinter().Month(newest.Add(12*time.Hour)))))
	b.get("/operations/books").has(s.browserPrinter().Month(newest.Add(12 * time.Hour)))
	names, err := s.store.DetachMonths(ctx)
	must(t, err)
	b.get("/operations/books").has(text("operations.archived"), `title="`+names[0]+`"`, text("operations.archived.there"))
	must(t, s.store.DropMonth(ctx, names[0]))
	b.get("/operations/books").has("Apagado em")
}

func TestTheBooksReadInBothLanguages(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	a := usage.NewAudit(usage.AuditScope{Settled: true}, s.Now(), "system")
	figures := []string{"requests", "failures", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd_micros", "charge_brl_micros",
		"cache_lookups", "cache_hits", "served_input", "served_output", "saved_usd_micros", "caller_errors", "buckets", usage.FigureStart}
	tables := []string{"usage_hours", "usage_tenant_hours", "usage_tenant_days", "usage_key_days"}
	for i, figure := range figures {
		a.Differ(usage.Difference{Check: usage.AuditChecks()[i%10], Figure: figure, Expected: 1, Found: 2, Hour: s.Now(), Replica: "r", KeyID: 3, Table: tables[i%4]})
	}
	a.Note(usage.AuditNote{Kind: usage.NoteAbandoned, Replica: "r"})
	a.Note(usage.AuditNote{Kind: usage.NoteAbandoned, Replica: "r", SeenAt: s.Now()})
	a.Note(usage.AuditNote{Kind: usage.NoteDetached, Month: s.Now()})
	must(t, s.store.SaveAudit(context.Background(), a))
	for _, lang := range []string{"pt-BR", "en"} {
		_, err := s.db.Exec(`UPDATE users SET language = $1`, lang)
		must(t, err)
		page := b.get("/operations/books").has(`<html lang="` + lang + `"`)
		page.lacks(">operations.", " operations.", `"operations.`)
		for _, word := range append(append(figures, tables...), usage.AuditChecks()...) {
			if strings.Contains(page.body, word) && strings.Contains(word, "_") {
				t.Errorf("in %s the page shows %s", lang, word)
			}
		}
	}
}
