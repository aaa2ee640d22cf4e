package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/usage"
)

const (
	pushEvery       = time.Second // at most one push a second, however many calls there are
	maxViewers      = 400         // of one process; each holds a connection
	maxOwnViewers   = 12          // of one session: nobody takes all the places
	snapshotTimeout = 10 * time.Second
)

// scope is one set of figures that may be watched. Everyone who watches the same scope shares its snapshot.
type scope struct {
	tenantID int64 // 0: all tenants
	portal   bool  // read as the customer, without cost
	view     view
	alert    int64 // of the view alertsView: one alert; 0: the list
	inbox    int64 // the user whose bell it is; 0: none
}

// aboutAlerts tells whether it changes with alerts rather than with usage.
func (s scope) aboutAlerts() bool { return s.inbox != 0 || s.view == alertsView }

// watch is a scope and how it is read.
type watch struct {
	scope scope
	load  func(context.Context) (snapshot, error)
}

// snapshot is a scope's figures at one moment, ready to be written in any language.
type snapshot interface {
	parts(ctx context.Context, lang i18n.Lang) ([]part, error)
}

// part is one piece of a page: an event of this name with this text.
type part struct{ name, text string }

// Run keeps open pages up to date until ctx ends; the streams then end too. It also carries out the audits that people
// ask for.
func (p *Panel) Run(ctx context.Context) error {
	workers, ctx := errgroup.WithContext(ctx)
	workers.Go(func() error { return p.hub.run(ctx) })
	workers.Go(func() error { return p.audits.run(ctx) })
	return workers.Wait()
}

// Notify tells that something was used. It never blocks and may be called at any rate.
func (p *Panel) Notify() { p.hub.notify() }

// NotifyInbox tells that alerts, or how they were delivered or seen, have changed. It never blocks and may be called at any rate.
func (p *Panel) NotifyInbox() { p.hub.notifyInbox() }

// Close ends the streams and takes no further ones: they would keep a server from stopping.
func (p *Panel) Close() { p.hub.close() }

// liveHub keeps open pages up to date. Whatever hears of new usage calls notify; run then reads each watched scope
// once and hands the result to all who watch it.
type liveHub struct {
	log     *slog.Logger
	now     func() time.Time
	changed chan struct{} // what was used
	raised  chan struct{} // what is told of alerts

	past   *shelf[pastKey, []usage.Point]
	ranked *shelf[usage.Period, ranking]

	mu      sync.Mutex
	feeds   map[scope]*feed
	viewers int
	own     map[string]int // viewers by session
	closed  bool
}

// feed is a watched scope.
type feed struct {
	load    func(context.Context) (snapshot, error)
	viewers map[*viewer]struct{}
}

// viewer is one open page.
type viewer struct {
	lang    i18n.Lang
	updates chan []part   // holds the newest of each part only: who is slow misses those between
	gone    chan struct{} // closed when the hub ends
}

// newLiveHub makes the hub. It does nothing until run.
func newLiveHub(log *slog.Logger, now func() time.Time) *liveHub {
	return &liveHub{
		log: log, now: now, changed: make(chan struct{}, 1), raised: make(chan struct{}, 1), feeds: map[scope]*feed{}, own: map[string]int{},
		past: newShelf[pastKey, []usage.Point](now), ranked: newShelf[usage.Period, ranking](now),
	}
}

func (l *liveHub) notify() { soon(l.changed) }

func (l *liveHub) notifyInbox() { soon(l.raised) }

func soon(due chan struct{}) {
	select {
	case due <- struct{}{}:
	default: // a push is due already
	}
}

// taken tells whether a push is due, and takes it on.
func taken(due chan struct{}) bool {
	select {
	case <-due:
		return true
	default:
		return false
	}
}

// run pushes until ctx ends, then ends every stream. New usage and alerts show within a second or two; each new minute moves
// the chart on without any.
func (l *liveHub) run(ctx context.Context) error {
	defer l.close()
	for {
		minute := time.NewTimer(l.untilNextMinute())
		usage, alerts := false, false
		select {
		case <-ctx.Done():
			minute.Stop()
			return nil
		case <-l.changed:
			usage = true
		case <-l.raised:
			alerts = true
		case <-minute.C:
			usage, alerts = true, true
		}
		minute.Stop()
		usage, alerts = taken(l.changed) || usage, taken(l.raised) || alerts
		pause := time.NewTimer(pushEvery)
		l.push(ctx, usage, alerts)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

func (l *liveHub) untilNextMinute() time.Duration {
	now := l.now()
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now) + 20*time.Millisecond
}

// join adds a viewer of some scopes. leave must be called once, when its page is gone. It is fault.Unavailable when there
// are too many viewers or the process is stopping.
func (l *liveHub) join(session string, lang i18n.Lang, watched ...watch) (v *viewer, leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.viewers >= maxViewers || l.own[session] >= maxOwnViewers {
		return nil, nil, fault.New(fault.Unavailable, "usage.error.too_many_live")
	}
	v = &viewer{lang: lang, updates: make(chan []part, 1), gone: make(chan struct{})}
	for _, w := range watched {
		f := l.feeds[w.scope]
		if f == nil {
			f = &feed{viewers: map[*viewer]struct{}{}}
			l.feeds[w.scope] = f
		}
		f.load = w.load
		f.viewers[v] = struct{}{}
		if w.scope.aboutAlerts() { // something may have happened between the page and its stream
			l.notifyInbox()
		} else {
			l.notify()
		}
	}
	l.viewers++
	l.own[session]++
	return v, func() { l.leave(session, v, watched) }, nil
}

func (l *liveHub) leave(session string, v *viewer, watched []watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range watched {
		f := l.feeds[w.scope]
		if f == nil {
			continue
		}
		delete(f.viewers, v)
		if len(f.viewers) == 0 {
			delete(l.feeds, w.scope)
		}
	}
	l.viewers--
	if l.own[session]--; l.own[session] <= 0 {
		delete(l.own, session)
	}
}

// close ends every stream. A second time it does nothing.
func (l *liveHub) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	ended := map[*viewer]bool{} // one may watch several feeds
	for _, f := range l.feeds {
		for v := range f.viewers {
			if !ended[v] {
				ended[v] = true
				close(v.gone)
			}
		}
	}
}

// push reads the watched scopes, one after the other so that many of them never crowd the database, and hands each
// result to its viewers.
func (l *liveHub) push(ctx context.Context, usage, alerts bool) {
	l.mu.Lock()
	due := make(map[scope]*feed, len(l.feeds))
	for s, f := range l.feeds {
		if s.aboutAlerts() && alerts || !s.aboutAlerts() && usage {
			due[s] = f
		}
	}
	l.mu.Unlock()
	for s, f := range due {
		if err := l.refresh(ctx, f); err != nil && ctx.Err() == nil {
			l.log.Warn("live figures are late", "tenant", s.tenantID, "portal", s.portal, "error", err)
		}
	}
}

func (l *liveHub) refresh(ctx context.Context, f *feed) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	l.mu.Lock()
	load := f.load
	viewers := make([]*viewer, 0, len(f.viewers))
	for v := range f.viewers {
		viewers = append(viewers, v)
	}
	l.mu.Unlock()
	snap, err := load(ctx)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	written := map[i18n.Lang][]part{}
	for _, v := range viewers {
		if written[v.lang] == nil {
			if written[v.lang], err = snap.parts(ctx, v.lang); err != nil {
				return fmt.Errorf("write in %s: %w", v.lang, err)
			}
		}
		v.offer(written[v.lang])
	}
	return nil
}

// offer puts the update in place of the same parts of one that was not fetched yet. Only run calls it.
func (v *viewer) offer(update []part) {
	select {
	case waiting := <-v.updates:
		update = slices.Concat(slices.DeleteFunc(slices.Clone(waiting), func(old part) bool {
			return slices.ContainsFunc(update, func(p part) bool { return p.name == old.name })
		}), update)
	default:
	}
	v.updates <- update
}
