package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// sampler looks at limits and memory while customers call.
type sampler struct {
	s *soak

	mu       sync.Mutex
	samples  int
	bound    peak // (used - overrun + leased) / limit of hard plans
	spent    peak // (used - overrun) / limit
	raw      peak // used / limit: with what no limit could stop
	unequal  []string
	memories [][]point
}

// peak is the highest ratio that was ever seen, and whose it was.
type peak struct {
	Ratio  float64 `json:"ratio"`
	Tenant int64   `json:"tenant"`
	At     float64 `json:"at"` // seconds into the run
}

// point is a replica's memory at a moment.
type point struct {
	At float64 `json:"at"`
	MB float64 `json:"mb"`
}

func newSampler(s *soak) *sampler { return &sampler{s: s, memories: make([][]point, len(s.replicas))} }

// limitsSQL reads every hard bucket that no spend cap lets pass its limits and its leases in one snapshot.
const limitsSQL = `SELECT b.period_id, b.tenant_id, b.limit_in, b.used_in, b.overrun_in, b.leased_in, b.limit_out, b.used_out, b.overrun_out, b.leased_out,
	coalesce(l.leased_in, 0), coalesce(l.leased_out, 0)
	FROM quota_buckets b LEFT JOIN (SELECT period_id, sum(leased_in)::bigint AS leased_in, sum(leased_out)::bigint AS leased_out
		FROM quota_leases GROUP BY period_id) l USING (period_id)
	WHERE b.hard AND b.extra_tokens = 0`

// buckets looks every 50 ms; while PostgreSQL is away it looks in vain.
func (m *sampler) buckets(ctx context.Context) {
	db, err := m.s.pg.open(role, role)
	if err != nil {
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(2)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		look, cancel := context.WithTimeout(ctx, 2*time.Second)
		if m.look(look, db) == nil {
			m.mu.Lock()
			m.samples++
			m.mu.Unlock()
		}
		cancel()
	}
}

func (m *sampler) look(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, limitsSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	at := time.Since(m.s.began).Seconds()
	for rows.Next() {
		var period, tenant int64
		var in, out struct{ limit, used, overrun, leased, rows int64 }
		if err := rows.Scan(&period, &tenant, &in.limit, &in.used, &in.overrun, &in.leased, &out.limit, &out.used, &out.overrun, &out.leased, &in.rows, &out.rows); err != nil {
			return err
		}
		for _, one := range []struct{ limit, used, overrun, leased, rows int64 }{in, out} {
			if one.limit == 0 {
				continue
			}
			ratio := func(n int64) float64 { return float64(n) / float64(one.limit) }
			m.bound.see(ratio(one.used-one.overrun+one.leased), tenant, at)
			m.spent.see(ratio(one.used-one.overrun), tenant, at)
			m.raw.see(ratio(one.used), tenant, at)
			if one.leased != one.rows && len(m.unequal) < 5 {
				m.unequal = append(m.unequal, fmt.Sprintf("%.1fs: period %d of tenant %d has %d leased, its leases hold %d", at, period, tenant, one.leased, one.rows))
			}
		}
	}
	return rows.Err()
}

func (p *peak) see(ratio float64, tenant int64, at float64) {
	if ratio > p.Ratio {
		*p = peak{ratio, tenant, at}
	}
}

// memory notes the memory of every replica, ten seconds apart in long runs.
func (m *sampler) memory(ctx context.Context) {
	every := min(10*time.Second, m.s.opts.length/20)
	for {
		at := time.Since(m.s.began).Seconds()
		for i, one := range m.s.replicas {
			if pid := one.pid(); pid != 0 {
				m.mu.Lock()
				m.memories[i] = append(m.memories[i], point{at, memory(pid)})
				m.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// curve is the memory of one replica over the run.
type curve struct {
	Replica   int     `json:"replica"`
	FirstMB   float64 `json:"first_third_mb"` // mean of the first third of the run
	LastMB    float64 `json:"last_third_mb"`
	HighestMB float64 `json:"highest_mb"`
	Points    []point `json:"points"`
}

func (m *sampler) curves(replicas int) []curve {
	m.mu.Lock()
	defer m.mu.Unlock()
	curves := make([]curve, replicas)
	for i, points := range m.memories {
		c := curve{Replica: i, Points: points}
		third := len(points) / 3
		for n, p := range points {
			switch {
			case n < third:
				c.FirstMB += p.MB / float64(third)
			case n >= len(points)-third:
				c.LastMB += p.MB / float64(third)
			}
			c.HighestMB = max(c.HighestMB, p.MB)
		}
		curves[i] = c
	}
	return curves
}
