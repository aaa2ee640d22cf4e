package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/usage"
)

// auditsKept is how long results stay.
const auditsKept = 30 * 24 * time.Hour

// auditDetails is what of an audit lies in the column details.
type auditDetails struct {
	Periods     int                `json:"periods"`
	Differences []usage.Difference `json:"differences"`
	Notes       []usage.AuditNote  `json:"notes"`
}

// SaveAudit keeps a result for those who look later, and gives it its id.
func (s *Store) SaveAudit(ctx context.Context, a *usage.Audit) error {
	if err := s.saveAudit(ctx, a, sql.NullTime{}); err != nil {
		return fmt.Errorf("keep an audit: %w", err)
	}
	return nil
}

func (s *Store) saveAudit(ctx context.Context, a *usage.Audit, slot sql.NullTime) error {
	scope, err := json.Marshal(a.Scope)
	if err != nil {
		return err
	}
	checks, err := json.Marshal(a.Checks)
	if err != nil {
		return err
	}
	details, err := json.Marshal(auditDetails{a.Periods, a.Details, a.Notes})
	if err != nil {
		return err
	}
	const insert = `INSERT INTO audits (slot, started_at, took_ms, scope, checks, differences, details, by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`
	return s.db.GetContext(ctx, &a.ID, insert, slot, a.StartedAt, a.Took.Milliseconds(), scope, checks, a.Differences, details, a.By)
}

// LatestAudits gives the newest n results, newest first.
func (s *Store) LatestAudits(ctx context.Context, n int) ([]usage.Audit, error) {
	var rows []struct {
		ID          int64     `db:"id"`
		StartedAt   time.Time `db:"started_at"`
		TookMS      int64     `db:"took_ms"`
		Scope       []byte    `db:"scope"`
		Checks      []byte    `db:"checks"`
		Differences int       `db:"differences"`
		Details     []byte    `db:"details"`
		By          string    `db:"by"`
	}
	const query = `SELECT id, started_at, took_ms, scope, checks, differences, details, by FROM audits ORDER BY started_at DESC, id DESC LIMIT $1`
	if err := s.db.SelectContext(ctx, &rows, query, n); err != nil {
		return nil, fmt.Errorf("read audits: %w", err)
	}
	audits := make([]usage.Audit, len(rows))
	for i, r := range rows {
		a := usage.Audit{ID: r.ID, StartedAt: r.StartedAt.UTC(), Took: time.Duration(r.TookMS) * time.Millisecond, Differences: r.Differences, By: r.By}
		var details auditDetails
		for _, column := range []struct {
			text []byte
			into any
		}{{r.Scope, &a.Scope}, {r.Checks, &a.Checks}, {r.Details, &details}} {
			if err := json.Unmarshal(column.text, column.into); err != nil {
				return nil, fmt.Errorf("read audit %d: %w", r.ID, err)
			}
		}
		a.Periods, a.Details, a.Notes = details.Periods, details.Differences, details.Notes
		audits[i] = a
	}
	return audits, nil
}

// AuditHourly runs and keeps the audit of this hour, unless another replica has, or is at it: then it gives nil.
func (s *Store) AuditHourly(ctx context.Context, scope usage.AuditScope) (*usage.Audit, error) {
	conn, err := s.patient.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect for the hourly audit: %w", err)
	}
	defer conn.Close()
	hour := s.now().UTC().Truncate(time.Hour)
	var mine, done bool
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('filaia_audit'))`).Scan(&mine); err != nil {
		return nil, fmt.Errorf("lock the hourly audit: %w", err)
	}
	if !mine {
		return nil, nil
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtext('filaia_audit'))`) //nolint:errcheck // a connection that cannot say so ends, and its lock with it
	if err := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM audits WHERE slot = $1)`, hour).Scan(&done); err != nil {
		return nil, fmt.Errorf("look for the hourly audit: %w", err)
	}
	if done {
		return nil, nil
	}
	a, err := s.RunAudit(ctx, scope)
	if err != nil {
		return nil, err
	}
	if err := s.saveAudit(ctx, a, sql.NullTime{Time: hour, Valid: true}); err != nil {
		var taken *pq.Error
		if errors.As(err, &taken) && taken.Constraint == "audits_slot_once" { // the lock was lost on the way
			return nil, nil
		}
		return nil, fmt.Errorf("keep the hourly audit: %w", err)
	}
	return a, nil
}

// SweepAudits removes the results of more than 30 days ago and tells how many they were.
func (s *Store) SweepAudits(ctx context.Context) (int64, error) {
	result, err := s.db.ExecContext(ctx, `DELETE FROM audits WHERE started_at < $1`, s.now().Add(-auditsKept))
	if err != nil {
		return 0, fmt.Errorf("sweep audits: %w", err)
	}
	return result.RowsAffected()
}
