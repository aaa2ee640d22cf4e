package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// RunAudit compares single calls, hourly figures, buckets, leases and overruns with each other. It reads everything in
// one snapshot and changes nothing, so that it is exact beside running replicas. The single calls are read once.
func (s *Store) RunAudit(ctx context.Context, scope usage.AuditScope) (*usage.Audit, error) {
	a := &auditor{Audit: usage.NewAudit(scope, s.now().UTC().Truncate(time.Microsecond), tenancy.ActorOf(ctx).Label), moved: map[int64]figures{}}
	began := time.Now()
	if err := s.inSnapshot(ctx, a.look); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	a.Took = time.Since(began)
	return a.Sorted(), nil
}

// inSnapshot reads in a transaction that sees one instant of the database. Statements may take long.
func (s *Store) inSnapshot(ctx context.Context, fn func(context.Context, *sqlx.Tx) error) error {
	t, err := sqlx.NewDb(s.patient, "postgres").BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer t.Rollback() //nolint:errcheck // nothing was written
	for _, statement := range []string{
		// Before the snapshot, which the first query takes: a partition that is made or put aside later than the snapshot
		// would be read as empty.
		`LOCK TABLE usage_events IN ACCESS SHARE MODE`,
		`SET LOCAL work_mem = '64MB'`,
		`SET LOCAL jit = off`,         // compiling takes longer than what it saves
		`SET LOCAL enable_sort = off`, // single calls add up in a table: sorting all of them costs more, and is chosen where statistics lack
	} {
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("open the snapshot: %w", err)
		}
	}
	return fn(ctx, t)
}

// auditor is an audit under way.
type auditor struct {
	*usage.Audit
	owner int64             // the tenant of the one period in scope; 0: the scope has many
	moved map[int64]figures // by period: single calls less hourly figures
}

func (a *auditor) look(ctx context.Context, t *sqlx.Tx) error {
	bounds, err := a.bounds(ctx, t)
	if err != nil {
		return err
	}
	windows, err := a.windows(ctx, t, bounds)
	if err != nil {
		return err
	}
	for _, w := range windows {
		if err := a.compareHours(ctx, t, w); err != nil {
			return fmt.Errorf("compare the hours of %s: %w", w, err)
		}
	}
	for _, check := range []func(context.Context, *sqlx.Tx) error{
		a.comparePeriods, a.compareFolded, a.compareEdges, a.compareOwners, a.findAbandoned, a.nameTenants,
	} {
		if err := check(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// inScope is the condition that a billing period p is looked at, with the parameters $1 and $2 of scopeArgs.
const inScope = `($1::bigint = 0 OR p.id = $1) AND p.ends_at > $2::timestamptz`

func (a *auditor) scopeArgs() []any {
	since := any("-infinity")
	if !a.Scope.Since.IsZero() {
		since = a.Scope.Since
	}
	return []any{a.Scope.PeriodID, since}
}

// edgeSlack is how far before its period a call may have begun, and how long after it: the period is looked up after the
// call has its time, and clocks differ.
const edgeSlack = 24 * time.Hour

// bounds is the time in which the calls of the periods in scope began; the zero window is all time.
func (a *auditor) bounds(ctx context.Context, t *sqlx.Tx) (window, error) {
	if a.Scope.PeriodID == 0 && a.Scope.Since.IsZero() {
		return window{}, nil
	}
	var found struct {
		First sql.NullTime `db:"first"`
		Last  sql.NullTime `db:"last"`
		Owner int64        `db:"owner"`
	}
	const query = `SELECT min(starts_at) AS first, max(ends_at) AS last, coalesce(max(tenant_id), 0) AS owner FROM billing_periods p WHERE ` + inScope
	if err := t.GetContext(ctx, &found, query, a.scopeArgs()...); err != nil {
		return window{}, fmt.Errorf("bounds of the periods: %w", err)
	}
	if !found.First.Valid {
		first := a.StartedAt // no period: an empty day
		return window{from: first.Truncate(time.Hour), to: first.Truncate(time.Hour).Add(time.Hour)}, nil
	}
	w := window{from: found.First.Time.UTC().Add(-edgeSlack).Truncate(time.Hour)}
	if a.Scope.PeriodID != 0 {
		a.owner = found.Owner
		w.to = found.Last.Time.UTC().Add(edgeSlack).Truncate(time.Hour)
	}
	return w, nil
}

// subject is who a row is about, where that is known.
type subject struct {
	TenantID int64          `db:"tenant_id"`
	Tenant   sql.NullString `db:"tenant"`
	PeriodID int64          `db:"period_id"`
	Start    sql.NullTime   `db:"starts_at"`
	End      sql.NullTime   `db:"ends_at"`
}

func (s subject) of() usage.AuditSubject {
	return usage.AuditSubject{TenantID: s.TenantID, Tenant: s.Tenant.String, PeriodID: s.PeriodID, Start: utc(s.Start), End: utc(s.End)}
}

func utc(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}
