package main

import (
	"fmt"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/ratelimit"
)

// serveMetrics answers GET /metrics in Prometheus' text format, to this machine alone: a request that came through a
// reverse proxy, which tells for whom, is a stranger's.
func (c *core) serveMetrics(ctx *fiber.Ctx) error {
	if !ctx.Context().RemoteIP().IsLoopback() || ctx.Get("X-Real-Ip") != "" || ctx.Get(fiber.HeaderXForwardedFor) != "" {
		return fiber.ErrNotFound
	}
	ctx.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	c.writeMetrics(ctx.Response().BodyWriter())
	return nil
}

func (c *core) writeMetrics(w io.Writer) {
	spool := c.ledger.Stats()
	figure(w, "filaia_spool_events", spool.Lag())
	figure(w, "filaia_spool_age_seconds", spool.OldestAge.Seconds())
	figure(w, "filaia_calls", uint64(spool.InFlight))
	figure(w, "filaia_spool_bytes", uint64(max(spool.Bytes, 0)))
	figure(w, "filaia_spool_stalled", one(spool.Stalled))
	figure(w, "filaia_spool_refusing", one(spool.Refusing))
	figure(w, "filaia_spool_sync_failing", one(spool.SyncFailing))
	figure(w, "filaia_spool_kept_files", uint64(spool.KeptFiles))
	figure(w, "filaia_spool_kept_bytes", uint64(max(spool.KeptBytes, 0)))
	holds := c.quota.Stats()
	figure(w, "filaia_quota_holds", uint64(max(holds.Holds, 0)))
	figure(w, "filaia_quota_held_tokens", uint64(max(holds.Held.In+holds.Held.Out, 0)))
	figure(w, "filaia_quota_uncommitted_tokens", uint64(max(holds.Pending.In+holds.Pending.Out, 0)))
	figure(w, "filaia_overrun_tokens_total", uint64(c.overrun.Load()))
	if a := c.books.Load(); a != nil { // without upkeep it is another replica that tells
		figure(w, "filaia_audit_differences", uint64(a.Differences))
		figure(w, "filaia_audit_age_seconds", time.Since(a.StartedAt).Seconds())
	}
	limits := c.gate.Rates.Health()
	for _, mode := range []ratelimit.Mode{ratelimit.Memory, ratelimit.Redis, ratelimit.Fallback} {
		figure(w, fmt.Sprintf(`filaia_limits_mode{mode=%q}`, mode), one(limits.Mode == mode))
	}
	figure(w, "filaia_limits_redis_failures_total", uint64(limits.Failures))
	figure(w, "filaia_limits_redis_round_trips_total", uint64(limits.RoundTrips))
	c.writeCacheMetrics(w)
	for _, house := range c.gate.Models.Houses() {
		snapshot, slug := house.Guard.Snapshot(), house.Provider.Slug
		figure(w, fmt.Sprintf(`filaia_provider_calls{provider=%q}`, slug), uint64(snapshot.Parallel))
		figure(w, fmt.Sprintf(`filaia_provider_waiting{provider=%q}`, slug), uint64(snapshot.Waiting))
		for _, m := range snapshot.Models {
			open := m.State == breaker.Open || m.State == breaker.ForcedOpen
			figure(w, fmt.Sprintf(`filaia_breaker_open{provider=%q,model=%q}`, slug, m.Model), one(open))
		}
	}
}

func (c *core) writeCacheMetrics(w io.Writer) {
	s := c.gate.Cache.Stats()
	for how, n := range map[string]int64{"exact": s.ByExact, "normalised": s.ByNormalised, "likeness": s.ByLikeness, "coalesced": s.Coalesced} {
		figure(w, fmt.Sprintf(`filaia_cache_hits_total{how=%q}`, how), uint64(n))
	}
	figure(w, "filaia_cache_misses_total", uint64(max(s.Misses-s.Coalesced, 0)))
	figure(w, "filaia_cache_entries", uint64(s.Entries))
	figure(w, "filaia_cache_bytes", uint64(s.Bytes+s.VectorBytes))
	figure(w, "filaia_cache_redis_away", one(c.gate.Cache.Health() != nil))
}

// figure writes one line. By convention names that end in _total only grow.
func figure[N uint64 | float64](w io.Writer, name string, value N) {
	fmt.Fprintln(w, name, value)
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}
