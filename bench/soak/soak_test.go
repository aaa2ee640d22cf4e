package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test's own program be the provider, as the command's is.
func TestMain(m *testing.M) {
	if was, err := runRole(os.Args[1:]); was {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestBooksAreExactWhileProcessesDie is a short soak of the product built with the race detector. make soak is the long one.
func TestBooksAreExactWhileProcessesDie(t *testing.T) {
	o := options{seed: 1, length: 35 * time.Second, replicas: 3, tenants: 9, rate: 50, grace: 3 * time.Second, redis: true, race: true}
	t.Logf("seed %d: go run ./bench/soak -race -seed %[1]d -minutes %.2f -replicas %d -tenants %d -rate %d -grace %s",
		o.seed, o.length.Minutes(), o.replicas, o.tenants, o.rate, o.grace)
	r, err := soakFor(t.Context(), o, testWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := r.print(&table); err != nil {
		t.Fatal(err)
	}
	t.Log(table.String())
	if err := r.err(); err != nil {
		t.Error(err)
	}
}

// testWriter gives lines to a test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func TestWhatHappensFollowsFromTheSeed(t *testing.T) {
	o := options{seed: 7, length: 10 * time.Minute, replicas: 3, grace: 6 * time.Second, redis: true}
	first := schedule(o)
	if again := schedule(o); !reflect.DeepEqual(first, again) {
		t.Error("the same seed gave two schedules")
	}
	o.seed = 8
	if reflect.DeepEqual(first, schedule(o)) {
		t.Error("two seeds gave one schedule")
	}
	kinds, minute := map[what]int{}, false
	for i, one := range first {
		kinds[one.what]++
		minute = minute || one.what == killPostgres && one.lasts == time.Minute
		if i > 0 && one.after < first[i-1].after+first[i-1].lasts {
			t.Errorf("%s begins before %s is over", one, first[i-1])
		}
	}
	if len(kinds) != 9 || !minute {
		t.Errorf("ten minutes have %v; PostgreSQL away for a minute: %t", kinds, minute)
	}
}

func TestMarkersComeBackAsTheyWent(t *testing.T) {
	m := marker{call: 3_000_042, tenant: 17, fault: excessive}
	if got, ok := parseMarker(m.String()); !ok || got != m {
		t.Errorf("%s came back as %+v, %t", m, got, ok)
	}
	if _, ok := parseMarker("somebody"); ok {
		t.Error("a user that is no marker was read as one")
	}
}
