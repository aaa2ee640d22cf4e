package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// ledge is an AddressStore and a ThrottleStore that may be away.
type ledge struct {
	mu     sync.Mutex
	away   bool
	uses   []tenancy.KeyUse
	counts map[tenancy.Throttled]int64 // by what they are of, without their count
}

var errAway = errors.New("away")

func (l *ledge) NoteKeyUses(_ context.Context, uses []tenancy.KeyUse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return errAway
	}
	l.uses = append(l.uses, uses...)
	return nil
}

func (l *ledge) AddThrottled(_ context.Context, counts []tenancy.Throttled) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return errAway
	}
	for _, c := range counts {
		n := c.Count
		c.Count = 0
		l.counts[c] += n
	}
	return nil
}

func (l *ledge) leave(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

func (l *ledge) noted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, u := range l.uses {
		list = append(list, u.Address.String())
	}
	slices.Sort(list)
	return list
}

func withBooks(t *testing.T, test func(l *ledge, addresses *AddressBook, throttles *ThrottleBook)) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledge{counts: map[tenancy.Throttled]int64{}}
		addresses, throttles := NewAddressBook(l, slog.New(slog.DiscardHandler)), NewThrottleBook(l, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- addresses.Run(ctx) }()
		go func() { ended <- throttles.Run(ctx) }()
		test(l, addresses, throttles)
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnAddressIsWrittenOnceAndAgainBeforeItIsForgotten(t *testing.T) {
	withBooks(t, func(l *ledge, b *AddressBook, _ *ThrottleBook) {
		use := func(key int64, address string) {
			b.Add(&tenancy.Caller{KeyID: key, TenantID: 1}, netip.MustParseAddr(address), time.Now())
		}
		var crowd sync.WaitGroup
		for range 50 {
			crowd.Go(func() {
				use(1, "203.0.113.5")
				use(1, "::ffff:203.0.113.5")
				use(1, "2001:db8::1")
				use(1, "2001:db8::2")
			})
		}
		crowd.Wait()
		time.Sleep(2 * usesEvery)
		if got := l.noted(); !slices.Equal(got, []string{"2001:db8::", "203.0.113.5"}) {
			t.Errorf("noted %q", got)
		}
		use(2, "203.0.113.5")
		time.Sleep(2 * usesEvery)
		if got := l.noted(); len(got) != 3 {
			t.Errorf("noted %q, want another key's use, too", got)
		}
		time.Sleep(addressEvery)
		use(1, "203.0.113.5")
		use(1, "203.0.113.5")
		time.Sleep(2 * usesEvery)
		if got := l.noted(); len(got) != 4 {
			t.Errorf("noted %q, want one again after half a day", got)
		}
	})
}

func TestAddressesWaitForTheDatabaseWithinBounds(t *testing.T) {
	withBooks(t, func(l *ledge, b *AddressBook, _ *ThrottleBook) {
		l.leave(true)
		caller := &tenancy.Caller{KeyID: 1, TenantID: 1}
		address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
		const n = maxUses + 5000
		for i := range n {
			b.Add(caller, address(i), time.Now())
		}
		time.Sleep(5 * time.Second)
		l.leave(false)
		time.Sleep(5 * time.Second)
		if got := len(l.noted()); got != maxUses {
			t.Errorf("%d were written, want %d", got, maxUses)
		}
		for i := maxUses; i < n; i++ { // what found no room is noted with its next use
			b.Add(caller, address(i), time.Now())
		}
		time.Sleep(5 * time.Second)
		if got := len(slices.Compact(l.noted())); got != n {
			t.Errorf("%d were written in the end, want %d", got, n)
		}
		remembered := 0
		for i := range b.shelves {
			remembered += len(b.shelves[i].seen)
		}
		if remembered > addressShelves*shelfRoom {
			t.Errorf("%d are remembered", remembered)
		}
	})
}

func TestAKnownAddressTakesNoMemory(t *testing.T) {
	b := NewAddressBook(&ledge{}, slog.New(slog.DiscardHandler))
	caller, address, now := &tenancy.Caller{KeyID: 1, TenantID: 1}, netip.MustParseAddr("2001:db8::1"), time.Now()
	b.Add(caller, address, now)
	if n := testing.AllocsPerRun(100, func() { b.Add(caller, address, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none *AddressBook
	none.Add(caller, address, now)
}

func BenchmarkKnownAddress(b *testing.B) {
	book := NewAddressBook(&ledge{}, slog.New(slog.DiscardHandler))
	caller, address, now := &tenancy.Caller{KeyID: 1, TenantID: 1}, netip.MustParseAddr("203.0.113.5"), time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			book.Add(caller, address, now)
		}
	})
}

func TestThrottlesAreCountedByProviderAndMinute(t *testing.T) {
	withBooks(t, func(l *ledge, _ *AddressBook, b *ThrottleBook) {
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
		first := time.Now()
		b.Add(1, first)
		time.Sleep(2 * throttlesEvery)
		l.leave(true) // what is counted meanwhile is not lost, and not counted twice
		b.Add(1, first.Add(59*time.Second))
		b.Add(2, first)
		b.Add(1, first.Add(60*time.Second))
		time.Sleep(5 * throttlesEvery)
		l.leave(false)
		time.Sleep(2 * throttlesEvery)
		want := map[tenancy.Throttled]int64{{ProviderID: 1, Minute: first.UTC()}: 2, {ProviderID: 2, Minute: first.UTC()}: 1, {ProviderID: 1, Minute: first.UTC().Add(time.Minute)}: 1}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.counts) != len(want) {
			t.Errorf("counted %v", l.counts)
		}
		for of, n := range want {
			if l.counts[of] != n {
				t.Errorf("%d of %+v, want %d", l.counts[of], of, n)
			}
		}
	})
}
