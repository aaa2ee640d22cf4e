package handlers

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// UsageStore reads what was used, of one tenant or, in the panel, of all (0).
type UsageStore interface {
	UsageMinutes(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error)
	UsageHours(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error)
	Allowances(ctx context.Context, tenantID int64, limit int) ([]usage.Allowance, error)
	Latency(ctx context.Context, tenantID int64) (usage.Latency, error)
	Calls(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]usage.Call, error)
	usageShares
}

type usageShares interface {
	UsageByModel(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error)
	UsageByKey(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error)
}

// view is what a page of usage looks at: today with the last hour minute by minute, or thirty days.
type view string

const (
	today  view = ""
	thirty view = "days"
	steps  view = "steps" // the checklist of a new installation

	alertsView view = "alerts" // no figures: how alerts stand
)

const (
	chartMinutes = 60
	chartDays    = 30
	recentCalls  = 10
	fullestPlans = 6
	topTenants   = 10
)

func knownView(text string) view {
	if text == string(thirty) {
		return thirty
	}
	return today
}

// figures are what every page of usage shows of a scope.
type figures struct {
	at      time.Time
	zone    *time.Location
	view    view
	span    usage.Period // that the totals cover
	totals  usage.Totals
	before  usage.Totals // the same length of time before
	spark   usage.Series // the totals' way: hours of today, or days
	chart   usage.Series
	latency usage.Latency
	calls   []usage.Call
}

// readFigures reads a scope. Days are those of zone.
func (p *Panel) readFigures(ctx context.Context, from UsageStore, s scope, zone *time.Location) (figures, error) {
	now := p.Now().UTC()
	f := figures{at: now, zone: zone, view: s.view}
	var err error
	if s.view == thirty {
		err = p.readDays(ctx, from, s, &f)
	} else {
		err = p.readToday(ctx, from, s, &f)
	}
	if err != nil {
		return f, err
	}
	if f.latency, err = from.Latency(ctx, s.tenantID); err != nil {
		return f, err
	}
	f.calls, err = from.Calls(ctx, s.tenantID, uuid.Nil, recentCalls)
	return f, err
}

func (p *Panel) readToday(ctx context.Context, from UsageStore, s scope, f *figures) error {
	days := usage.LastDays(f.at, 2, f.zone)
	hours, err := from.UsageHours(ctx, s.tenantID, days)
	if err != nil {
		return err
	}
	f.span = usage.LastDays(f.at, 1, f.zone)
	f.totals = usage.Fill(f.span, usage.Hour, f.zone, hours).Sum()
	f.before = usage.SumUntil(hours, days.Start, f.at.AddDate(0, 0, -1))
	f.spark = usage.Fill(usage.Period{Start: f.span.Start, End: f.at}, usage.Hour, f.zone, hours)
	minutes := usage.LastMinutes(f.at, chartMinutes)
	points, err := from.UsageMinutes(ctx, s.tenantID, minutes)
	if err != nil {
		return err
	}
	f.chart = usage.Fill(minutes, usage.Minute, f.zone, points)
	return nil
}

func (p *Panel) readDays(ctx context.Context, from UsageStore, s scope, f *figures) error {
	hours, err := p.sixtyDays(ctx, from, s, f.at, f.zone)
	if err != nil {
		return err
	}
	f.span = usage.LastDays(f.at, chartDays, f.zone)
	f.chart = usage.Fill(f.span, usage.Day, f.zone, hours)
	f.spark = f.chart
	f.totals = f.chart.Sum()
	f.before = usage.SumUntil(hours, hours60Start(f.at, f.zone), f.at.In(f.zone).AddDate(0, 0, -chartDays))
	return nil
}

func hours60Start(now time.Time, zone *time.Location) time.Time {
	return usage.LastDays(now, 2*chartDays, zone).Start
}

// sixtyDays gives the hours of today and of the 59 days before; those before may be a minute old.
func (p *Panel) sixtyDays(ctx context.Context, from UsageStore, s scope, now time.Time, zone *time.Location) ([]usage.Point, error) {
	start, day := hours60Start(now, zone), usage.LastDays(now, 1, zone)
	past, err := p.hub.past.get(pastKey{s.tenantID, s.portal, start}, func() ([]usage.Point, error) {
		return from.UsageHours(ctx, s.tenantID, usage.Period{Start: start, End: day.Start})
	})
	if err != nil {
		return nil, err
	}
	recent, err := from.UsageHours(ctx, s.tenantID, day)
	if err != nil {
		return nil, err
	}
	return append(append([]usage.Point(nil), past...), recent...), nil
}

// pastKey names the hours before today that belong to a scope.
type pastKey struct {
	tenantID int64
	portal   bool
	start    time.Time
}

// How long what is past may be old, and of how many scopes it is kept.
const (
	shelfLife = time.Minute
	shelfSize = 200
)

// shelf keeps what was read for a minute, so that a page that moves every second does not read sixty days each time.
// It is safe for concurrent use.
type shelf[K comparable, V any] struct {
	now   func() time.Time
	mu    sync.Mutex
	items map[K]shelved[V]
}

type shelved[V any] struct {
	value V
	until time.Time
}

func newShelf[K comparable, V any](now func() time.Time) *shelf[K, V] {
	return &shelf[K, V]{now: now, items: map[K]shelved[V]{}}
}

func (s *shelf[K, V]) get(key K, read func() (V, error)) (V, error) {
	now := s.now()
	s.mu.Lock()
	item, ok := s.items[key]
	s.mu.Unlock()
	if ok && now.Before(item.until) {
		return item.value, nil
	}
	value, err := read()
	if err != nil {
		return value, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.items) >= shelfSize {
		clear(s.items)
	}
	s.items[key] = shelved[V]{value, now.Add(shelfLife)}
	return value, nil
}
