package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestTheCachesSettingsAreKept(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/cache").status(http.StatusOK).has(`value="0,95"`, "text-embedding-3-small", text("cache.no_lookups")).lacks(`<option value="gpt-4.1"`)
	b.post("/cache", url.Values{"embedding_model": {"text-embedding-3-small"}, "threshold": {"0,92"}}).leadsTo("/cache")
	settings, err := s.store.CacheSettings(context.Background())
	must(t, err)
	if settings.EmbeddingModel != "text-embedding-3-small" || settings.Threshold != 0.92 {
		t.Fatalf("%+v", settings)
	}
	b.get("/cache").has(`value="0,92"`, `<option value="text-embedding-3-small" selected>`)
	for _, threshold := range []string{"2", "0,4", "NaN", "muito", ""} {
		b.post("/cache", url.Values{"embedding_model": {""}, "threshold": {threshold}}).status(http.StatusUnprocessableEntity).
			has(`value="`+threshold+`"`, text("models.error.threshold"))
	}
	b.post("/cache", url.Values{"embedding_model": {"nenhum"}, "threshold": {"0,9"}}).status(http.StatusUnprocessableEntity).
		has(text("models.error.not_offered", "value", "nenhum"))
}

func TestACustomersCacheIsEmptied(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	s.running.cache = CacheState{Entries: 1234, Bytes: 5 << 20}
	b.get("/cache").has("Padaria", "5,0 MB", "1.234", text("cache.purge_title"))
	b.post("/cache/purge", url.Values{"tenant": {fmt.Sprint(tenant.ID)}}).leadsTo("/cache")
	if len(s.running.purged) != 1 || s.running.purged[0] != tenant.ID {
		t.Fatal(s.running.purged)
	}
	b.get("/cache").has(text("cache.purged", "name", "Padaria"))
	b.post("/cache/purge", url.Values{"tenant": {"999"}}).status(http.StatusNotFound)
	b.post("/cache/purge", nil).status(http.StatusUnprocessableEntity)
	s.running.fails = true
	b.post("/cache/purge", url.Values{"tenant": {fmt.Sprint(tenant.ID)}}).status(http.StatusInternalServerError).lacks("redis")
}

func TestTheCachePageTellsWhatItSaved(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 2, 10, 10)
	_, err := s.db.Exec(`UPDATE usage_hourly SET cache_lookups = 200, cache_hits = 150, saved_usd_micros = 12340000`)
	must(t, err)
	s.as(t, tenancy.Viewer).get("/cache").has("75%", text("cache.hits_of", "hits", "150", "lookups", "200"), "US$\u00a012,34")
}
