package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/redistest"
)

// twins starts two replicas on one database and one Redis.
func twins(t *testing.T, providerURL, redisURL string) (first, second *install, logs func() string) {
	t.Helper()
	first = newInstall(t, providerURL)
	first.env = append(first.env, "FILAIA_SECRET_KEY="+strings.Repeat("5a", 32), "REDIS_URL="+redisURL)
	one := first.serve()
	second = newInstall(t, providerURL)
	second.env = append(second.env, "FILAIA_SECRET_KEY="+strings.Repeat("5a", 32), "REDIS_URL="+redisURL, "DATABASE_URL="+first.databaseURL())
	two := second.serve()
	return first, second, func() string { return one.output.String() + two.output.String() }
}

func chatOf(question string) string {
	return fmt.Sprintf(`{"model":"gpt-4.1-nano","messages":[{"role":"user","content":%q}]}`, question)
}

func TestReplicasShareLimitsThroughRedis(t *testing.T) {
	const allowed, callers = 20, 60
	p := provider(t, openaitest.Options{})
	redis := redistest.Start(t)
	first, second, _ := twins(t, p.URL(), redis.URL())
	_, key := first.customer("ritmo", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", fmt.Sprint(allowed))
	var answered, refused atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for n := range callers {
		i := []*install{first, second}[n%2]
		all.Go(func() {
			switch r := i.chat(key, question); r.status {
			case http.StatusOK:
				answered.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			default:
				t.Errorf("%d %s %v", r.status, r.body, r.err)
			}
		})
	}
	all.Wait()
	grown := int64(time.Since(start).Minutes()*allowed) + 1 // what the minute gave back meanwhile
	if n := answered.Load(); n < allowed || n > allowed+grown {
		t.Errorf("%d calls were answered by two replicas, the plan allows %d", n, allowed)
	}
	if p.Stats().Requests != answered.Load() {
		t.Errorf("the provider met %d calls, %d were answered", p.Stats().Requests, answered.Load())
	}
}

func TestCallsGoOnWhileRedisIsAway(t *testing.T) {
	p := provider(t, openaitest.Options{})
	redis := redistest.Start(t)
	first, second, logs := twins(t, p.URL(), redis.URL())
	tenant, key := first.customer("cache", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "100000", "--cache", "exact")
	want := func(i *install, body, how string) {
		t.Helper()
		if r := i.chat(key, body); r.status != http.StatusOK || r.header.Get("X-Fila-Cache") != how {
			t.Errorf("%d %q, want %q: %s %v", r.status, r.header.Get("X-Fila-Cache"), how, r.body, r.err)
		}
	}
	want(first, chatOf("um"), "miss")
	want(second, chatOf("um"), "hit") // what one replica keeps serves the other

	redis.Stop()
	for n := range 20 {
		want([]*install{first, second}[n%2], chatOf(fmt.Sprint("sem ", n)), "miss")
	}
	if text := logs(); !strings.Contains(strings.ToLower(text), "redis") {
		t.Errorf("nobody says that Redis is away: %s", tail(text, 2000))
	}
	if text := first.metrics(nil); !strings.Contains(text, `filaia_limits_mode{mode="fallback"} 1`) {
		t.Errorf("no metric says that Redis is away: %s", text)
	}
	if text := first.metrics(http.Header{"X-Real-Ip": {"203.0.113.7"}}); strings.Contains(text, "filaia_") {
		t.Errorf("a stranger reads the metrics: %s", text)
	}
	redis.Restart()
	n := 0
	eventually(t, "both replicas use Redis again", func() bool {
		n++
		body := chatOf(fmt.Sprint("de volta ", n))
		return first.chat(key, body).status == http.StatusOK && second.chat(key, body).header.Get("X-Fila-Cache") == "hit"
	})
	eventually(t, "every call is in the books", func() bool { return first.usage(tenant).Requests >= 22 && first.usage(tenant).Failures == 0 })
	for _, secret := range []string{key, "canary"} {
		if strings.Contains(logs(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func TestAServerStartsWithoutItsRedis(t *testing.T) {
	p := provider(t, openaitest.Options{})
	redis := redistest.Start(t)
	redis.Stop()
	i := newInstall(t, p.URL())
	i.env = append(i.env, "REDIS_URL="+redis.URL())
	i.serve()
	_, key := i.customer("cedo", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "100000")
	if r := i.chat(key, question); r.status != http.StatusOK {
		t.Errorf("%d %s %v", r.status, r.body, r.err)
	}
}

// metrics reads /metrics, with the headers that a reverse proxy would add.
func (i *install) metrics(added http.Header) string {
	i.t.Helper()
	req, err := http.NewRequest(http.MethodGet, i.url()+"/metrics", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	for name, values := range added {
		req.Header[name] = values
	}
	res, err := client.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(text)
}

func TestTwoInstallationsOnOneRedisAreStrangers(t *testing.T) {
	p := provider(t, openaitest.Options{})
	redis := redistest.Start(t)
	for range 2 { // the tenants of both have the same numbers
		i := newInstall(t, p.URL())
		i.env = append(i.env, "REDIS_URL="+redis.URL())
		i.serve()
		_, key := i.customer("cache", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "2", "--cache", "exact")
		for _, how := range []string{"miss", "hit"} {
			if r := i.chat(key, chatOf("um")); r.status != http.StatusOK || r.header.Get("X-Fila-Cache") != how {
				t.Errorf("%d %q, want %q: %s %v", r.status, r.header.Get("X-Fila-Cache"), how, r.body, r.err)
			}
		}
	}
}
