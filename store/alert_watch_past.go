package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

const (
	lookStep     = 5 * time.Minute // of which the worst is kept
	looksKept    = 35 * utcDay     // longer than any replay
	mostSubjects = 200             // of one look; of more nobody reads
)

// noted tells of metrics of which nothing else says what they were: the watch notes what it sees, whether a rule asks or not.
func noted(m alert.Metric) bool {
	return m == alert.BreakerOpen || m == alert.QueueAge || m == alert.SpoolLag
}

// noteLook keeps the worst that was seen of each subject within five minutes.
func (t *tx) noteLook(ctx context.Context, metric alert.Metric, readings []alert.Reading) error {
	worst := slices.DeleteFunc(slices.Clone(readings), func(r alert.Reading) bool { return r.Value <= 0 })
	if len(worst) == 0 {
		return nil
	}
	slices.SortFunc(worst, func(a, b alert.Reading) int { return int(b.Value - a.Value) })
	worst = worst[:min(len(worst), mostSubjects)]
	const upsert = `INSERT INTO watch_looks AS w (metric, at, subject, value)
		SELECT $1, $2, subject, value FROM unnest($3::text[], $4::bigint[]) AS n (subject, value) ORDER BY subject
		ON CONFLICT (metric, at, subject) DO UPDATE SET value = excluded.value WHERE w.value < excluded.value`
	type r = alert.Reading
	if _, err := t.ExecContext(ctx, upsert, metric, t.now.Truncate(lookStep), texts(worst, func(r *r) string { return r.Subject.Key }),
		ints(worst, func(r *r) int64 { return r.Value })); err != nil {
		return fmt.Errorf("note what was seen: %w", err)
	}
	return nil
}

// looksSince is the migration from which on looks are noted.
const looksSince = 15

// looks replays what the watch saw, to five minutes.
func (r *rerun) looks(ctx context.Context) ([]alert.Firing, error) {
	var rows []struct {
		At      time.Time `db:"at"`
		Subject string    `db:"subject"`
		Value   int64     `db:"value"`
	}
	const query = `SELECT at, subject, value FROM watch_looks WHERE metric = $1 AND at > $2 AND at <= $3 ORDER BY subject, at`
	if err := r.SelectContext(ctx, &rows, query, r.rule.Metric, r.from.Add(-utcDay), r.to); err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	names, err := r.providers(ctx)
	if err != nil {
		return nil, err
	}
	samples := func(yield func(alert.Past) bool) {
		for _, row := range rows {
			reading := seen(row.Subject, names)
			reading.Value = row.Value
			if !yield(alert.Past{At: row.At.UTC(), Reading: reading}) {
				return
			}
		}
	}
	return r.rule.Replay(samples, lookStep, r.from, r.to), nil
}

// seen is whom a look was about, by the key of its subject.
func seen(key string, providers map[int64]string) alert.Reading {
	reading := alert.Reading{Subject: alert.Subject{Key: key}}
	if name, ok := strings.CutPrefix(key, "replica:"); ok {
		reading.Details.Replica = name
	}
	if of, ok := strings.CutPrefix(key, "provider:"); ok {
		id, model, _ := strings.Cut(of, "/")
		reading.Subject.ProviderID, _ = strconv.ParseInt(id, 10, 64) // we wrote it
		reading.Details.Provider, reading.Details.Model = providers[reading.Subject.ProviderID], model
	}
	return reading
}

func (r *rerun) providers(ctx context.Context) (map[int64]string, error) {
	var rows []struct {
		ID   int64  `db:"id"`
		Name string `db:"name"`
	}
	if err := r.SelectContext(ctx, &rows, `SELECT id, name FROM providers`); err != nil {
		return nil, fmt.Errorf("read names of providers: %w", err)
	}
	names := make(map[int64]string, len(rows))
	for _, row := range rows {
		names[row.ID] = row.Name
	}
	return names, nil
}
