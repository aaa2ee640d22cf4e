package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// account is a period's bucket and this replica's lease on it, locked for the length of a commit.
type account struct {
	PeriodID     int64        `db:"period_id"`
	Hard         bool         `db:"hard"`
	LimitIn      int64        `db:"limit_in"`
	UsedIn       int64        `db:"used_in"`
	LeasedIn     int64        `db:"leased_in"`
	OverrunIn    int64        `db:"overrun_in"`
	LimitOut     int64        `db:"limit_out"`
	UsedOut      int64        `db:"used_out"`
	LeasedOut    int64        `db:"leased_out"`
	OverrunOut   int64        `db:"overrun_out"`
	OveragePrice int64        `db:"overage_price_micros"` // 0 where nothing is charged above
	OwnIn        int64        `db:"own_in"`
	OwnOut       int64        `db:"own_out"`
	CommittedIn  int64        `db:"committed_in"` // of this replica's calls that had held tokens
	CommittedOut int64        `db:"committed_out"`
	Extra        int64        `db:"extra_tokens"` // above the limits that a spend cap allows
	Capped       bool         `db:"capped"`
	Changes      int64        `db:"changes"` // before this commit
	TenantID     int64        `db:"tenant_id"`
	ReapedAt     sql.NullTime `db:"reaped_at"` // when this replica's lease was last taken back
	watched

	added    quota.Pair // by this batch
	held     quota.Pair // the part of it whose calls held tokens of the lease
	overrun  quota.Pair // the part of it that no limit could stop
	room     int64      // what is left of Extra
	earliest time.Time  // its first call
}

// lockAccounts locks the buckets of the events in order of id, then this replica's leases on them.
func (c *UsageCommitter) lockAccounts(ctx context.Context, t *tx, events []usage.Event) (map[int64]*account, error) {
	var ids []int64
	for i := range events {
		ids = append(ids, events[i].PeriodID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	list := ints(ids, func(id *int64) int64 { return *id })
	const lock = `SELECT period_id FROM quota_buckets WHERE period_id = ANY ($1::bigint[]) ORDER BY period_id FOR UPDATE`
	if _, err := t.ExecContext(ctx, lock, list); err != nil {
		return nil, fmt.Errorf("lock buckets: %w", err)
	}
	const read = `SELECT b.period_id, b.hard, b.limit_in, b.used_in, b.leased_in, b.overrun_in,
			b.limit_out, b.used_out, b.leased_out, b.overrun_out,
			CASE WHEN v.overage = 'charge' THEN v.overage_price_micros ELSE 0 END AS overage_price_micros,
			coalesce(l.leased_in, 0) AS own_in, coalesce(l.leased_out, 0) AS own_out,
			coalesce(l.committed_in, 0) AS committed_in, coalesce(l.committed_out, 0) AS committed_out, b.changes, b.extra_tokens,
			b.spend_cap_micros IS NOT NULL AS capped, b.tenant_id, l.reaped_at,
			` + watchedColumns + `
		FROM quota_buckets b
		JOIN billing_periods p ON p.id = b.period_id
		JOIN plan_versions v ON v.id = p.plan_version_id
		LEFT JOIN quota_leases l ON l.period_id = b.period_id AND l.replica = $2
		WHERE b.period_id = ANY ($1::bigint[])`
	var rows []account
	if err := t.SelectContext(ctx, &rows, read, list, c.replica); err != nil {
		return nil, fmt.Errorf("read buckets: %w", err)
	}
	accounts := make(map[int64]*account, len(rows))
	for i := range rows {
		accounts[rows[i].PeriodID] = &rows[i]
	}
	return accounts, nil
}

// charge adds the events to their accounts in order and gives what each is charged, in BRL micros: the tokens that
// lie above what the plan includes.
func charge(events []usage.Event, accounts map[int64]*account) []int64 {
	charges := make([]int64, len(events))
	for i := range events {
		e := &events[i]
		a := accounts[e.PeriodID]
		if a == nil {
			continue
		}
		above := excess(a.UsedIn+a.added.In, e.Tokens.Input, a.LimitIn) + excess(a.UsedOut+a.added.Out, e.Tokens.Output, a.LimitOut)
		charges[i] = above * a.OveragePrice
		a.Charged += charges[i]
		a.added.In += e.Tokens.Input
		a.added.Out += e.Tokens.Output
		if a.earliest.IsZero() || e.CreatedAt.Before(a.earliest) {
			a.earliest = e.CreatedAt
		}
		if e.Held {
			a.held.In += e.Tokens.Input
			a.held.Out += e.Tokens.Output
		}
	}
	for _, a := range accounts {
		a.settle()
	}
	return charges
}

// excess is how many of tokens, on top of used, lie above the limit.
func excess(used, tokens, limit int64) int64 {
	return min(tokens, max(used+tokens-limit, 0))
}

// settle draws what was added from the leases. Under a spend cap overrun takes tokens like any use: it is charged.
func (a *account) settle() {
	pastIn, pastOut := a.OverrunIn, a.OverrunOut // takes nothing
	if a.Capped {
		pastIn, pastOut = 0, 0
	}
	above := func(limit, used, overrun, leased int64) int64 { return max(used-overrun+leased-limit, 0) }
	a.room = max(a.Extra-above(a.LimitIn, a.UsedIn, pastIn, a.LeasedIn)-above(a.LimitOut, a.UsedOut, pastOut, a.LeasedOut), 0)
	a.overrun.In = a.draw(a.added.In, a.held.In, a.LimitIn, a.UsedIn, pastIn, &a.LeasedIn, &a.OwnIn)
	a.overrun.Out = a.draw(a.added.Out, a.held.Out, a.LimitOut, a.UsedOut, pastOut, &a.LeasedOut, &a.OwnOut)
	a.UsedIn, a.OverrunIn = a.UsedIn+a.added.In, a.OverrunIn+a.overrun.In
	a.UsedOut, a.OverrunOut = a.UsedOut+a.added.Out, a.OverrunOut+a.overrun.Out
	a.CommittedIn, a.CommittedOut = a.CommittedIn+a.held.In, a.CommittedOut+a.held.Out
}

// draw takes tokens from the replica's lease as far as their calls held them there, which under another plan they may
// not have. In a hard period the rest comes from what is free, then from what the spend cap allows above, and what even that
// does not cover is overrun.
func (a *account) draw(tokens, held, limit, used, overrun int64, leased, own *int64) (over int64) {
	drawn := min(held, *own)
	*own -= drawn
	*leased -= drawn
	if !a.Hard {
		return 0
	}
	// used still lacks the drawn tokens, which were leased until now: together they take no free ones.
	free := max(limit-(used-overrun)-drawn-*leased, 0)
	over = max(tokens-drawn-free, 0)
	allowed := min(over, a.room)
	a.room -= allowed
	return over - allowed
}

// cause tells why the limit could not stop the overrun.
func (a *account) cause() usage.OverrunCause {
	switch {
	case a.ReapedAt.Valid && a.earliest.Before(a.ReapedAt.Time):
		return usage.OverrunLate
	case a.added != a.held:
		return usage.OverrunUnheld
	}
	return usage.OverrunReported
}

// stand is this replica's lease after the commit.
func (a *account) stand() quota.Stand {
	return quota.Stand{
		Leased: quota.Pair{In: a.OwnIn, Out: a.OwnOut}, Committed: quota.Pair{In: a.CommittedIn, Out: a.CommittedOut}, Version: a.Changes + 1,
	}
}

func (c *UsageCommitter) saveAccounts(ctx context.Context, t *tx, accounts map[int64]*account) error {
	var rows []*account
	for _, a := range accounts {
		rows = append(rows, a)
	}
	slices.SortFunc(rows, func(a, b *account) int { return int(a.PeriodID - b.PeriodID) })
	value := func(get func(*account) int64) string { return ints(rows, func(a **account) int64 { return get(*a) }) }
	period := value(func(a *account) int64 { return a.PeriodID })
	const buckets = `UPDATE quota_buckets b SET used_in = n.used_in, leased_in = n.leased_in, overrun_in = n.overrun_in,
			used_out = n.used_out, leased_out = n.leased_out, overrun_out = n.overrun_out, charge_brl_micros = n.charged, changes = b.changes + 1
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
			AS n (period_id, used_in, leased_in, overrun_in, used_out, leased_out, overrun_out, charged)
		WHERE b.period_id = n.period_id`
	if _, err := t.ExecContext(ctx, buckets, period,
		value(func(a *account) int64 { return a.UsedIn }), value(func(a *account) int64 { return a.LeasedIn }),
		value(func(a *account) int64 { return a.OverrunIn }), value(func(a *account) int64 { return a.UsedOut }),
		value(func(a *account) int64 { return a.LeasedOut }), value(func(a *account) int64 { return a.OverrunOut }),
		value(func(a *account) int64 { return a.Charged })); err != nil {
		return fmt.Errorf("update buckets: %w", err)
	}
	const leases = `UPDATE quota_leases l SET leased_in = n.leased_in, leased_out = n.leased_out,
			committed_in = n.committed_in, committed_out = n.committed_out
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS n (period_id, leased_in, leased_out, committed_in, committed_out)
		WHERE l.period_id = n.period_id AND l.replica = $6`
	if _, err := t.ExecContext(ctx, leases, period, value(func(a *account) int64 { return a.OwnIn }),
		value(func(a *account) int64 { return a.OwnOut }), value(func(a *account) int64 { return a.CommittedIn }),
		value(func(a *account) int64 { return a.CommittedOut }), c.replica); err != nil {
		return fmt.Errorf("update leases: %w", err)
	}
	return c.noteOverruns(ctx, t, rows)
}

func (c *UsageCommitter) noteOverruns(ctx context.Context, t *tx, accounts []*account) error {
	const note = `INSERT INTO quota_overruns (at, period_id, tenant_id, replica, cause, tokens_in, tokens_out) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	for _, a := range accounts {
		if a.overrun == (quota.Pair{}) {
			continue
		}
		if _, err := t.ExecContext(ctx, note, t.now, a.PeriodID, a.TenantID, c.replica, a.cause(), a.overrun.In, a.overrun.Out); err != nil {
			return fmt.Errorf("note overrun of period %d: %w", a.PeriodID, err)
		}
	}
	return nil
}
