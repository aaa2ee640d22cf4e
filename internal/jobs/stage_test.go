package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/jobs"
	"github.com/fila-ia/filaia/store"
	"github.com/fila-ia/filaia/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Run(m)) }

// patience is for what comes by itself.
const patience = time.Minute

// stage is a database with one customer, its admin and an owner, and a clock that the test may turn.
type stage struct {
	*store.Store
	t      *testing.T
	db     *sqlx.DB
	tenant int64
	clock  func() time.Time
	post   *post
	wrap   func(jobs.Store) jobs.Store // nil: as it is

	tune     func(*jobs.Runner) // nil: as it is
	renderer jobs.Renderer
	mail     jobs.Sender // nil: post
	log      *slog.Logger
}

var (
	silent = slog.New(slog.DiscardHandler)
	// errHang, as an answer, is none until the sender is told to end.
	errHang = errors.New("no answer")
)

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, db: storetest.Open(t), clock: time.Now, post: &post{}, renderer: plain{}, log: silent}
	s.db.SetMaxIdleConns(8)
	s.Store = store.New(s.db.DB, func() time.Time { return s.clock() })
	s.get(&s.tenant, `INSERT INTO tenants (name, email) VALUES ('Padaria', 'contato@padaria.com') RETURNING id`)
	s.exec(`INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ('dono@filaia.com', 'Dono', 'owner', NULL, ''),
		('ana@padaria.com', 'Ana', 'tenant_admin', $1, '')`, s.tenant)
	return s
}

func (s *stage) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(query, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) get(into any, query string, args ...any) {
	s.t.Helper()
	if err := s.db.Get(into, query, args...); err != nil {
		s.t.Fatal(err)
	}
}

// rule is that of everybody for the metric.
func (s *stage) rule(audience alert.Audience, metric alert.Metric) (id int64) {
	s.t.Helper()
	s.get(&id, `SELECT id FROM alert_rules WHERE audience = $1 AND metric = $2 AND scope = 'all'`, string(audience), string(metric))
	return id
}

// raise adds what a rule raises together, of a subject of its own.
func (s *stage) raise(ruleID int64, thresholds ...int64) (group uuid.UUID) {
	s.t.Helper()
	group = uuid.New()
	s.exec(`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at)
		SELECT $1, n = cardinality($4), id, audience, metric, unit, $2, $3, '2026-11-01', threshold, threshold, now()
		FROM alert_rules CROSS JOIN unnest($4::bigint[]) WITH ORDINALITY AS t (threshold, n) WHERE id = $5 ORDER BY n`,
		group, "subscription:"+group.String(), s.tenant, pq.Int64Array(thresholds), ruleID)
	return group
}

// run lets a replica deliver until stop is called, or the test ends.
func (s *stage) run(replica string, waits ...time.Duration) (r *jobs.Runner, stop func()) {
	s.t.Helper()
	if len(waits) == 0 {
		waits = []time.Duration{time.Hour}
	}
	var kept jobs.Store = s.Store
	if s.wrap != nil {
		kept = s.wrap(kept)
	}
	if s.mail == nil {
		s.mail = s.post
	}
	r, err := jobs.NewQuick(jobs.Options{
		DB: s.Jobs(), Store: kept, Renderer: s.renderer, Mail: s.mail, Channels: s.post, Replica: replica, PublicURL: "https://filaia.example", Zone: time.UTC,
		Unsubscribe: func(_ int64, address string, metric alert.Metric) string {
			return "https://filaia.example/unsubscribe/" + address + "/" + string(metric)
		},
		Log: s.log, Now: func() time.Time { return s.clock() },
	}, waits...)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.tune != nil {
		s.tune(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("Run of %s: %v", replica, err)
		}
	})
	s.t.Cleanup(stop)
	return r, stop
}

// eventually waits for a count to be what it should.
func (s *stage) eventually(want int, query string, args ...any) {
	s.t.Helper()
	var got int
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s.get(&got, query, args...); got == want {
			return
		}
	}
	s.t.Fatalf("%s: %d, want %d", query, got, want)
}

// count is of rows.
func (s *stage) count(query string, args ...any) (n int) {
	s.t.Helper()
	s.get(&n, query, args...)
	return n
}

const inState = `SELECT count(*) FROM deliveries WHERE state = $1`

// plain writes what tests look for.
type plain struct{}

func (plain) Render(_ context.Context, n alert.Notice) (alert.Text, error) {
	t := alert.Text{Subject: string(n.Kind)}
	for _, e := range n.Events {
		t.Plain += fmt.Sprintf("%d ", e.Threshold)
	}
	return t, nil
}

// post is the other side. answer says how it takes a message; nil: it does.
type post struct {
	mu     sync.Mutex
	taken  []alert.Delivery
	tries  int
	answer func(try int, d alert.Delivery) (string, error)
}

func (p *post) Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (string, error) {
	p.mu.Lock()
	p.tries++
	try, answer := p.tries, p.answer
	p.mu.Unlock()
	words := "250 ok"
	if answer != nil {
		var err error
		if words, err = answer(try, d); errors.Is(err, errHang) {
			<-ctx.Done()
			return "", ctx.Err()
		} else if err != nil {
			return words, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, d)
	return words, ctx.Err()
}

// got are the messages that a reader took.
func (p *post) got(recipient string) (list []alert.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.taken {
		if d.Recipient == recipient {
			list = append(list, d)
		}
	}
	return list
}

func (p *post) all() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.taken)
}
