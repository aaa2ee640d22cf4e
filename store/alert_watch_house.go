package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

// installation is what readings of everything together are about.
var installation = alert.Subject{Key: "installation"}

func ofProvider(id int64) alert.Subject {
	return alert.Subject{Key: "provider:" + strconv.FormatInt(id, 10), ProviderID: id}
}

// aliveWithin is the silence after which a replica's breakers are not believed to stand as it told last.
const aliveWithin = time.Minute

// readBreakers reads since when a provider's model is not asked freely, by the replica that has found so for longest. What a
// person forced is no news to the team; what an earlier life of a replica found ended with it.
func readBreakers(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var rows []struct {
		ProviderID int64     `db:"provider_id"`
		Provider   string    `db:"provider"`
		Model      string    `db:"model"`
		Since      time.Time `db:"since"`
	}
	const query = `SELECT b.provider_id, v.name AS provider, b.model, min(b.since) AS since
		FROM breaker_states b JOIN providers v ON v.id = b.provider_id AND v.active
		JOIN replicas r ON r.name = b.replica AND r.stopped_at IS NULL AND r.seen_at > now() - $1 * interval '1 second' AND b.since >= r.started_at
		WHERE b.state IN ('open', 'half_open') GROUP BY 1, 2, 3 ORDER BY 1, 3`
	if err := s.SelectContext(ctx, &rows, query, aliveWithin.Seconds()); err != nil {
		return nil, fmt.Errorf("read breakers: %w", err)
	}
	var readings []alert.Reading
	for _, r := range rows {
		subject := ofProvider(r.ProviderID)
		subject.Key += "/" + r.Model
		readings = append(readings, alert.Reading{
			Metric: alert.BreakerOpen, Subject: subject, Value: seconds(s.now.Sub(r.Since)),
			Details: alert.Details{Provider: r.Provider, Model: r.Model, Since: r.Since.UTC()},
		})
	}
	return readings, nil
}

func seconds(d time.Duration) int64 { return max(int64(d/time.Second), 0) }

// readThrottles counts how often each provider said 429 in the windows of the rules.
func readThrottles(ctx context.Context, s *sight) ([]alert.Reading, error) {
	const query = `SELECT h.provider_id, v.name AS provider, sum(h.count)::bigint AS count
		FROM provider_throttles h JOIN providers v ON v.id = h.provider_id WHERE h.minute > $1 AND h.minute <= $2 GROUP BY 1, 2 ORDER BY 1`
	var readings []alert.Reading
	for _, window := range s.windows() {
		var rows []struct {
			ProviderID int64  `db:"provider_id"`
			Provider   string `db:"provider"`
			Count      int64  `db:"count"`
		}
		if err := s.SelectContext(ctx, &rows, query, s.since(window), s.now); err != nil {
			return nil, fmt.Errorf("read what providers refused: %w", err)
		}
		for _, r := range rows {
			readings = append(readings, alert.Reading{
				Metric: alert.Provider429, Subject: ofProvider(r.ProviderID), Window: window, Value: r.Count,
				Details: alert.Details{Provider: r.Provider, Window: window, Failures: r.Count},
			})
		}
	}
	return readings, nil
}

// readQueue reads how long the oldest job waits that could have begun. Without a queue there is nothing to read.
func readQueue(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var there bool
	if err := s.GetContext(ctx, &there, `SELECT to_regclass('river_job') IS NOT NULL`); err != nil || !there {
		return nil, err
	}
	var oldest *time.Time
	const query = `SELECT min(scheduled_at) FROM river_job WHERE state IN ('available', 'retryable', 'scheduled') AND scheduled_at <= $1`
	if err := s.GetContext(ctx, &oldest, query, s.now); err != nil {
		return nil, fmt.Errorf("read the queue's age: %w", err)
	}
	if oldest == nil {
		return nil, nil
	}
	return []alert.Reading{{
		Metric: alert.QueueAge, Subject: installation, Value: seconds(s.now.Sub(*oldest)), Details: alert.Details{Since: oldest.UTC()},
	}}, nil
}

// readSpools reads the age of the oldest call that a replica has recorded and not committed. It grows while the replica is
// silent: what lies in its spool waits for it.
func readSpools(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var rows []struct {
		Name  string    `db:"name"`
		AgeMS int64     `db:"age_ms"`
		Now   time.Time `db:"now"`
	}
	const query = `SELECT name, spool_age_ms + (extract(epoch FROM greatest(now() - seen_at, interval '0')) * 1000)::bigint AS age_ms, now() AS now
		FROM replicas WHERE stopped_at IS NULL AND spool_events > 0 AND spool_age_ms > 0 ORDER BY name`
	if err := s.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("read the replicas' spools: %w", err)
	}
	var readings []alert.Reading
	for _, r := range rows {
		age := time.Duration(r.AgeMS) * time.Millisecond
		readings = append(readings, alert.Reading{
			Metric: alert.SpoolLag, Subject: alert.Subject{Key: "replica:" + r.Name}, Value: seconds(age),
			Details: alert.Details{Replica: r.Name, Since: r.Now.UTC().Add(-age)},
		})
	}
	return readings, nil
}

// costAfter is for how long a day's cost is looked at when the day is over: calls of its last minute, or of a spool that had to wait,
// are in the books later.
const costAfter = 6 * time.Hour

// readCost reads what the providers charge the operator for today's calls, and for a while for yesterday's.
func readCost(ctx context.Context, s *sight) ([]alert.Reading, error) {
	folded, err := foldedUntil(ctx, s)
	if err != nil {
		return nil, err
	}
	today := dayOf(s.now, s.zone)
	reading, err := costOf(ctx, s, spanOf(today, s.now.Add(time.Hour)), folded)
	if err != nil || !s.now.Before(today.Add(costAfter)) {
		return []alert.Reading{reading}, err
	}
	before, err := costOf(ctx, s, spanOf(dayOf(today.Add(-time.Second), s.zone), today), folded)
	return []alert.Reading{before, reading}, err
}

// costOf reads what the calls of a day, or of some of it, cost.
func costOf(ctx context.Context, s *sight, span usage.Period, folded time.Time) (alert.Reading, error) {
	day := span.Start
	var row struct {
		Cost  int64 `db:"cost"`
		Calls int64 `db:"calls"`
	}
	from, args := union(byHours(span, folded, allHours), "", []string{"cost_usd_micros", "requests"}, "")
	query := `SELECT coalesce(sum(cost_usd_micros), 0)::bigint AS cost, coalesce(sum(requests), 0)::bigint AS calls FROM (` + from + `) u`
	if err := s.GetContext(ctx, &row, query, args...); err != nil {
		return alert.Reading{}, fmt.Errorf("read the day's cost: %w", err)
	}
	return alert.Reading{
		Metric: alert.ProviderCost, Subject: installation, Value: row.Cost, Period: day,
		Details: alert.Details{Cost: money.Micros(row.Cost), Calls: row.Calls, PeriodStart: day, Zone: s.zone.String()},
	}, nil
}

// readRates reads how many days ago the newest exchange rate was. Where none was ever given nobody waits for one.
func readRates(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var newest *time.Time
	today := midnight(s.now.In(s.zone))
	if err := s.GetContext(ctx, &newest, `SELECT max(day) FROM exchange_rates WHERE day <= $1`, today); err != nil {
		return nil, fmt.Errorf("read the newest exchange rate: %w", err)
	}
	if newest == nil {
		return nil, nil
	}
	day := midnight(*newest)
	return []alert.Reading{{
		Metric: alert.RateStale, Subject: installation, Value: int64(today.Sub(day) / utcDay), Period: day, Details: alert.Details{Since: day},
	}}, nil
}
