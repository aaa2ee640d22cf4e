package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
)

type periodRow struct {
	ID     int64     `db:"id"`
	EndsAt time.Time `db:"ends_at"`
}

// ensurePeriod gives the subscription's period that holds now, making it and its bucket when it is the first call of
// the period. A plan scheduled for the next period takes effect here.
func (t *tx) ensurePeriod(ctx context.Context, subscriptionID int64) (periodRow, error) {
	period, err := t.currentPeriod(ctx, subscriptionID)
	if !errors.Is(err, sql.ErrNoRows) {
		return period, err
	}
	var sub struct {
		TenantID  int64         `db:"tenant_id"`
		VersionID int64         `db:"plan_version_id"`
		NextID    sql.NullInt64 `db:"next_plan_version_id"`
		AnchorDay int           `db:"anchor_day"`
		TimeZone  string        `db:"time_zone"`
	}
	const lock = `SELECT s.tenant_id, s.plan_version_id, s.next_plan_version_id, s.anchor_day, t.time_zone
		FROM subscriptions s JOIN tenants t ON t.id = s.tenant_id WHERE s.id = $1 FOR UPDATE OF s`
	if err := t.GetContext(ctx, &sub, lock, subscriptionID); err != nil {
		return period, fmt.Errorf("lock subscription %d: %w", subscriptionID, err)
	}
	// Another replica may have made it while we waited for the lock.
	period, err = t.currentPeriod(ctx, subscriptionID)
	if !errors.Is(err, sql.ErrNoRows) {
		return period, err
	}
	zone, err := time.LoadLocation(sub.TimeZone)
	if err != nil {
		return period, fmt.Errorf("subscription %d: %w", subscriptionID, err)
	}
	var last sql.NullTime
	const newest = `SELECT max(ends_at) FROM billing_periods WHERE subscription_id = $1`
	if err := t.GetContext(ctx, &last, newest, subscriptionID); err != nil {
		return period, fmt.Errorf("newest period of %d: %w", subscriptionID, err)
	}
	edges := usage.PeriodAt(t.now, sub.AnchorDay, zone)
	version := sub.VersionID
	if last.Valid && t.now.Before(last.Time) {
		return t.firstPeriod(ctx, subscriptionID)
	}
	if last.Valid {
		edges = following(last.Time, sub.AnchorDay, zone)
		if sub.NextID.Valid {
			version = sub.NextID.Int64
			const apply = `UPDATE subscriptions SET plan_version_id = $2, next_plan_version_id = NULL WHERE id = $1`
			if _, err := t.ExecContext(ctx, apply, subscriptionID, version); err != nil {
				return period, fmt.Errorf("apply scheduled plan of %d: %w", subscriptionID, err)
			}
		}
	}
	// Periods in which nobody called are opened as well: they are sold like any other, and leave no gap.
	for ; !edges.End.After(t.now); edges = following(edges.End, sub.AnchorDay, zone) {
		if _, err := t.insertPeriod(ctx, subscriptionID, sub.TenantID, version, edges); err != nil {
			return period, err
		}
	}
	return t.insertPeriod(ctx, subscriptionID, sub.TenantID, version, edges)
}

// following is the period that begins where the last one ended. After a change of billing day it is a short one: it
// ends at the next edge of the new calendar.
func following(end time.Time, anchorDay int, zone *time.Location) usage.Period {
	next := usage.PeriodAt(end, anchorDay, zone)
	next.Start = end
	return next
}

func (t *tx) currentPeriod(ctx context.Context, subscriptionID int64) (period periodRow, err error) {
	const query = `SELECT id, ends_at FROM billing_periods WHERE subscription_id = $1 AND starts_at <= $2 AND ends_at > $2`
	return period, t.GetContext(ctx, &period, query, subscriptionID, t.now)
}

// firstPeriod is the one that stands for the time before it: periods follow each other without a gap, so that a clock which
// is in none of them, and not behind the last, was set back. To open the next one would skip one at every question.
func (t *tx) firstPeriod(ctx context.Context, subscriptionID int64) (period periodRow, err error) {
	const query = `SELECT id, ends_at FROM billing_periods WHERE subscription_id = $1 ORDER BY starts_at LIMIT 1`
	if err := t.GetContext(ctx, &period, query, subscriptionID); err != nil {
		return period, fmt.Errorf("first period of subscription %d: %w", subscriptionID, err)
	}
	return period, nil
}

func (t *tx) insertPeriod(ctx context.Context, subscriptionID, tenantID, versionID int64, edges usage.Period) (period periodRow, err error) {
	const insert = `WITH p AS (
			INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
			VALUES ($1, $2, $3, $4, $5) RETURNING id, ends_at
		), b AS (
			INSERT INTO quota_buckets (period_id, tenant_id, hard, limit_in, limit_out, spend_cap_micros, extra_tokens)
			SELECT p.id, $2, v.overage = 'block' OR c.cap IS NOT NULL, v.input_tokens, v.output_tokens, c.cap,
				coalesce(c.cap / nullif(v.overage_price_micros, 0), 0)
			FROM p JOIN subscriptions s ON s.id = $1 JOIN plan_versions v ON v.id = $3 CROSS JOIN LATERAL (SELECT ` + capInForce + ` AS cap) c
		) SELECT id, ends_at FROM p`
	if err := t.GetContext(ctx, &period, insert, subscriptionID, tenantID, versionID, edges.Start, edges.End); err != nil {
		return period, fmt.Errorf("open period of subscription %d: %w", subscriptionID, err)
	}
	return period, nil
}
