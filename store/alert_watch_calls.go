package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/usage"
)

// windows are those that the rules look back over, in minutes.
func (b *book) windows() []int {
	var all []int
	for i := range b.rules {
		all = append(all, b.rules[i].LooksBack())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// lowest is the lowest threshold of the rules with a window that look at the whole installation, or at customers; false where
// there is no such rule.
func (b *book) lowest(window int, whole bool) (least int64, any bool) {
	for i := range b.rules {
		r := &b.rules[i]
		if r.LooksBack() != window || r.OfWhole() != whole {
			continue
		}
		if t := slices.Min(r.Thresholds); !any || t < least {
			least, any = t, true
		}
	}
	return least, any
}

// since is where a window of minutes begins. The minute that is under way is one of them.
func (s *sight) since(window int) time.Time { return s.now.Add(-time.Duration(window) * time.Minute) }

// dayOf is the first instant of the day in a zone.
func dayOf(at time.Time, zone *time.Location) time.Time {
	return usage.LastDays(at, 1, zone).Start.UTC()
}

func spanOf(from, until time.Time) usage.Period { return usage.Period{Start: from, End: until} }

// watchedCustomer is a customer as its readings name it.
type watchedCustomer struct {
	TenantID int64  `db:"tenant_id"`
	Tenant   string `db:"tenant"`
	PlanID   int64  `db:"plan_id"`
	Plan     string `db:"plan"`
	Zone     string `db:"zone"`
}

func (r *watchedCustomer) subject() alert.Subject {
	return alert.Subject{Key: tenantSubject(r.TenantID), TenantID: r.TenantID}
}

func (r *watchedCustomer) covered() alert.Covered {
	return alert.Covered{PlanID: r.PlanID, TenantID: r.TenantID}
}

func (r *watchedCustomer) details() alert.Details {
	return alert.Details{Tenant: r.Tenant, Plan: r.Plan, Zone: r.Zone}
}

// watchedCustomerColumns and watchedCustomerOf name the customer of rows u, and the plan it has now.
const (
	watchedCustomerColumns = `n.id AS tenant_id, n.name AS tenant, n.time_zone AS zone, coalesce(v.plan_id, 0) AS plan_id, coalesce(pl.name, '') AS plan`
	watchedCustomerOf      = ` JOIN tenants n ON n.id = u.tenant_id
		LEFT JOIN subscriptions s ON s.tenant_id = n.id AND s.scope = 'tenant' AND s.ended_at IS NULL
		LEFT JOIN plan_versions v ON v.id = s.plan_version_id LEFT JOIN plans pl ON pl.id = v.plan_id`
)

// minutesTold is how far back minutes are read; windows before that are of whole hours.
const minutesTold = minutesKept - 5*time.Minute

// judgedCalls and failedCalls sum rows of usage: the calls that tell how well the service does, and those of them that failed.
// What callers spoil themselves is neither (usage.Totals).
const (
	judgedCalls = `sum(requests - caller_errors)`
	failedCalls = `sum(failures - caller_errors)`
)

// callRows is the SQL of rows with requests, failures and callers' errors in a window, and its arguments.
func (s *sight) callRows(ctx context.Context, window int) (string, []any, error) {
	since := s.since(window)
	if s.now.Sub(since) <= minutesTold {
		return `SELECT tenant_id, requests, failures, caller_errors FROM usage_minutes WHERE minute > $1 AND minute <= $2`, []any{since, s.now}, nil
	}
	folded, err := foldedUntil(ctx, s)
	if err != nil {
		return "", nil, err
	}
	from, args := union(byHours(spanOf(since.Truncate(time.Hour), s.now), folded, tenantHours), "tenant_id, ", []string{"requests", "failures", "caller_errors"}, "")
	return from, args, nil
}

// readErrors reads which part of the calls failed in the windows of the rules, of all and of customers.
func readErrors(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var readings []alert.Reading
	for _, window := range s.windows() {
		from, args, err := s.callRows(ctx, window)
		if err != nil {
			return nil, err
		}
		if _, asked := s.lowest(window, true); asked {
			var row struct {
				Calls    int64 `db:"calls"`
				Failures int64 `db:"failures"`
			}
			query := `SELECT coalesce(` + judgedCalls + `, 0)::bigint AS calls, coalesce(` + failedCalls + `, 0)::bigint AS failures FROM (` + from + `) u`
			if err := s.GetContext(ctx, &row, query, args...); err != nil {
				return nil, fmt.Errorf("read failed calls: %w", err)
			}
			if row.Calls >= alert.FewestCalls {
				readings = append(readings, errorReading(installation, alert.Covered{}, alert.Details{}, window, row.Calls, row.Failures))
			}
		}
		if least, asked := s.lowest(window, false); asked {
			var rows []struct {
				watchedCustomer
				Calls    int64 `db:"calls"`
				Failures int64 `db:"failures"`
			}
			n := len(args)
			query := `SELECT ` + watchedCustomerColumns + `, u.calls, u.failures FROM (
					SELECT tenant_id, ` + judgedCalls + `::bigint AS calls, ` + failedCalls + `::bigint AS failures FROM (` + from + `) u GROUP BY tenant_id
					HAVING ` + judgedCalls + ` >= $` + strconv.Itoa(n+1) + ` AND ` + failedCalls + ` * 10000 >= $` + strconv.Itoa(n+2) + ` * ` + judgedCalls + `
				) u` + watchedCustomerOf + ` ORDER BY n.id`
			if err := s.SelectContext(ctx, &rows, query, append(args, alert.FewestCalls, least)...); err != nil {
				return nil, fmt.Errorf("read failed calls of customers: %w", err)
			}
			for _, r := range rows {
				readings = append(readings, errorReading(r.subject(), r.covered(), r.details(), window, r.Calls, r.Failures))
			}
		}
	}
	return readings, nil
}

func errorReading(subject alert.Subject, covered alert.Covered, details alert.Details, window int, calls, failures int64) alert.Reading {
	details.Window, details.Calls, details.Failures = window, calls, failures
	return alert.Reading{
		Metric: alert.ErrorRate, Subject: subject, Covered: covered, Window: window, Value: alert.Share(failures, calls), Details: details,
	}
}

// So many of the newest calls of a window tell its p95: of all customers together and, where there are more of them, of each by itself,
// since a small one must not vanish beside a big one.
const (
	newestCalls    = 50_000
	newestCallsOne = 10_000
)

// firstID is the least id of a call that began at a moment or later: ids are UUIDv7.
func firstID(at time.Time) uuid.UUID {
	var id uuid.UUID
	for i, ms := 5, max(at.UnixMilli(), 0); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms)
	}
	return id
}

// readLatency reads within what time 95 % of the answered calls of the windows of the rules were answered.
func readLatency(ctx context.Context, s *sight) ([]alert.Reading, error) {
	const newest = `(SELECT tenant_id, latency_ms, status FROM usage_events WHERE id >= $1 AND created_at >= $2 ORDER BY id DESC LIMIT $3) u WHERE status = 'ok'`
	const newestOfEach = `tenants c CROSS JOIN LATERAL (SELECT tenant_id, latency_ms, status FROM usage_events e
			WHERE e.tenant_id = c.id AND e.id >= $1 AND e.created_at >= $2 ORDER BY e.id DESC LIMIT $3) u WHERE c.status = 'active' AND u.status = 'ok'`
	const p95 = `count(*) AS calls, percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms)::bigint AS p95`
	var readings []alert.Reading
	for _, window := range s.windows() {
		since := s.since(window)
		if _, asked := s.lowest(window, true); asked {
			var rows []struct {
				Calls int64 `db:"calls"`
				P95   int64 `db:"p95"`
			}
			const query = `SELECT ` + p95 + ` FROM ` + newest + ` HAVING count(*) >= $4`
			if err := s.SelectContext(ctx, &rows, query, firstID(since), since, newestCalls, alert.FewestCalls); err != nil {
				return nil, fmt.Errorf("read latency: %w", err)
			}
			for _, r := range rows {
				readings = append(readings, latencyReading(installation, alert.Covered{}, alert.Details{}, window, r.Calls, r.P95))
			}
		}
		if least, asked := s.lowest(window, false); asked {
			var rows []struct {
				watchedCustomer
				Calls int64 `db:"calls"`
				P95   int64 `db:"p95"`
			}
			from, most := newest, newestCalls
			var more bool
			const beyond = `SELECT EXISTS (SELECT FROM usage_events WHERE id >= $1 AND created_at >= $2 ORDER BY id DESC OFFSET $3)`
			if err := s.GetContext(ctx, &more, beyond, firstID(since), since, newestCalls); err != nil {
				return nil, fmt.Errorf("count the window's calls: %w", err)
			}
			if more {
				from, most = newestOfEach, newestCallsOne
			}
			query := `SELECT ` + watchedCustomerColumns + `, u.calls, u.p95 FROM (
					SELECT u.tenant_id, ` + p95 + ` FROM ` + from + ` GROUP BY u.tenant_id HAVING count(*) >= $4) u` + watchedCustomerOf + `
				WHERE u.p95 >= $5 ORDER BY n.id`
			if err := s.SelectContext(ctx, &rows, query, firstID(since), since, most, alert.FewestCalls, least); err != nil {
				return nil, fmt.Errorf("read latency of customers: %w", err)
			}
			for _, r := range rows {
				readings = append(readings, latencyReading(r.subject(), r.covered(), r.details(), window, r.Calls, r.P95))
			}
		}
	}
	return readings, nil
}

func latencyReading(subject alert.Subject, covered alert.Covered, details alert.Details, window int, calls, p95 int64) alert.Reading {
	details.Window, details.Calls = window, calls
	return alert.Reading{Metric: alert.LatencyP95, Subject: subject, Covered: covered, Window: window, Value: p95, Details: details}
}
