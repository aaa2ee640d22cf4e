package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func (p *people) open(t *testing.T, u tenancy.User, token string) tenancy.SessionID {
	t.Helper()
	id := tenancy.SessionID(sha256.Sum256([]byte(token)))
	if err := p.OpenSession(context.Background(), tenancy.SessionDraft{ID: id, UserID: u.ID, PasswordHash: "hash", Address: "10.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *people) isOpen(t *testing.T, id tenancy.SessionID) bool {
	t.Helper()
	_, err := p.Session(context.Background(), id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestWaitsGrowFromTheFifthFailureToFifteenMinutes(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	try := func() time.Time {
		wait, err := p.BeginSignIn(ctx, "Ana@x.com", "10.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	for n := range 5 {
		if wait := try(); !wait.IsZero() {
			t.Fatalf("try %d has to wait until %v", n+1, wait)
		}
	}
	for _, minutes := range []int{1, 2, 4, 8, 15, 15, 15} {
		until := p.time().Add(time.Duration(minutes) * time.Minute)
		for range 3 { // refused tries make the wait no longer
			if wait := try(); !wait.Equal(until) {
				t.Fatalf("waits until %v, want %v", wait, until)
			}
			p.pass(time.Second)
		}
		p.pass(until.Sub(p.time()))
		if wait := try(); !wait.IsZero() {
			t.Fatalf("after %d minutes it still waits until %v", minutes, wait)
		}
	}
}

func TestASuccessForgivesTheAccountAndTheAddressOnlyItsOwnTry(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	begin := func(email, address string) bool {
		wait, err := p.BeginSignIn(ctx, email, address)
		if err != nil {
			t.Fatal(err)
		}
		return wait.IsZero()
	}
	for range 4 {
		begin("ana@x.com", "10.0.0.1")
	}
	if !begin("bia@x.com", "10.0.0.1") { // the address's fifth
		t.Fatal("too early")
	}
	if err := p.SignInSucceeded(ctx, "bia@x.com", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if n := p.count(t, `SELECT failures FROM sign_in_failures WHERE subject = 'address:10.0.0.1'`); n != 4 {
		t.Errorf("the address has %d failures, want 4", n)
	}
	if n := p.count(t, `SELECT count(*) FROM sign_in_failures WHERE subject = 'account:bia@x.com'`); n != 0 {
		t.Error("the account's failures stayed")
	}
	if !begin("eva@x.com", "10.0.0.1") || begin("leo@x.com", "10.0.0.1") {
		t.Error("the address waits at the wrong try")
	}
	if n := p.count(t, `SELECT count(*) FROM sign_in_failures WHERE subject = 'account:leo@x.com'`); n != 0 {
		t.Error("a try that the address refused counts against the account")
	}
	if !begin("leo@x.com", "10.0.0.2") {
		t.Error("another address waits too")
	}
}

func TestFailuresAreForgottenAfterAnHour(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	for range 5 {
		if _, err := p.BeginSignIn(ctx, "ana@x.com", "10.0.0.1"); err != nil {
			t.Fatal(err)
		}
	}
	p.pass(time.Hour + time.Second)
	for range 5 {
		if wait, err := p.BeginSignIn(ctx, "ana@x.com", "10.0.0.1"); err != nil || !wait.IsZero() {
			t.Fatal(wait, err)
		}
	}
}

func TestTriesAtTheSameTimeCannotAllPass(t *testing.T) {
	p := openPeople(t)
	var passed atomic.Int32
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			wait, err := p.BeginSignIn(context.Background(), "ana@x.com", fmt.Sprint("10.0.0.", i))
			if err != nil {
				t.Error(err)
			}
			if wait.IsZero() {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 5 {
		t.Errorf("%d of 40 passed, want 5", n)
	}
}

func TestASessionIsWrittenOnceAMinuteAndSlidesToItsEnd(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	id := p.open(t, p.add(t, tenancy.Owner, "ana"), "token")
	opened := p.time()
	read := func() tenancy.Session {
		if _, err := p.Session(ctx, id); err != nil {
			t.Fatal(err)
		}
		s, err := p.Session(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	p.pass(59 * time.Second)
	if s := read(); !s.SeenAt.Equal(opened) || !s.ExpiresAt.Equal(opened.Add(12*time.Hour)) {
		t.Errorf("written within the minute: %v, %v", s.SeenAt, s.ExpiresAt)
	}
	p.pass(time.Second)
	if s := read(); !s.SeenAt.Equal(p.time()) || !s.ExpiresAt.Equal(p.time().Add(12*time.Hour)) {
		t.Errorf("not written after a minute: %v, %v", s.SeenAt, s.ExpiresAt)
	}
	for p.time().Before(opened.Add(tenancy.SessionLife - 12*time.Hour)) {
		p.pass(11 * time.Hour)
		read()
	}
	if s := read(); !s.ExpiresAt.Equal(opened.Add(tenancy.SessionLife)) {
		t.Errorf("ends at %v, want %v", s.ExpiresAt, opened.Add(tenancy.SessionLife))
	}
	p.pass(opened.Add(tenancy.SessionLife).Sub(p.time()))
	if p.isOpen(t, id) {
		t.Error("open after thirty days")
	}
}

func TestASessionOpensForThePasswordThatWasCheckedOnly(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	u, gone := p.add(t, tenancy.Owner, "ana"), p.add(t, tenancy.Viewer, "leo")
	if err := p.SetPassword(ctx, u.ID, "new", tenancy.SessionID{}); err != nil {
		t.Fatal(err)
	}
	if err := p.DisableUser(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]tenancy.SessionDraft{
		"changed meanwhile": {ID: tenancy.SessionID{1}, UserID: u.ID, PasswordHash: "hash"},
		"disabled":          {ID: tenancy.SessionID{2}, UserID: gone.ID, PasswordHash: "hash"},
		"never there":       {ID: tenancy.SessionID{3}, UserID: 99, PasswordHash: "hash"},
	} {
		if err := p.OpenSession(ctx, d); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := p.count(t, `SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions opened", n)
	}
}

func TestDisablingAndNewPasswordsEndSessions(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	p.add(t, tenancy.Owner, "dona")
	u, other := p.add(t, tenancy.Manager, "ana"), p.add(t, tenancy.Viewer, "leo")
	here, there, others := p.open(t, u, "here"), p.open(t, u, "there"), p.open(t, other, "other")
	if err := p.SetPassword(ctx, u.ID, "hash", here); err != nil {
		t.Fatal(err)
	}
	if !p.isOpen(t, here) || p.isOpen(t, there) || !p.isOpen(t, others) {
		t.Error("a new password ended the wrong sessions")
	}
	if err := p.DisableUser(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if p.isOpen(t, here) || !p.isOpen(t, others) {
		t.Error("disabling ended the wrong sessions")
	}
}

func TestSweepingTakesWhatIsOverOnly(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	u := p.add(t, tenancy.Owner, "ana")
	p.open(t, u, "old")
	if _, err := p.BeginSignIn(ctx, "old@x.com", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	p.pass(tenancy.SessionIdle)
	fresh := p.open(t, u, "fresh")
	if _, err := p.BeginSignIn(ctx, "new@x.com", "10.0.0.2"); err != nil {
		t.Fatal(err)
	}
	if n, err := p.SweepSessions(ctx); n != 3 || err != nil { // a session, an account, an address
		t.Errorf("%d swept: %v", n, err)
	}
	if !p.isOpen(t, fresh) || p.count(t, `SELECT count(*) FROM sign_in_failures`) != 2 {
		t.Error("something in use was swept")
	}
}

func TestTheDatabaseHoldsNoTokenThatOpensAnything(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	setup, err := p.IssueSetupToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.count(t, `SELECT count(*) FROM settings WHERE value::text LIKE '%' || $1 || '%'`, setup); n != 0 {
		t.Error("the set-up token is kept")
	}
	id := p.open(t, p.add(t, tenancy.Owner, "ana"), "the cookie's token")
	if again := tenancy.SessionID(sha256.Sum256(id[:])); p.isOpen(t, again) {
		t.Error("the hash opens a session")
	}
}

func TestTenSetupLinksAreGoodAtATime(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	var tokens []string
	for range setupLinks + 1 {
		token, err := p.IssueSetupToken(ctx)
		if err != nil || token == "" {
			t.Fatal(token, err)
		}
		tokens = append(tokens, token)
	}
	if err := p.SetupOpen(ctx, tokens[0]); !fault.Is(err, fault.NotFound) {
		t.Errorf("the eleventh oldest: %v", err)
	}
	for _, token := range tokens[1:] {
		if err := p.SetupOpen(ctx, token); err != nil {
			t.Error(err)
		}
	}
}
