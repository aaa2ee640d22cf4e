package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
)

// mostReplayed is how many periods or customers a replay looks into: those that used most. Of more nobody reads.
const mostReplayed = 200

// periods replays what the billing periods of a span used, hour by hour.
func (r *rerun) periods(ctx context.Context) ([]alert.Firing, error) {
	rows, err := r.replayedPeriods(ctx)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	byID := make(map[int64]*standingRow, len(rows))
	for i := range rows {
		byID[rows[i].PeriodID] = &rows[i]
	}
	var used []usedRow
	const query = `SELECT period_id, hour AS at, sum(input_tokens)::bigint AS input, sum(output_tokens)::bigint AS output, sum(charge_brl_micros)::bigint AS charge
		FROM usage_hourly WHERE period_id = ANY ($1::bigint[]) AND hour >= $2 AND hour < $3 GROUP BY 1, 2 ORDER BY 1, 2`
	if err := r.SelectContext(ctx, &used, query, ints(rows, func(p *standingRow) int64 { return p.PeriodID }), r.earliest(rows), r.to); err != nil {
		return nil, fmt.Errorf("read what periods used: %w", err)
	}
	var past []alert.Past
	for len(used) > 0 {
		n := slices.IndexFunc(used, func(u usedRow) bool { return u.PeriodID != used[0].PeriodID })
		if n < 0 {
			n = len(used)
		}
		if p := byID[used[0].PeriodID]; r.rule.Metric == alert.Forecast {
			past = append(past, r.forecasts(p, used[:n])...)
		} else {
			past = append(past, r.course(p, used[:n])...)
		}
		used = used[n:]
	}
	return r.rule.Replay(slices.Values(past), 0, r.from, r.to), nil
}

type usedRow struct {
	PeriodID int64     `db:"period_id"`
	At       time.Time `db:"at"`
	Input    int64     `db:"input"`
	Output   int64     `db:"output"`
	Charge   int64     `db:"charge"`
}

// earliest is where the first of the periods begins.
func (r *rerun) earliest(rows []standingRow) time.Time {
	first := r.from
	for i := range rows {
		first = minTime(first, rows[i].Start.UTC())
	}
	return first.Truncate(time.Hour)
}

// replayedPeriods are the periods of the span that the rule covers and that may come to its lowest threshold, those that were
// used most.
func (r *rerun) replayedPeriods(ctx context.Context) ([]standingRow, error) {
	share := func(used, of string) string { return used + `::float8 / NULLIF(` + of + `, 0)` }
	least := float64(r.rule.Thresholds[0]) / alert.Whole
	var size string
	switch m := r.rule.Metric; {
	case m == alert.InputQuota && r.rule.Unit == alert.Percent:
		size = share(`b.used_in`, `b.limit_in`)
	case m == alert.OutputQuota && r.rule.Unit == alert.Percent:
		size = share(`b.used_out`, `b.limit_out`)
	case m == alert.SpendCap:
		size = share(`b.charge_brl_micros`, `(b.spend_cap_micros - CASE WHEN b.charge_brl_micros < b.spend_cap_micros AND v.overage_price_micros > 0
			THEN (b.spend_cap_micros - b.charge_brl_micros) % v.overage_price_micros ELSE 0 END)`)
	case m == alert.Forecast:
		size, least = `greatest(`+share(`b.used_in`, `b.limit_in`)+`, `+share(`b.used_out`, `b.limit_out`)+`)`, 0.01
	default:
		size = map[alert.Metric]string{alert.InputQuota: `b.used_in`, alert.OutputQuota: `b.used_out`}[m]
		if size == "" {
			size = `b.charge_brl_micros`
		}
		least = float64(r.rule.Thresholds[0])
	}
	covered, arg := r.covering(5, "v.plan_id", "p.tenant_id", "k.id")
	query := `SELECT p.id AS period_id, p.subscription_id, p.tenant_id, v.plan_id, k.id AS key_id, p.starts_at, p.ends_at, n.name AS tenant,
			pl.name AS plan, coalesce(k.name, '') AS key_name, n.time_zone, v.overage = 'block' AS blocks, v.overage_price_micros,
			b.limit_in, b.used_in, b.limit_out, b.used_out, b.charge_brl_micros, coalesce(b.spend_cap_micros, 0) AS cap_micros
		FROM billing_periods p
		JOIN quota_buckets b ON b.period_id = p.id
		JOIN plan_versions v ON v.id = p.plan_version_id JOIN plans pl ON pl.id = v.plan_id
		JOIN tenants n ON n.id = p.tenant_id JOIN subscriptions s ON s.id = p.subscription_id
		LEFT JOIN LATERAL (SELECT id, name FROM api_keys WHERE tenant_id = s.tenant_id AND subscription_id = s.id AND s.scope = 'key'
			ORDER BY revoked_at IS NULL DESC, id DESC LIMIT 1) k ON true
		WHERE p.starts_at < $2 AND p.ends_at > $1 AND ` + size + ` >= $3 AND ` + covered + ` ORDER BY ` + size + ` DESC LIMIT $4`
	var rows []standingRow
	if err := r.SelectContext(ctx, &rows, query, r.from, r.to, least, mostReplayed, arg); err != nil {
		return nil, fmt.Errorf("read periods: %w", err)
	}
	return rows, nil
}

// course is what a period had used after each of its hours.
func (r *rerun) course(p *standingRow, used []usedRow) []alert.Past {
	past := make([]alert.Past, 0, len(used))
	stand := *p
	stand.UsedIn, stand.UsedOut, stand.Charged = 0, 0, 0
	for _, u := range used {
		stand.UsedIn, stand.UsedOut, stand.Charged = stand.UsedIn+u.Input, stand.UsedOut+u.Output, stand.Charged+u.Charge
		var value int64
		switch m := r.rule.Metric; {
		case m == alert.InputQuota && r.rule.Unit == alert.Percent:
			value = alert.Share(stand.UsedIn, stand.LimitIn)
		case m == alert.InputQuota:
			value = stand.UsedIn
		case m == alert.OutputQuota && r.rule.Unit == alert.Percent:
			value = alert.Share(stand.UsedOut, stand.LimitOut)
		case m == alert.OutputQuota:
			value = stand.UsedOut
		case m == alert.SpendCap:
			of := stand.standing()
			value = of.CapShare()
		default:
			value = stand.Charged
		}
		of := stand.standing()
		past = append(past, alert.Past{At: u.At.UTC(), Reading: alert.Reading{Subject: of.Subject, Value: value, Period: of.Start, Details: of.Details}})
	}
	return past
}

// forecasts are those of a period after each of its hours, as far as each is the worst until then: the others tell nothing new.
func (r *rerun) forecasts(p *standingRow, used []usedRow) (past []alert.Past) {
	first := p.Start.UTC().Truncate(time.Hour)
	end := minTime(p.End.UTC(), r.to)
	hours := int(end.Sub(first)/time.Hour) + 1
	sums := make([]usedRow, hours+1) // before each hour
	for _, u := range used {
		if n := max(int(u.At.Sub(first)/time.Hour), 0); n < hours {
			sums[n+1].Input, sums[n+1].Output, sums[n+1].Charge = sums[n+1].Input+u.Input, sums[n+1].Output+u.Output, sums[n+1].Charge+u.Charge
		}
	}
	for n := range hours {
		sums[n+1].Input, sums[n+1].Output, sums[n+1].Charge = sums[n+1].Input+sums[n].Input, sums[n+1].Output+sums[n].Output, sums[n+1].Charge+sums[n].Charge
	}
	before := func(at time.Time) usedRow { return sums[min(max(int(at.Sub(first)/time.Hour), 0), hours)] }
	worst := int64(-1)
	for at := first.Add(time.Hour); !at.After(end); at = at.Add(time.Hour) {
		mark := at.Add(-time.Minute).Truncate(utcDay) // a day is folded some minutes after it ends
		all, late, early := before(at), before(mark), before(mark.Add(-paceDays*utcDay))
		then := forecastRow{standingRow: *p, RecentIn: late.Input - early.Input, RecentOut: late.Output - early.Output}
		then.UsedIn, then.UsedOut, then.Charged = all.Input, all.Output, all.Charge
		if reading, ok := then.reading(mark, at); ok && reading.Value > worst {
			worst = reading.Value
			past = append(past, alert.Past{At: at, Reading: reading})
		}
	}
	return past
}

// cost replays what the providers charged, day by day.
func (r *rerun) cost(ctx context.Context) ([]alert.Firing, error) {
	folded, err := foldedUntil(ctx, r)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Hour time.Time `db:"hour"`
		Cost int64     `db:"cost"`
	}
	from, args := union(byHours(spanOf(dayOf(r.from, r.zone), r.to), folded, allHours), "hour, ", []string{"cost_usd_micros"}, "")
	query := `SELECT hour, sum(cost_usd_micros)::bigint AS cost FROM (` + from + `) u GROUP BY hour ORDER BY hour`
	if err := r.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("read the cost of days: %w", err)
	}
	past := make([]alert.Past, len(rows))
	var day time.Time
	var sum int64
	for i, row := range rows {
		if of := dayOf(row.Hour, r.zone); !of.Equal(day) {
			day, sum = of, 0
		}
		sum += row.Cost
		past[i] = alert.Past{At: row.Hour.UTC(), Reading: alert.Reading{Subject: installation, Value: sum, Period: day, Details: alert.Details{Cost: money.Micros(sum)}}}
	}
	return r.rule.Replay(slices.Values(past), 0, r.from, r.to), nil
}

// busiest are the customers that the rule covers and that called most in the span.
func (r *rerun) busiest(ctx context.Context, folded, since time.Time) (map[int64]*watchedCustomer, string, error) {
	covered, arg := r.covering(1, "v.plan_id", "n.id", "0::bigint")
	from, args := union(byDays(spanOf(since, r.to), folded, tenantDays, tenantHours), "tenant_id, ", []string{"requests"}, "", arg)
	query := `SELECT ` + watchedCustomerColumns + ` FROM (SELECT tenant_id, sum(requests) AS requests FROM (` + from + `) u GROUP BY 1) u` + watchedCustomerOf + `
		WHERE ` + covered + ` ORDER BY u.requests DESC, n.id LIMIT ` + fmt.Sprint(mostReplayed)
	var rows []watchedCustomer
	if err := r.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, "", fmt.Errorf("read customers: %w", err)
	}
	byID := make(map[int64]*watchedCustomer, len(rows))
	for i := range rows {
		byID[rows[i].TenantID] = &rows[i]
	}
	return byID, ints(rows, func(c *watchedCustomer) int64 { return c.TenantID }), nil
}

type hourRow struct {
	TenantID int64     `db:"tenant_id"` // 0: all
	Hour     time.Time `db:"hour"`
	Requests int64     `db:"requests"`
	Judged   int64     `db:"judged"` // of the requests, and the failures of them (usage.Totals)
	Failures int64     `db:"failures"`
	Tokens   int64     `db:"tokens"`
}

// hourly reads the hours of all together, or of each customer that the rule covers.
func (r *rerun) hourly(ctx context.Context, since time.Time) ([]hourRow, map[int64]*watchedCustomer, error) {
	folded, err := foldedUntil(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	sums := []string{"requests", "failures", "caller_errors", "input_tokens", "output_tokens"}
	const columns = `hour, sum(requests)::bigint AS requests, ` + judgedCalls + `::bigint AS judged, ` + failedCalls + `::bigint AS failures, sum(input_tokens + output_tokens)::bigint AS tokens`
	var rows []hourRow
	if r.rule.OfWhole() {
		from, args := union(byHours(spanOf(since, r.to), folded, allHours), "hour, ", sums, "")
		err := r.SelectContext(ctx, &rows, `SELECT 0::bigint AS tenant_id, `+columns+` FROM (`+from+`) u GROUP BY hour ORDER BY hour`, args...)
		return rows, nil, err
	}
	customers, ids, err := r.busiest(ctx, folded, since)
	if err != nil {
		return nil, nil, err
	}
	from, args := union(byHours(spanOf(since, r.to), folded, tenantHours), "tenant_id, hour, ", sums, " AND tenant_id = ANY ($1::bigint[])", ids)
	err = r.SelectContext(ctx, &rows, `SELECT tenant_id, `+columns+` FROM (`+from+`) u GROUP BY tenant_id, hour ORDER BY tenant_id, hour`, args...)
	return rows, customers, err
}

// about is whom an hour is of.
func about(row *hourRow, customers map[int64]*watchedCustomer) alert.Reading {
	if row.TenantID == 0 {
		return alert.Reading{Subject: installation}
	}
	c := customers[row.TenantID]
	return alert.Reading{Subject: c.subject(), Details: c.details()}
}

// changes replays the tokens of every hour beside what was usual in it.
func (r *rerun) changes(ctx context.Context) ([]alert.Firing, error) {
	rows, customers, err := r.hourly(ctx, r.from.Add(-weeksBack*7*utcDay-2*time.Hour).Truncate(time.Hour))
	if err != nil {
		return nil, fmt.Errorf("read the hours of weeks: %w", err)
	}
	var past []alert.Past
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(h hourRow) bool { return h.TenantID != rows[0].TenantID })
		if n < 0 {
			n = len(rows)
		}
		past = append(past, r.changesOf(rows[:n], about(&rows[0], customers))...)
		rows = rows[n:]
	}
	return r.rule.Replay(slices.Values(past), time.Hour, r.from, r.to), nil
}

// changesOf are the changes of one subject. An hour in which nothing was used is one, too.
func (r *rerun) changesOf(rows []hourRow, of alert.Reading) []alert.Past {
	tokens := make(map[int64]int64, len(rows))
	for _, row := range rows {
		tokens[row.Hour.Unix()] = row.Tokens
	}
	var past []alert.Past
	for hour := r.from.Truncate(time.Hour); hour.Add(time.Hour + foldSlack).Before(r.to); hour = hour.Add(time.Hour) {
		var sum, weeks int64
		for _, then := range hoursAlike(hour.Add(time.Hour+foldSlack), r.zone)[1:] {
			if n := tokens[then.Unix()]; n > 0 {
				sum, weeks = sum+n, weeks+1
			}
		}
		if weeks < fewestWeeks || sum/weeks < leastUsual {
			continue
		}
		reading := of
		reading.Details.Now, reading.Details.Base, reading.Details.Since = tokens[hour.Unix()], sum/weeks, hour
		reading.Value = alert.Share(reading.Details.Now, reading.Details.Base)
		past = append(past, alert.Past{At: hour.Add(time.Hour), Reading: reading})
	}
	return past
}
