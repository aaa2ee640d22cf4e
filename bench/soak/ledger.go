package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// event is one of the ledger's.
type event struct {
	id         string // 32 hex digits
	created    time.Time
	tenant     int64
	key        int64
	period     int64
	endpoint   string
	status     string
	httpStatus int
	estimated  bool
	billed     tokens
	served     tokens // without cached tokens
	cache      string
	providerID string
	took       time.Duration
}

func (e *event) saved() bool { return e.cache == "hit" || e.cache == "coalesced" }

func (e *event) String() string {
	return fmt.Sprintf("event %s of tenant %d at %s: %s %s %d, %s tokens, estimated %t, cache %s, provider's id %q", e.id, e.tenant,
		e.created.Format("15:04:05.000"), e.endpoint, e.status, e.httpStatus, e.billed, e.estimated, e.cache, e.providerID)
}

// bucket is a period's quota at the end.
type bucket struct {
	period, tenant int64
	hard           bool
	limit          tokens
	used           tokens
	leased         tokens
	overrun        tokens
}

// causes are a period's overruns as the product explains them.
type causes map[string]tokens

// books are what the database holds at the end.
type books struct {
	events   []*event
	buckets  []bucket
	hourly   map[int64]tokens // by period
	requests map[int64]int64  // by period, of the hours
	leases   int64            // rows that still hold something
	overruns map[int64]causes // by period
	signedOn []string         // replicas that have not signed off with an empty spool
	refusals map[string]int64
}

func (s *soak) readBooks(ctx context.Context) (b *books, err error) {
	db, err := s.pg.open(role, role)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	b = &books{hourly: map[int64]tokens{}, requests: map[int64]int64{}, refusals: map[string]int64{}, overruns: map[int64]causes{}}
	read := func(what, query string, scan func(*sql.Rows) error) {
		if err != nil {
			return
		}
		var rows *sql.Rows
		if rows, err = db.QueryContext(ctx, query); err == nil {
			defer rows.Close()
			for rows.Next() && err == nil {
				err = scan(rows)
			}
			err = errors.Join(err, rows.Err())
		}
		if err != nil {
			err = fmt.Errorf("read the %s: %w", what, err)
		}
	}
	read("events", `SELECT replace(id::text, '-', ''), created_at, tenant_id, key_id, period_id, endpoint, status, http_status, estimated,
		input_tokens, cached_tokens, output_tokens, served_input, served_output, cache, provider_id, latency_ms FROM usage_events ORDER BY id`, func(rows *sql.Rows) error {
		e := &event{}
		b.events = append(b.events, e)
		var ms int64
		err := rows.Scan(&e.id, &e.created, &e.tenant, &e.key, &e.period, &e.endpoint, &e.status, &e.httpStatus, &e.estimated,
			&e.billed.In, &e.billed.Cached, &e.billed.Out, &e.served.In, &e.served.Out, &e.cache, &e.providerID, &ms)
		e.took = time.Duration(ms) * time.Millisecond
		return err
	})
	read("buckets", `SELECT period_id, tenant_id, hard AND extra_tokens = 0, limit_in, limit_out, used_in, used_out, leased_in, leased_out, overrun_in, overrun_out
		FROM quota_buckets ORDER BY period_id`, func(rows *sql.Rows) error {
		var one bucket
		err := rows.Scan(&one.period, &one.tenant, &one.hard, &one.limit.In, &one.limit.Out, &one.used.In, &one.used.Out,
			&one.leased.In, &one.leased.Out, &one.overrun.In, &one.overrun.Out)
		b.buckets = append(b.buckets, one)
		return err
	})
	read("hours", `SELECT period_id, sum(requests), sum(input_tokens), sum(cached_tokens), sum(output_tokens) FROM usage_hourly GROUP BY 1`, func(rows *sql.Rows) error {
		var period, requests int64
		var t tokens
		err := rows.Scan(&period, &requests, &t.In, &t.Cached, &t.Out)
		b.hourly[period], b.requests[period] = t, requests
		return err
	})
	read("leases", `SELECT count(*) FROM quota_leases WHERE leased_in > 0 OR leased_out > 0`, func(rows *sql.Rows) error { return rows.Scan(&b.leases) })
	read("overruns", `SELECT period_id, cause, sum(tokens_in)::bigint, sum(tokens_out)::bigint FROM quota_overruns GROUP BY 1, 2`, func(rows *sql.Rows) error {
		var period int64
		var cause string
		var t tokens
		err := rows.Scan(&period, &cause, &t.In, &t.Out)
		if b.overruns[period] == nil {
			b.overruns[period] = causes{}
		}
		b.overruns[period][cause] = t
		return err
	})
	read("replicas", `SELECT name, spool_events FROM replicas WHERE stopped_at IS NULL OR spool_events > 0`, func(rows *sql.Rows) error {
		var name string
		var spooled int64
		err := rows.Scan(&name, &spooled)
		b.signedOn = append(b.signedOn, fmt.Sprintf("%s, with %d events in its spool", name, spooled))
		return err
	})
	read("refusals", `SELECT reason, count(*) FROM refusals GROUP BY 1`, func(rows *sql.Rows) error {
		var reason string
		var n int64
		err := rows.Scan(&reason, &n)
		b.refusals[reason] = n
		return err
	})
	return b, err
}

// said looks through a replica's log for what must never stand there.
func (r *replica) said() []string {
	text, err := os.ReadFile(r.logFile())
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		for _, mark := range []string{"panic", "DATA RACE", "fatal error", "goroutine 1 ["} {
			if strings.Contains(line, mark) {
				found = append(found, fmt.Sprintf("replica %d: %.300s", r.number, strings.TrimSpace(line)))
				break
			}
		}
	}
	return found
}
