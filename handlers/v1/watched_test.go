package v1_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/openaitest"
)

// runs runs a book until the test ends.
func runs(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// settled waits until a query gives the rows that are wanted.
func (s *site) settled(query string, want ...string) {
	s.t.Helper()
	var got []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		rows, err := s.store.DB().Query(query)
		s.must(err)
		got = nil
		for rows.Next() {
			var row string
			s.must(rows.Scan(&row))
			got = append(got, row)
		}
		s.must(rows.Close())
		if slices.Equal(got, want) {
			return
		}
	}
	s.t.Fatalf("%q, want %q", got, want)
}

// The operator wants to know how often a provider refuses, also where no caller sees it.
func TestA429OfAProviderIsCountedWhateverTheCallerSees(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.gate.Throttles = gateway.NewThrottleBook(s.store, s.gate.Log)
		runs(t, s.gate.Throttles.Run)
		s.second(openaitest.Options{})
		s.retries(2)
		s.provider.Next(openaitest.Behaviour{Status: 429})
		if a := s.post(chatBody(extra)); a.status != 200 {
			t.Fatalf("the fallback answered %d %s", a.status, a.body)
		}
		s.provider.Next(openaitest.Behaviour{Status: 500})
		s.post(chatBody(extra))
		const counted = `SELECT slug || ' ' || sum(count) FROM provider_throttles JOIN providers ON id = provider_id GROUP BY slug`
		s.settled(counted, "openai 1")
		s.provider.Next(noCredit)
		s.post(chatBody(extra))
		s.settled(counted, "openai 2")
	})
}

// From where a key is used is what the connection tells, or a proxy on this machine; a header that anybody may send tells nothing.
func TestFromWhereAKeyIsUsedIsNoted(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.gate.Addresses = gateway.NewAddressBook(s.store, s.gate.Log)
	runs(t, s.gate.Addresses.Run)
	from := func(header, value, key string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, s.url+"/models", nil)
		s.must(err)
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set(header, value)
		res, err := http.DefaultClient.Do(req)
		s.must(err)
		s.must(res.Body.Close())
		return res.StatusCode
	}
	for _, c := range [][2]string{{"X-Forwarded-For", "192.0.2.1"}, {"X-Real-Ip", "198.51.100.9"}, {"X-Real-Ip", "2001:db8:5:6:7::8"}, {"X-Real-Ip", "2001:db8:5:6::1"}, {"X-Real-Ip", "no address"}} {
		if status := from(c[0], c[1], s.key); status != 200 {
			t.Fatalf("%v: %d", c, status)
		}
	}
	if status := from("X-Real-Ip", "203.0.113.1", s.key+"x"); status != 401 {
		t.Fatalf("a stranger was answered with %d", status)
	}
	s.settled(`SELECT text(network(address)) FROM key_addresses ORDER BY 1`, "127.0.0.1/32", "198.51.100.9/32", "2001:db8:5:6::/64")
}
