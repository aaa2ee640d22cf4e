package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// stretch is a part of the data that lies in one month of UTC and in one period of each tenant.
type stretch struct {
	from, to time.Time
}

// months cuts the data by UTC month and then by local day.
func (w *world) months() (months [][]stretch) {
	for at := w.begin(); at.Before(w.end); {
		next := time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		var days []stretch
		for at.Before(next) && at.Before(w.end) {
			local := at.In(w.zone())
			day := time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, w.zone()).UTC()
			to := day
			if next.Before(to) {
				to = next
			}
			if w.end.Before(to) {
				to = w.end
			}
			days = append(days, stretch{at, to})
			at = to
		}
		months = append(months, days)
	}
	return months
}

// loadEvents makes a partition a month in a transaction of its own, first without indexes and then with them.
func (w *world) loadEvents(ctx context.Context, db *sql.DB, tell func(string, ...any)) error {
	for _, days := range w.months() {
		if err := w.loadMonth(ctx, db, days); err != nil {
			return fmt.Errorf("month of %s: %w", days[0].from.Format("2006-01"), err)
		}
		tell("month of %s", days[0].from.Format("2006-01"))
	}
	return nil
}

func (w *world) loadMonth(ctx context.Context, db *sql.DB, days []stretch) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	month := time.Date(days[0].from.Year(), days[0].from.Month(), 1, 0, 0, 0, 0, time.UTC)
	table := "usage_events_" + month.Format("2006_01")
	within := fmt.Sprintf(`created_at >= '%s' AND created_at < '%s'`, month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339))
	for _, statement := range []string{
		`SET LOCAL work_mem = '256MB'`, `SET LOCAL maintenance_work_mem = '512MB'`,
		fmt.Sprintf(`CREATE TABLE %s (LIKE usage_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`, table),
		fmt.Sprintf(`ALTER TABLE %s ADD CONSTRAINT %s_month CHECK (%s)`, table, table, within), // attaching need not look then
	} {
		if err := exec(ctx, tx, statement); err != nil {
			return err
		}
	}
	for _, day := range days {
		first, last := w.numberAt(day.from), w.numberAt(day.to)-1
		if err := exec(ctx, tx, fmt.Sprintf(eventsOfADay, table), first, last, w.begin().UnixMilli(), w.end.UnixMilli()-w.begin().UnixMilli(),
			w.events, w.keys, day.from); err != nil {
			return fmt.Errorf("day of %s: %w", day.from.Format(time.DateOnly), err)
		}
	}
	for _, statement := range []string{
		fmt.Sprintf(`ALTER TABLE %s ADD PRIMARY KEY (id, created_at)`, table),
		fmt.Sprintf(`CREATE INDEX ON %s (tenant_id, id)`, table),
		fmt.Sprintf(`ALTER TABLE usage_events ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`, table,
			month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339)),
		fmt.Sprintf(`ALTER TABLE %s DROP CONSTRAINT %s_month`, table, table),
	} {
		if err := exec(ctx, tx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// numberAt is the number of the first event that is not before at.
func (w *world) numberAt(at time.Time) int64 {
	span := w.end.UnixMilli() - w.begin().UnixMilli()
	return ((at.UnixMilli()-w.begin().UnixMilli())*w.events + span - 1) / span
}

// eventsOfADay makes the events with the numbers $1 to $2 into a partition, and their hours. All that is drawn comes from
// a hash of the number. Keys follow a power law: the first tenth of them makes almost half of the calls.
const eventsOfADay = `WITH drawn AS (
		SELECT i, at, h, g, h & 1023 AS size, (h >> 12) & 255 AS wrote, g & 127 AS luck,
			CASE WHEN i %% GREATEST($5::bigint / 20, 1) = 7 THEN $6::int + 1
				WHEN i < $5 / 9 AND i %% 997 = 0 THEN $6 + 2
				ELSE 1 + floor($6 * power((h >> 20 & 1048575) / 1048576.0::float8, 3))::int END AS key
		FROM (SELECT i, $3::bigint + i * $4::bigint / $5 AS at, hashint8extended(i, 1) & 9223372036854775807 AS h,
				hashint8extended(i, 2) & 9223372036854775807 AS g
			FROM generate_series($1::bigint, $2::bigint) AS i OFFSET 0) numbers OFFSET 0
	), owned AS (
		SELECT k.id AS key, k.tenant_id AS tenant, p.id AS period FROM api_keys k
		JOIN billing_periods p ON p.tenant_id = k.tenant_id AND p.starts_at <= $7 AND p.ends_at > $7
	), made AS (
		SELECT d.*, o.tenant, o.period,
			(lpad(to_hex(at), 12, '0') || '7' || lpad(to_hex(i & 4095), 3, '0') || '8' || lpad(to_hex(h & 1152921504606846975), 15, '0'))::uuid AS id,
			timestamptz 'epoch' + at * interval '1 millisecond' AS created,
			CASE WHEN luck = 0 THEN 'error' WHEN luck = 1 THEN 'aborted' ELSE 'ok' END AS status,
			CASE WHEN luck < 40 THEN 'bypass' WHEN luck < 90 THEN 'miss' ELSE 'hit' END AS cache,
			CASE WHEN luck = 0 THEN 0 ELSE 20 + size END AS input, CASE WHEN luck = 0 THEN 0 ELSE 5 + wrote END AS output
		FROM drawn d JOIN owned o ON o.key = d.key OFFSET 0
	), inserted AS (
		INSERT INTO %s (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated,
			input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, charge_brl_micros, latency_ms, first_byte_ms,
			request_id, provider_id, provider, cache, served_input, served_output, saved_usd_micros)
		SELECT id, created, tenant, key, period,
			(ARRAY['gpt-4.1-nano', 'gpt-4.1-nano', 'gpt-4.1-nano', 'gpt-4.1-nano', 'gpt-4.1-mini', 'gpt-4.1-mini', 'gpt-4.1', 'text-embedding-3-small'])[1 + (g >> 8 & 7)],
			'chat.completions', status, CASE WHEN luck = 0 THEN 500 ELSE 200 END, g & 128 = 0, luck = 1,
			CASE WHEN cache = 'hit' THEN 0 ELSE input END, CASE WHEN cache = 'hit' THEN 0 ELSE input / 4 END,
			CASE WHEN cache = 'hit' THEN 0 ELSE output END, 0, CASE WHEN cache = 'hit' THEN 0 ELSE (input * 20 + output * 80) / 100 END, 0,
			200 + (g >> 16 & 2047), 100 + (g >> 16 & 127), 'req_' || replace(id::text, '-', ''), 'chatcmpl-' || to_hex(g) || to_hex(h),
			CASE WHEN cache = 'hit' THEN '' ELSE 'openai' END, cache, input, output, CASE WHEN cache = 'hit' THEN (input * 20 + output * 80) / 100 ELSE 0 END
		FROM made
		RETURNING created_at, tenant_id, key_id, period_id, model, status, cache, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
			cost_usd_micros, charge_brl_micros, served_input, served_output, saved_usd_micros
	)
	INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
		reasoning_tokens, cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
	SELECT date_trunc('hour', created_at, 'UTC'), tenant_id, key_id, period_id, model, count(*), count(*) FILTER (WHERE status IN ('error', 'interrupted')),
		sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros),
		count(*) FILTER (WHERE cache <> 'bypass'), count(*) FILTER (WHERE cache IN ('hit', 'coalesced')), sum(served_input), sum(served_output),
		sum(saved_usd_micros)
	FROM inserted GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`

// loadRest makes what follows from the events: what was used of each period, when keys were last used, the live chart's
// minutes; and a refusal for every fiftieth call, and what breakers did.
func (w *world) loadRest(ctx context.Context, db *sql.DB) error {
	for _, one := range []struct {
		statement string
		args      []any
	}{
		{`UPDATE quota_buckets b SET used_in = h.input, used_out = h.output FROM (SELECT period_id, sum(input_tokens) AS input, sum(output_tokens) AS output
			FROM usage_hourly GROUP BY period_id) h WHERE h.period_id = b.period_id`, nil},
		{`UPDATE api_keys k SET last_used_at = h.hour FROM (SELECT key_id, max(hour) AS hour FROM usage_hourly GROUP BY key_id) h WHERE h.key_id = k.id`, nil},
		{`INSERT INTO usage_minutes (minute, tenant_id, requests, failures, input_tokens, output_tokens)
			SELECT date_trunc('minute', created_at), tenant_id, count(*), count(*) FILTER (WHERE status IN ('error', 'interrupted')), sum(input_tokens), sum(output_tokens)
			FROM usage_events WHERE created_at >= date_trunc('minute', $1::timestamptz) - interval '2 hours'
				AND id >= (lpad(to_hex((extract(epoch FROM $1) * 1000)::bigint - 7260000), 12, '0') || repeat('0', 20))::uuid GROUP BY 1, 2`, []any{w.end}},
		{`INSERT INTO refusals (id, at, tenant_id, key_id, endpoint, model, http_status, reason, scope, limit_name, limit_value, asked, remaining)
			SELECT (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(i & 4095), 3, '0') || '8' || lpad(to_hex(i), 15, '0'))::uuid,
				timestamptz 'epoch' + ms * interval '1 millisecond', k.tenant_id, k.id, 'chat.completions', 'gpt-4.1-nano', 429, 'rate_limited', 'plan', 'requests_per_minute', 60, 1, 0
			FROM (SELECT i, $1::bigint + i * 50 * $2::bigint / $3::bigint AS ms,
					1 + floor($4::int * power((hashint8extended(i, 3) & 1048575) / 1048576.0::float8, 3))::int AS key
				FROM generate_series(0, ($3 - 1) / 50) AS i) n JOIN api_keys k ON k.id = n.key ORDER BY i`,
			[]any{w.begin().UnixMilli(), w.end.UnixMilli() - w.begin().UnixMilli(), w.events, w.keys}},
		{`INSERT INTO breaker_changes (at, replica, provider_id, model, from_state, to_state, reason, failure_percent, calls)
			SELECT $1::timestamptz - i * interval '5 minutes', 'bench', p.id, '', 'closed', 'open', 'failures', 60, 40
			FROM generate_series(1, 20000) AS i, (SELECT min(id) AS id FROM providers) p`, []any{w.end}},
	} {
		if err := exec(ctx, db, one.statement, one.args...); err != nil {
			return fmt.Errorf("%.60s: %w", one.statement, err)
		}
	}
	return nil
}
