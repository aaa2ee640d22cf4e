package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestTriesInVainAreOneLine(t *testing.T) {
	at := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	var told []tenancy.BreakerChange // the oldest first
	add := func(model, from, to, reason string) {
		at = at.Add(time.Second)
		told = append(told, tenancy.BreakerChange{At: at, ProviderID: 1, Model: model, Replica: "r", From: from, To: to, Reason: reason})
	}
	add("a", "closed", "open", "failures")
	add("b", "closed", "open", "failures")
	for range 7 {
		add("a", "open", "half_open", "time")
		add("a", "half_open", "open", "probe_failed")
	}
	last := at
	add("b", "open", "half_open", "time")
	add("b", "half_open", "closed", "probes_ok")
	list := make([]tenancy.BreakerChange, len(told))
	for i := range told {
		list[len(told)-1-i] = told[i]
	}
	var got []string
	for _, line := range breakerChanges(list, 50) {
		got = append(got, fmt.Sprintf("%s %s>%s %d", line.Model, line.From, line.To, line.Tries))
		if line.Tries > 0 && !line.At.Equal(last) {
			t.Errorf("the last try is told at %v, was at %v", line.At, last)
		}
	}
	want := "b half_open>closed 0, b open>half_open 0, a half_open>open 7, b closed>open 0, a closed>open 0"
	if strings.Join(got, ", ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
	}
	if n := len(breakerChanges(list, 2)); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}

func TestWhatIsNotNormalComesFirst(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	v := b.otherHouse("https://api.groq.com/openai/v1")
	own := s.comesWith(t)
	_, err := s.db.Exec(`UPDATE model_routes SET provider_id = $1 WHERE model = 'o3'`, v.ID)
	must(t, err)
	s.environment = provided{address: "https://api.openai.com/v1", key: "sk-da-variavel"}
	order := func(first, second string) {
		t.Helper()
		page := b.part("/operations").status(http.StatusOK)
		if x, y := strings.Index(page.body, "<h2><a class=\"plain-link\" href=\""+first), strings.Index(page.body, "<h2><a class=\"plain-link\" href=\""+second); x < 0 || x > y {
			t.Errorf("%s is not before %s", first, second)
		}
	}
	order(providerPath(v.ID), providerPath(own.ID)) // by name
	s.running.providers = map[int64]breaker.Snapshot{own.ID: {Models: []breaker.ModelSnapshot{
		{Model: "gpt-4.1", State: breaker.Closed, Calls: 9}, {Model: "gpt-4o", State: breaker.Closed, Calls: 3, FailurePercent: 100},
	}}}
	order(providerPath(own.ID), providerPath(v.ID))
	page := b.part("/operations").has(text("operations.failing", "n", 1), text("operations.state.failing"))
	if strings.Index(page.body, ">gpt-4o<") > strings.Index(page.body, ">gpt-4.1<") {
		t.Error("the failing model is not the first")
	}
	s.running.providers[v.ID] = breaker.Snapshot{Models: []breaker.ModelSnapshot{{Model: "o3", State: breaker.Open}}}
	order(providerPath(v.ID), providerPath(own.ID))
}

func TestOnlyBreakersOfRoutesAreDecided(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	own := s.comesWith(t)
	s.running.providers = map[int64]breaker.Snapshot{own.ID: {Models: []breaker.ModelSnapshot{{Model: "gone", State: breaker.Closed}}}}
	path := fmt.Sprintf("/operations/breakers/%d/", own.ID)
	b.get("/operations").has(">gone<").lacks("/open/gone")
	for _, act := range []string{"open", "close", "auto"} {
		b.post(path+act+"/gone", nil).status(http.StatusNotFound).has(text("operations.error.no_route"))
		b.post("/operations/breakers/999/"+act+"/o3", nil).status(http.StatusNotFound)
	}
	b.get("/operations")
	b.post(path+"open/o3", nil).leadsTo("/operations")
	_, err := s.db.Exec(`DELETE FROM model_routes WHERE model = 'o3'`)
	must(t, err)
	b.get("/operations").has(path+"auto/o3").lacks(path+"close/o3", path+"open/o3")
	b.post(path+"auto/o3", nil).leadsTo("/operations")
}
