package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// mostCalls is how many calls a replay reads one by one: the newest.
const mostCalls = 500_000

// reach is from when on the calls of these hours can be read one by one: they must be kept, and not too many. It is the replay's
// end where there are none.
func (r *rerun) reach(ctx context.Context, rows []hourRow) (time.Time, error) {
	var oldest []time.Time
	if err := r.SelectContext(ctx, &oldest, `SELECT created_at FROM usage_events ORDER BY id LIMIT 1`); err != nil {
		return r.to, fmt.Errorf("read since when single calls are kept: %w", err)
	}
	if len(oldest) == 0 {
		return r.to, nil
	}
	since := minTime(maxTime(oldest[0].UTC().Truncate(time.Hour), r.from), r.to)
	perHour := map[time.Time]int64{}
	for i := range rows {
		perHour[rows[i].Hour.UTC()] += rows[i].Requests
	}
	var sum int64
	hour := r.to.Truncate(time.Hour)
	for ; !hour.Before(since.Truncate(time.Hour)); hour = hour.Add(-time.Hour) {
		if sum += perHour[hour]; sum > mostCalls {
			return minTime(hour.Add(time.Hour), r.to), nil
		}
	}
	return since, nil
}

// slowestCall is how long before a window calls may begin that are known within it.
const slowestCall = 10 * time.Minute

// calls reads single calls of all together, or of each of the customers, by whom they are of.
func (r *rerun) calls(ctx context.Context, since time.Time, customers map[int64]*watchedCustomer) (map[int64][]alert.Called, error) {
	const ended = `CASE WHEN status = 'ok' THEN 0 WHEN usage_callers_fault(status, http_status) THEN 3 WHEN status = 'aborted' THEN 2 ELSE 1 END`
	const query = `SELECT created_at, latency_ms, ` + ended + ` AS ended, %s FROM %s WHERE id >= $1 AND created_at >= $2 AND created_at < $3%s`
	since = since.Add(-time.Duration(r.rule.LooksBack())*time.Minute - slowestCall)
	args := []any{firstID(since), since, r.to}
	one := fmt.Sprintf(query, `0::bigint AS tenant_id`, `usage_events`, ``)
	if customers != nil {
		ids := make([]int64, 0, len(customers))
		for id := range customers {
			ids = append(ids, id)
		}
		args = append(args, ints(ids, func(id *int64) int64 { return *id }))
		one = `SELECT e.* FROM unnest($4::bigint[]) AS t (id) CROSS JOIN LATERAL (` + fmt.Sprintf(query, `tenant_id`, `usage_events`, ` AND tenant_id = t.id`) + `) e`
	}
	rows, err := r.QueryContext(ctx, one, args...)
	if err != nil {
		return nil, fmt.Errorf("read single calls: %w", err)
	}
	defer rows.Close()
	of := map[int64][]alert.Called{}
	for rows.Next() {
		var c alert.Called
		var at time.Time
		var tenant int64
		if err := rows.Scan(&at, &c.Took, &c.Ending, &tenant); err != nil {
			return nil, fmt.Errorf("read single calls: %w", err)
		}
		c.At = at.UnixMilli()
		of[tenant] = append(of[tenant], c)
	}
	return of, rows.Err()
}

// errors replays which part of the calls failed: call by call as far back as there are not too many, and by the hour before,
// whatever the rule's window.
func (r *rerun) errors(ctx context.Context) ([]alert.Firing, error) {
	rows, customers, err := r.hourly(ctx, r.from.Truncate(time.Hour))
	if err != nil {
		return nil, fmt.Errorf("read failed calls: %w", err)
	}
	since, err := r.reach(ctx, rows)
	if err != nil {
		return nil, err
	}
	calls, err := r.calls(ctx, since, customers)
	if err != nil {
		return nil, err
	}
	hours := map[int64][]hourRow{}
	for _, row := range rows {
		hours[row.TenantID] = append(hours[row.TenantID], row)
	}
	return r.eachCaller(customers, func(id int64, of alert.Reading) iter.Seq[alert.Past] {
		return func(yield func(alert.Past) bool) {
			for s := range hourlyErrors(of, hours[id], since) {
				if !yield(s) {
					return
				}
			}
			for s := range r.rule.PastCalls(of, calls[id], r.to) {
				if !s.At.Before(since) && !yield(s) {
					return
				}
			}
		}
	}), nil
}

// hourlyErrors are the readings of the whole hours before a moment.
func hourlyErrors(of alert.Reading, rows []hourRow, until time.Time) iter.Seq[alert.Past] {
	return func(yield func(alert.Past) bool) {
		var end time.Time // of the last hour that said something
		for _, row := range rows {
			hour := row.Hour.UTC()
			if row.Judged < alert.FewestCalls || hour.Add(time.Hour).After(until) {
				continue
			}
			if !end.IsZero() && hour.After(end) && !yield(alert.Past{At: end, Reading: of}) {
				return
			}
			s := alert.Past{At: hour, Reading: of}
			s.Value = alert.Share(row.Failures, row.Judged)
			s.Details.Window, s.Details.Calls, s.Details.Failures = 60, row.Judged, row.Failures
			if !yield(s) {
				return
			}
			end = hour.Add(time.Hour)
		}
		if !end.IsZero() {
			yield(alert.Past{At: end, Reading: of})
		}
	}
}

// latency replays how long calls took, as far back as there are not too many to be read.
func (r *rerun) latency(ctx context.Context) (alert.Replayed, error) {
	rows, customers, err := r.hourly(ctx, r.from.Truncate(time.Hour))
	if err != nil {
		return alert.Replayed{}, fmt.Errorf("read how many calls there were: %w", err)
	}
	since, err := r.reach(ctx, rows)
	if err != nil || !since.Before(r.to) {
		return alert.Replayed{Since: r.from}, err
	}
	calls, err := r.calls(ctx, since, customers)
	if err != nil {
		return alert.Replayed{}, err
	}
	fired := r.eachCaller(customers, func(id int64, of alert.Reading) iter.Seq[alert.Past] { return r.rule.PastCalls(of, calls[id], r.to) })
	fired = slices.DeleteFunc(fired, func(f alert.Firing) bool { return f.At.Before(since) })
	return alert.Newest(fired, since), nil
}

// eachCaller replays all together (0), or one customer after the other.
func (r *rerun) eachCaller(customers map[int64]*watchedCustomer, past func(id int64, of alert.Reading) iter.Seq[alert.Past]) []alert.Firing {
	if customers == nil {
		return r.rule.Replay(past(0, alert.Reading{Subject: installation}), 0, r.from, r.to)
	}
	var fired []alert.Firing
	for id, c := range customers {
		fired = append(fired, r.rule.Replay(past(id, alert.Reading{Subject: c.subject(), Details: c.details()}), 0, r.from, r.to)...)
	}
	return fired
}
