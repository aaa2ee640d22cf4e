package tenancy

import (
	"context"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/fault"
)

// cheap hashes at a cost that tests can pay often.
func cheap() *Passwords {
	p := NewPasswords()
	p.cost = argonCost{memoryKiB: 8, passes: 1, lanes: 1}
	return p
}

func TestAPasswordVerifiesAgainstItsOwnHashOnly(t *testing.T) {
	p, ctx := cheap(), context.Background()
	rapid.Check(t, func(t *rapid.T) {
		password, other := rapid.String().Draw(t, "password"), rapid.String().Draw(t, "other")
		hash, err := p.Hash(ctx, password)
		if err != nil {
			t.Fatal(err)
		}
		if ok, outdated, err := p.Verify(ctx, hash, password); !ok || outdated || err != nil {
			t.Fatalf("its own: %v %v %v", ok, outdated, err)
		}
		if ok, _, err := p.Verify(ctx, hash, other); ok != (other == password) || err != nil {
			t.Fatalf("another: %v %v", ok, err)
		}
	})
}

func TestHashesAreSaltedPHCStringsOfThePresentCost(t *testing.T) {
	p, ctx := NewPasswords(), context.Background()
	a, err := p.Hash(ctx, "uma senha longa")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := p.Hash(ctx, "uma senha longa")
	if a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s\n%s", a, b)
	}
}

// As the reference command line writes it: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 4 -l 32 -e.
func TestVerifyReadsOtherImplementationsAndOtherCosts(t *testing.T) {
	const vector = "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo"
	ok, outdated, err := NewPasswords().Verify(context.Background(), vector, "password")
	if !ok || !outdated || err != nil {
		t.Errorf("%v %v %v", ok, outdated, err)
	}
}

func TestNoAccountCostsAsMuchAsAWrongPassword(t *testing.T) {
	p := NewPasswords()
	cost, _, sum, err := decode(p.dummy)
	if err != nil || cost != p.cost || len(sum) != hashBytes {
		t.Fatalf("the stand-in costs %v, a hash %v: %v", cost, p.cost, err)
	}
	if ok, _, err := p.Verify(context.Background(), "", "anything"); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}

func TestMalformedHashesAreErrorsThatDoNotRepeatThem(t *testing.T) {
	for _, hash := range []string{
		"canary", "$2a$10$canary", "$argon2id$v=19$m=8,t=1,p=1$canary", "$argon2id$v=18$m=8,t=1,p=1$Y2FuYXJ5Y2FuYXJ5$Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
		"$argon2id$v=19$m=999999999,t=1,p=1$Y2FuYXJ5Y2FuYXJ5$Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5", "$argon2id$v=19$m=8,t=0,p=1$Y2FuYXJ5Y2FuYXJ5$Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
		"$argon2id$v=19$m=8,t=1,p=0$Y2FuYXJ5Y2FuYXJ5$Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5", "$argon2id$v=19$m=8,t=1,p=1$!canary!$Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
	} {
		ok, _, err := cheap().Verify(context.Background(), hash, "x")
		if ok || err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2FuYXJ5") {
			t.Errorf("%q: %v %v", hash, ok, err)
		}
	}
}

func TestAtMostTwoHashesRunAtOnceAndOthersWaitTheirTurn(t *testing.T) {
	p := cheap()
	p.turns <- struct{}{}
	p.turns <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Hash(ctx, "x"); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a third hash did not wait: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := p.Hash(context.Background(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	<-p.turns
	<-p.turns
	wg.Wait()
	if len(p.turns) != 0 {
		t.Errorf("%d turns were not given back", len(p.turns))
	}
}

func TestMadePasswordsAreLongEnoughAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		password := NewPassword()
		var f fault.Form
		CheckPassword(&f, "password", password)
		if err := f.Err(); err != nil || seen[password] || strings.ContainsAny(password, "01ilo") {
			t.Fatalf("%q: %v", password, err)
		}
		seen[password] = true
	}
}
