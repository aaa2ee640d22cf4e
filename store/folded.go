package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/usage"
)

// foldSlack is how long after its end an hour is folded: what comes later is added to what is folded, which costs more.
const foldSlack = 5 * time.Minute

// Whoever commits waits behind a fold that waits for its lock. So a try is short (usage_fold says how short), and there are
// tries for longer than a replica that stands still in a commit keeps the lock (idleLimit).
const (
	foldPause = time.Second
	foldTries = 15
)

// FoldUsage sums the hours that have ended up further, for reads of long spans. It is cheap where there is nothing to
// fold; until it runs, reads are as exact but slower. A day is folded at a time, so that commits wait for no more than that.
// Where commits leave it no moment it is an error, and may be tried again later: what was folded stays.
func (s *Store) FoldUsage(ctx context.Context) error {
	for try, more := 1, true; more; {
		err := s.patient.QueryRowContext(ctx, `SELECT usage_fold($1)`, s.now().Add(-foldSlack)).Scan(&more)
		if err == nil {
			try = 1
			continue
		}
		var refused *pq.Error
		if !errors.As(err, &refused) || refused.Code.Name() != "lock_not_available" || try == foldTries {
			return fmt.Errorf("fold usage: %w", err)
		}
		try++
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(foldPause):
		}
	}
	return nil
}

// The tables that usage is read from. A row of hourly is an hour, key, period and model of a tenant.
var (
	hourlyRows  = source{table: "usage_hourly", at: "hour"}
	allHours    = source{table: "usage_hours", at: "hour"} // of all tenants together
	tenantHours = source{table: "usage_tenant_hours", at: "hour"}
	tenantDays  = source{table: "usage_tenant_days", at: "day"}
	keyDays     = source{table: "usage_key_days", at: "day"}
)

const utcDay = 24 * time.Hour

// source is a table of sums by time.
type source struct{ table, at string }

// stretch is a part of a span that is read from one table, or what is too much in another part and taken away.
type stretch struct {
	source
	usage.Period
	minus bool
}

// foldedUntil tells up to where hours are folded. An older mark than the newest is as good: what was folded since is
// still in usage_hourly.
func foldedUntil(ctx context.Context, q sqlx.QueryerContext) (time.Time, error) {
	var until time.Time
	if err := sqlx.GetContext(ctx, q, &until, `SELECT until FROM usage_folded`); err != nil {
		return until, fmt.Errorf("read how far usage is folded: %w", err)
	}
	return until.UTC(), nil
}

// byHours splits a span into what is folded, from hours, and what is not yet.
func byHours(span usage.Period, folded time.Time, hours source) []stretch {
	return kept(
		stretch{source: hours, Period: usage.Period{Start: span.Start, End: minTime(span.End, folded)}},
		stretch{source: hourlyRows, Period: usage.Period{Start: maxTime(span.Start, folded), End: span.End}},
	)
}

// byDays splits a span into its whole UTC days that are folded, from days, and its edges: those that are folded from
// hours, the others from usage_hourly. Where a span begins soon after a day does, the hours before are taken away from that
// day instead: in São Paulo three hours, not twenty-one. A sum may then be zero.
func byDays(span usage.Period, folded time.Time, days, hours source) []stretch {
	whole := usage.Period{Start: span.Start.UTC().Truncate(utcDay), End: minTime(span.End, folded).UTC().Truncate(utcDay)}
	missing := whole.Start.Before(span.Start)
	soon := span.Start.Sub(whole.Start) < utcDay/2
	if missing && !soon {
		whole.Start = whole.Start.Add(utcDay)
	}
	if !whole.Start.Before(whole.End) {
		return byHours(span, folded, hours)
	}
	all := []stretch{{source: days, Period: whole}}
	if missing && soon {
		all = append(all, stretch{source: hours, Period: usage.Period{Start: whole.Start, End: span.Start}, minus: true})
	} else {
		all = append(all, stretch{source: hours, Period: usage.Period{Start: span.Start, End: whole.Start}})
	}
	return append(kept(all...), byHours(usage.Period{Start: whole.End, End: span.End}, folded, hours)...)
}

func kept(all ...stretch) []stretch {
	var some []stretch
	for _, s := range all {
		if s.Start.Before(s.End) {
			some = append(some, s)
		}
	}
	return some
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// union is the SQL of rows over stretches, each with the columns of names and the sums of usage, and args with their
// edges. where narrows each part; it may name the args given.
func union(stretches []stretch, names string, sums []string, where string, args ...any) (string, []any) {
	plus, minus := strings.Join(sums, ", "), "-"+strings.Join(sums, ", -")
	parts := make([]string, 0, len(stretches)+1)
	for _, s := range stretches {
		columns := plus
		if s.minus {
			columns = minus
		}
		args = append(args, s.Start, s.End)
		parts = append(parts, fmt.Sprintf(`SELECT %s%s FROM %s WHERE %s >= $%d AND %s < $%d%s`,
			names, columns, s.table, s.at, len(args)-1, s.at, len(args), where))
	}
	if len(parts) == 0 { // no time at all
		parts = append(parts, `SELECT `+names+plus+` FROM usage_hourly WHERE false`+where)
	}
	// The first part names the columns of all.
	return strings.Join(parts, "\nUNION ALL "), args
}
