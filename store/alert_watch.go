package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
)

// Watcher raises the alerts that are not raised where usage is committed, and resolves those that are over. What was raised is
// only in the database, and every look reads how things stand: a crash loses nothing, and of several watchers one looks at a
// time. All go by the clock of the database: what one raised, another whose clock differs would resolve.
type Watcher struct {
	s       *Store
	zone    *time.Location // in which days begin
	steady  func() time.Time
	clock   func(time.Time) time.Time // what time it is when the database says that it is this
	due     map[alert.Metric]time.Time
	periods time.Time // when those that are over are looked for next
	version int64     // of the books
	books   map[alert.Metric]*book
}

// Watcher makes one. Days are those of zone, the installation's; steady must be a steady clock, such as time.Now.
func (s *Store) Watcher(zone *time.Location, steady func() time.Time) *Watcher {
	return &Watcher{s: s, zone: zone, steady: steady, clock: time.Time.UTC, due: map[alert.Metric]time.Time{}}
}

// glance is how a metric is read, and how often.
type glance struct {
	metric alert.Metric
	every  time.Duration
	read   func(context.Context, *sight) ([]alert.Reading, error)
}

// sight is a look at one metric, in its transaction.
type sight struct {
	*tx
	*book
	zone *time.Location
}

// share bounds what a metric costs however many customers there are: a look that takes a second comes every fifty.
const share = 50

const (
	soon   = 5 * time.Second
	often  = time.Minute
	seldom = 10 * time.Minute
)

func glances() []glance {
	return []glance{
		{alert.BreakerOpen, soon, readBreakers},
		{alert.ErrorRate, soon, readErrors},
		{alert.Provider429, soon, readThrottles},
		{alert.QueueAge, soon, readQueue},
		{alert.SpoolLag, soon, readSpools},
		{alert.LatencyP95, often, readLatency},
		{alert.ProviderCost, often, readCost},
		{alert.KeyAddress, often, readAddresses},
		{alert.SuddenChange, seldom, readChanges},
		{alert.Forecast, seldom, readForecasts},
		{alert.KeyUnused, seldom, readUnused},
		{alert.RateStale, seldom, readRates},
	}
}

// Watch takes the looks whose time has come. One that fails keeps no other from its turn, and its own comes again at once unless it took long.
func (w *Watcher) Watch(ctx context.Context) error {
	if err := w.readRules(ctx); err != nil {
		return err
	}
	var errs []error
	for _, g := range glances() {
		now := w.steady()
		if now.Before(w.due[g.metric]) {
			continue
		}
		if err := w.look(ctx, g); err != nil {
			errs = append(errs, fmt.Errorf("watch %s: %w", g.metric, err))
			if took := w.steady().Sub(now); took > time.Second { // the others must not wait for it again and again
				w.due[g.metric] = now.Add(10 * took)
			}
			continue
		}
		w.due[g.metric] = now.Add(max(g.every, share*w.steady().Sub(now)))
	}
	if now := w.steady(); !now.Before(w.periods) {
		w.periods = now.Add(often)
		errs = append(errs, w.s.resolvePeriods(ctx))
	}
	return errors.Join(errs...)
}

// book is the rules of one metric.
type book struct {
	*alert.Book
	rules []alert.Rule // those that are enabled
}

// readRules reads the rules again when one has changed.
func (w *Watcher) readRules(ctx context.Context) error {
	var version int64
	if err := w.s.db.GetContext(ctx, &version, `SELECT watched FROM alert_version`); err != nil {
		return fmt.Errorf("read the rules' version: %w", err)
	}
	if w.books != nil && version == w.version {
		return nil
	}
	const query = `SELECT id, name, audience, scope, coalesce(plan_id, 0), coalesce(tenant_id, 0), coalesce(key_id, 0), metric, unit, thresholds,
			direction, window_minutes, rearm_minutes, enabled
		FROM alert_rules WHERE deleted_at IS NULL AND metric <> ALL ($1::text[]) ORDER BY id`
	rows, err := w.s.db.QueryContext(ctx, query, committedMetrics())
	if err != nil {
		return fmt.Errorf("read the rules to watch: %w", err)
	}
	defer rows.Close()
	all := map[alert.Metric][]alert.Rule{}
	for rows.Next() {
		var r alert.Rule
		if err := rows.Scan(&r.ID, &r.Name, &r.Audience, &r.Scope, &r.PlanID, &r.TenantID, &r.KeyID, &r.Metric, &r.Unit,
			(*pq.Int64Array)(&r.Thresholds), &r.Direction, &r.Window, &r.Rearm, &r.Enabled); err != nil {
			return fmt.Errorf("read the rules to watch: %w", err)
		}
		all[r.Metric] = append(all[r.Metric], r)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the rules to watch: %w", err)
	}
	w.books, w.version = map[alert.Metric]*book{}, version
	for metric, rules := range all {
		w.books[metric] = newBook(rules)
	}
	return nil
}

func newBook(rules []alert.Rule) *book {
	b := &book{Book: alert.NewBook(rules)}
	for _, r := range rules {
		if r.Enabled {
			b.rules = append(b.rules, r)
		}
	}
	return b
}

// committedMetrics are those of which alerts are raised where usage is committed, as an array for SQL.
func committedMetrics() string { return metricsOf(func(k alert.Kind) bool { return k.Committed }) }

// episodeMetrics are those of what comes and goes.
func episodeMetrics() string {
	return metricsOf(func(k alert.Kind) bool { return k.Repeats == alert.PerEpisode })
}

func metricsOf(which func(alert.Kind) bool) string {
	var names []string
	for _, k := range alert.Kinds() {
		if which(k) {
			names = append(names, string(k.Metric))
		}
	}
	return "{" + strings.Join(names, ",") + "}"
}

// lookTime bounds a look: a database that is too slow for one must not keep the others from theirs.
const lookTime = 30 * time.Second

// withoutJIT spares statements of a tenth of a second the making of machine code, which takes longer.
const withoutJIT = `SET LOCAL jit = off`

// look reads a metric, raises what is new and resolves what is over, in one transaction.
func (w *Watcher) look(ctx context.Context, g glance) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	b := w.books[g.metric]
	if b == nil {
		b = newBook(nil)
	}
	return w.s.inTx(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, withoutJIT); err != nil {
			return err
		}
		var mine bool
		const turn = `SELECT pg_try_advisory_xact_lock(hashtext('filaia_watch'), hashtext($1)), clock_timestamp()`
		if err := t.QueryRowContext(ctx, turn, g.metric).Scan(&mine, &t.now); err != nil || !mine {
			return err
		}
		t.now = w.clock(t.now)
		var readings []alert.Reading
		if len(b.rules) > 0 || noted(g.metric) {
			var err error
			if readings, err = g.read(ctx, &sight{t, b, w.zone}); err != nil {
				return err
			}
		}
		if noted(g.metric) {
			if err := t.noteLook(ctx, g.metric, readings); err != nil {
				return err
			}
		}
		return t.settle(ctx, g.metric, b.Book, b.Look(readings))
	})
}

// maxRaised bounds what one look raises of a metric; the rest is for the next one.
const maxRaised = 500

// settle raises those alarms that are new, has what is back go on, and resolves what no alarm speaks for.
func (t *tx) settle(ctx context.Context, metric alert.Metric, book *alert.Book, alarms []alert.Alarm) error {
	kind, _ := metric.Kind()
	earlier, err := t.openAlerts(ctx, metric)
	if err != nil {
		return err
	}
	over := kind.Over(book, alarms, earlier)
	if err := t.resolve(ctx, over); err != nil {
		return err
	}
	setResolved(earlier, over, t.now)
	if len(kind.Fresh(book, alarms, earlier, uuid.New, t.now)) == 0 { // as mostly
		return nil
	}
	before, err := t.alertsBefore(ctx, kind, alarms)
	if err != nil {
		return err
	}
	earlier = append(earlier, before...)
	back := kind.Back(book, alarms, earlier, t.now)
	if err := t.reopen(ctx, back); err != nil {
		return err
	}
	setResolved(earlier, back, time.Time{})
	events := kind.Fresh(book, alarms, earlier, uuid.New, t.now)
	if len(events) > maxRaised {
		end := maxRaised // what belongs together is raised together
		for end < len(events) && events[end].Group == events[end-1].Group {
			end++
		}
		events = events[:end]
	}
	return t.insertAlerts(ctx, events)
}

// setResolved notes of those of the alerts that have one of the ids when they were over; zero: they go on.
func setResolved(list []alert.Earlier, ids []int64, at time.Time) {
	if len(ids) == 0 {
		return
	}
	of := make(map[int64]bool, len(ids))
	for _, id := range ids {
		of[id] = true
	}
	for i := range list {
		if of[list[i].ID] {
			list[i].ResolvedAt = at
		}
	}
}

type earlierRow struct {
	ID         int64          `db:"id"`
	RuleID     int64          `db:"rule_id"`
	Audience   alert.Audience `db:"audience"`
	Subject    string         `db:"subject"`
	Period     time.Time      `db:"period"`
	Threshold  int64          `db:"threshold"`
	ResolvedAt *time.Time     `db:"resolved_at"`
}

func earlierAlerts(rows []earlierRow) []alert.Earlier {
	list := make([]alert.Earlier, len(rows))
	for i, r := range rows {
		list[i] = alert.Earlier{ID: r.ID, RuleID: r.RuleID, Audience: r.Audience, Subject: r.Subject, Period: r.Period.UTC(), Threshold: r.Threshold}
		if r.ResolvedAt != nil {
			list[i].ResolvedAt = r.ResolvedAt.UTC()
		}
	}
	return list
}

// openAlerts are those of a metric that go on.
func (t *tx) openAlerts(ctx context.Context, metric alert.Metric) ([]alert.Earlier, error) {
	var rows []earlierRow
	const query = `SELECT id, rule_id, audience, subject, period, threshold, resolved_at FROM alert_events WHERE metric = $1 AND resolved_at IS NULL ORDER BY id`
	if err := t.SelectContext(ctx, &rows, query, metric); err != nil {
		return nil, fmt.Errorf("read alerts that go on: %w", err)
	}
	return earlierAlerts(rows), nil
}

// episodesBefore is how many of the newest alerts about a subject tell whether an episode may be told of again.
const episodesBefore = 100

// alertsBefore gives what was told of the alarms' subjects before, by whatever rule, as far as it matters to them.
func (t *tx) alertsBefore(ctx context.Context, kind alert.Kind, alarms []alert.Alarm) ([]alert.Earlier, error) {
	of := `JOIN alert_events e ON e.metric = $1 AND e.audience = a.audience AND e.subject = a.subject AND e.period = timestamptz 'epoch' + a.period * interval '1 microsecond'`
	if kind.Repeats == alert.PerEpisode {
		of = fmt.Sprintf(`CROSS JOIN LATERAL (SELECT * FROM alert_events e WHERE e.metric = $1 AND e.audience = a.audience AND e.subject = a.subject
			ORDER BY e.period DESC LIMIT %d) e`, episodesBefore)
	}
	query := `SELECT e.id, e.rule_id, e.audience, e.subject, e.period, e.threshold, e.resolved_at
		FROM (SELECT DISTINCT * FROM unnest($2::text[], $3::text[], $4::bigint[]) AS n (audience, subject, period)) a ` + of
	var rows []earlierRow
	if err := t.SelectContext(ctx, &rows, query, kind.Metric, texts(alarms, func(a *alert.Alarm) string { return string(a.Rule.Audience) }),
		texts(alarms, func(a *alert.Alarm) string { return a.Subject.Key }), ints(alarms, func(a *alert.Alarm) int64 { return a.Period.UnixMicro() })); err != nil {
		return nil, fmt.Errorf("read alerts told before: %w", err)
	}
	return earlierAlerts(rows), nil
}

// resolvePeriods resolves what was told of billing periods that are over. Who listens for alerts hears of every statement, so
// that there is none where nothing is over.
func (s *Store) resolvePeriods(ctx context.Context) error {
	const query = `SELECT e.id FROM alert_events e JOIN billing_periods p ON p.subscription_id = e.subscription_id AND p.starts_at = e.period
		WHERE e.resolved_at IS NULL AND e.metric = ANY ($2::text[]) AND p.ends_at <= $1 LIMIT 10000`
	return s.inTx(ctx, func(t *tx) error {
		var over []int64
		if err := t.SelectContext(ctx, &over, query, t.now, committedMetrics()); err != nil {
			return fmt.Errorf("read alerts of periods that are over: %w", err)
		}
		return t.resolve(ctx, over)
	})
}
