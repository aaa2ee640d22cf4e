package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/usage"
)

// The spool of a replica that was killed holds calls that are committed already, and may come back months later. Where their
// month was put aside meanwhile, usage_events knows them no longer: they are looked for in its table of usage_archive. When
// that was dropped as well nothing can tell: they are counted as late calls, since a person who is told can take back a call
// that is counted twice, but nobody one that is lost.

// errArchived rolls back a batch that holds events which were committed before their month was put aside.
var errArchived = errors.New("events already committed, in a month that was put aside")

// No month is put aside so soon after its end; younger events cost nothing. An older one may be new, but is rare.
const neverArchived = 30 * 24 * time.Hour

// shelf is what this replica knows of months that were put aside. For one whose clock is wrong, events may look young.
type shelf struct {
	mu   sync.Mutex
	ends time.Time // of the newest of them
	read time.Time
	told map[string]bool // months that were dropped, of which calls came all the same
}

// shelfKept is how long ends is believed.
const shelfKept = time.Minute

// before gives the time since when events cannot be in a month that was put aside.
func (s *shelf) before(ctx context.Context, t *tx) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := t.now.Sub(s.read); age < 0 || age > shelfKept {
		var newest []sql.NullTime
		if err := t.SelectContext(ctx, &newest, `SELECT max(month) FROM usage_archives`); err != nil {
			return s.ends, fmt.Errorf("read what was put aside: %w", err)
		}
		if newest[0].Valid {
			s.ends = month(newest[0].Time).AddDate(0, 1, 0)
		}
		s.read = t.now
	}
	return maxTime(s.ends, t.now.Add(-neverArchived)), nil
}

// refuseArchived gives errArchived when one of the events, which are all in usage_events now, was committed before. Until the
// transaction ends no month can be put aside. Calls of months that were dropped are told of, the first time.
func (c *UsageCommitter) refuseArchived(ctx context.Context, t *tx, events []usage.Event) (dropped map[string]int, err error) {
	before, err := c.shelf.before(ctx, t)
	if err != nil {
		return nil, err
	}
	var old []usage.Event
	for i := range events {
		if events[i].CreatedAt.Before(before) {
			old = append(old, events[i])
		}
	}
	known, dropped, err := archived(ctx, t.Tx, old)
	if err != nil {
		return nil, err
	}
	if len(known) > 0 {
		return nil, errArchived
	}
	c.shelf.mu.Lock()
	defer c.shelf.mu.Unlock()
	for name, calls := range dropped {
		if c.shelf.told[name] {
			continue
		}
		if err := t.audit(ctx, "retention.late", "usage_events:"+name, 0, map[string]any{"calls": calls, "replica": c.replica}); err != nil {
			return nil, err
		}
	}
	return dropped, nil
}

// tell keeps what the database was told.
func (s *shelf) tell(dropped map[string]int) {
	if len(dropped) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = map[string]bool{}
	}
	for name := range dropped {
		s.told[name] = true
	}
}

// archived looks for events in months that were put aside. It counts those of months that are dropped, by table.
func archived(ctx context.Context, q sqlx.QueryerContext, events []usage.Event) (known []uuid.UUID, dropped map[string]int, err error) {
	if len(events) == 0 {
		return nil, nil, nil
	}
	byTable := map[string][]usage.Event{}
	var names pq.StringArray
	for _, e := range events {
		name := "usage_events_" + e.CreatedAt.UTC().Format("2006_01")
		if byTable[name] == nil {
			names = append(names, name)
		}
		byTable[name] = append(byTable[name], e)
	}
	var tables []struct {
		Name    string `db:"name"`
		Dropped bool   `db:"dropped"`
	}
	const query = `SELECT name, dropped_at IS NOT NULL AS dropped FROM usage_archives WHERE name = ANY ($1) ORDER BY name`
	if err := sqlx.SelectContext(ctx, q, &tables, query, names); err != nil {
		return nil, nil, fmt.Errorf("look for months that were put aside: %w", err)
	}
	dropped = map[string]int{}
	for _, table := range tables {
		of := byTable[table.Name]
		if table.Dropped {
			dropped[table.Name] = len(of)
			continue
		}
		look := `SELECT id FROM usage_archive.` + pq.QuoteIdentifier(table.Name) + ` WHERE id = ANY ($1::uuid[])`
		var found []uuid.UUID
		if err := sqlx.SelectContext(ctx, q, &found, look, uuids(of, func(e *usage.Event) uuid.UUID { return e.ID })); err != nil {
			return nil, nil, fmt.Errorf("look for committed events in %s: %w", table.Name, err)
		}
		known = append(known, found...)
	}
	return known, dropped, nil
}
