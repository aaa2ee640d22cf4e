package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// book is a Directory.
type book struct {
	mu      sync.Mutex
	callers map[[32]byte]*tenancy.Caller
	err     error
	asked   int
	during  func() // runs while a caller is looked up
}

func (b *book) CallerByHash(_ context.Context, hash [32]byte) (*tenancy.Caller, error) {
	b.mu.Lock()
	b.asked++
	caller, err, during := b.callers[hash], b.err, b.during
	b.mu.Unlock()
	if during != nil {
		during()
	}
	switch {
	case err != nil:
		return nil, err
	case caller == nil:
		return nil, fault.New(fault.NotFound, "keys.error.not_found")
	}
	return caller, nil
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

func openBook() (*book, *Callers, *clock, string) {
	secret := tenancy.NewSecret()
	c := &clock{at: time.Unix(1_800_000_000, 0)}
	b := &book{callers: map[[32]byte]*tenancy.Caller{secret.Hash(): {
		KeyID: 1, TenantID: 7, TenantStatus: tenancy.TenantActive, PeriodEndsAt: c.at.Add(24 * time.Hour),
	}}}
	return b, NewCallers(b, c.now), c, secret.Reveal()
}

func reason(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return Reason(fmt.Sprint(err))
}

func TestAKnownCallerCostsNoDatabase(t *testing.T) {
	b, callers, _, secret := openBook()
	for range 100 {
		if _, err := callers.Authenticate(context.Background(), secret); err != nil {
			t.Fatal(err)
		}
	}
	if b.asked != 1 {
		t.Fatalf("asked %d times", b.asked)
	}
}

func TestKeysAreRefusedForTheReasonThatHolds(t *testing.T) {
	b, callers, c, secret := openBook()
	expired, suspended := tenancy.NewSecret(), tenancy.NewSecret()
	b.callers[expired.Hash()] = &tenancy.Caller{TenantStatus: tenancy.TenantActive, ExpiresAt: c.at, PeriodEndsAt: c.at.Add(time.Hour)}
	b.callers[suspended.Hash()] = &tenancy.Caller{TenantStatus: tenancy.TenantSuspended, PeriodEndsAt: c.at.Add(time.Hour)}
	for name, want := range map[string]struct {
		secret string
		reason Reason
	}{
		"nothing":      {"", NoKey},
		"another kind": {"sk-proj-abc", UnknownKey},
		"unknown":      {tenancy.NewSecret().Reveal(), UnknownKey},
		"one letter":   {secret[:len(secret)-1] + "~", UnknownKey},
		"expired":      {expired.Reveal(), ExpiredKey},
		"suspended":    {suspended.Reveal(), TenantInactive},
	} {
		if _, err := callers.Authenticate(context.Background(), want.secret); reason(err) != want.reason {
			t.Errorf("%s: %v, want %s", name, err, want.reason)
		}
	}
}

func TestAKeyExpiresInTheMiddleOfItsTimeInMemory(t *testing.T) {
	b, callers, c, _ := openBook()
	secret := tenancy.NewSecret()
	b.callers[secret.Hash()] = &tenancy.Caller{TenantStatus: tenancy.TenantActive, ExpiresAt: c.at.Add(time.Second), PeriodEndsAt: c.at.Add(time.Hour)}
	if _, err := callers.Authenticate(context.Background(), secret.Reveal()); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Second)
	if _, err := callers.Authenticate(context.Background(), secret.Reveal()); reason(err) != ExpiredKey {
		t.Fatal(err)
	}
}

func TestARevokedKeyStopsWithTheNotification(t *testing.T) {
	b, callers, _, secret := openBook()
	_, _ = callers.Authenticate(context.Background(), secret)
	b.callers = nil
	callers.Forget(7)
	if _, err := callers.Authenticate(context.Background(), secret); reason(err) != UnknownKey {
		t.Fatal(err)
	}
}

func TestAChangeDuringALookUpIsNotForgotten(t *testing.T) {
	b, callers, _, secret := openBook()
	b.during = func() { // revoked after the row was read, before it is kept
		b.mu.Lock()
		b.callers, b.during = nil, nil
		b.mu.Unlock()
		callers.Forget(7)
	}
	_, _ = callers.Authenticate(context.Background(), secret)
	if _, err := callers.Authenticate(context.Background(), secret); reason(err) != UnknownKey {
		t.Fatal(err)
	}
}

func TestANewPeriodIsAskedForAtItsFirstInstant(t *testing.T) {
	b, callers, c, secret := openBook()
	_, _ = callers.Authenticate(context.Background(), secret)
	for hash, old := range b.callers {
		next := *old
		next.PeriodID, next.PeriodEndsAt = 2, old.PeriodEndsAt.AddDate(0, 1, 0)
		b.callers[hash] = &next
	}
	callers.Forget(0)
	_, _ = callers.Authenticate(context.Background(), secret)
	c.pass(24 * time.Hour)
	caller, err := callers.Authenticate(context.Background(), secret)
	if err != nil || caller.PeriodID != 2 {
		t.Fatalf("%+v %v", caller, err)
	}
}

func TestCallersGoOnWhileTheDatabaseIsAway(t *testing.T) {
	b, callers, c, secret := openBook()
	_, _ = callers.Authenticate(context.Background(), secret)
	b.err = errors.New("connection refused")
	callers.Forget(0) // as when the notifications are lost
	for range 50 {
		if _, err := callers.Authenticate(context.Background(), secret); err != nil {
			t.Fatal(err)
		}
	}
	if b.asked > 2 {
		t.Fatalf("asked %d times while away", b.asked)
	}
	if _, err := callers.Authenticate(context.Background(), tenancy.NewSecret().Reveal()); reason(err) != DatabaseAway {
		t.Fatalf("an unknown key while away: %v", err)
	}
	c.pass(24 * time.Hour)
	if _, err := callers.Authenticate(context.Background(), secret); reason(err) != DatabaseAway {
		t.Fatalf("the new period's quota is not known: %v", err)
	}
}

// TestCallersGoOnWhileTheDatabaseSaysNothing is about a database that is reached and does not answer: a driver then
// waits whatever its context says.
func TestCallersGoOnWhileTheDatabaseSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, callers, _, secret := openBook()
		_, _ = callers.Authenticate(context.Background(), secret)
		thawed := make(chan struct{})
		b.during = func() { <-thawed }
		callers.Forget(0)
		for range 50 {
			start := time.Now()
			if _, err := callers.Authenticate(context.Background(), secret); err != nil || time.Since(start) > time.Second {
				t.Fatalf("after %s: %v", time.Since(start), err)
			}
		}
		start := time.Now()
		if _, err := callers.Authenticate(context.Background(), tenancy.NewSecret().Reveal()); reason(err) != DatabaseAway || time.Since(start) > 3*time.Second {
			t.Fatalf("an unknown key after %s: %v", time.Since(start), err)
		}
		b.mu.Lock()
		b.callers = nil // revoked meanwhile
		b.mu.Unlock()
		close(thawed)
		callers.Forget(7)
		synctest.Wait()
		if _, err := callers.Authenticate(context.Background(), secret); reason(err) != UnknownKey {
			t.Fatalf("revoked while the database said nothing: %v", err)
		}
	})
}

func TestGuessedKeysTakeBoundedMemory(t *testing.T) {
	_, callers, _, secret := openBook()
	_, _ = callers.Authenticate(context.Background(), secret)
	for i := range maxUnknown + 100 {
		_, _ = callers.Authenticate(context.Background(), fmt.Sprintf("%sguess%d", tenancy.KeyPrefix, i))
	}
	if len(callers.known) > maxUnknown+1 {
		t.Fatalf("%d entries", len(callers.known))
	}
	if _, err := callers.Authenticate(context.Background(), secret); err != nil {
		t.Fatal(err)
	}
}
