package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/ledger"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// core is what the path of a call stands on.
type core struct {
	gate      *gateway.Gateway
	ledger    *ledger.Ledger
	quota     *quota.Manager
	refusals  *gateway.RefusalBook
	addresses *gateway.AddressBook
	throttles *gateway.ThrottleBook
	breakers  *breakerLog
	houses    *connector
	redis     rueidis.Client // nil: limits and cache are in process
	store     *store.Store
	leases    *store.Leases
	replica   string
	overrun   atomic.Int64                // tokens since the start that no limit could stop
	books     atomic.Pointer[usage.Audit] // the newest audit; nil: not heard of
	log       *slog.Logger
	stale     chan struct{} // says that models, providers and prices must be read again
	announced *time.Timer   // says so when the next price begins
}

// openCore recovers what an earlier life of this data folder left, and makes the gateway.
func openCore(ctx context.Context, cfg config.Config, db *database, log *slog.Logger) (*core, error) {
	replica, err := replicaName(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	c := &core{
		replica: replica, stale: make(chan struct{}, 1), store: db.Store, houses: newConnector(cfg, log), breakers: newBreakerLog(replica, db.Store, log),
		refusals: gateway.NewRefusalBook(refusalStore{db.Store, db.Store.Portal()}, log), log: log,
		addresses: gateway.NewAddressBook(db.Store, log), throttles: gateway.NewThrottleBook(db.Store, log),
	}
	c.leases = db.Leases(replica, cfg.LeaseGrace, c.vitals)
	c.quota = quota.NewManager(c.leases, cfg.LeaseGrace, log, time.Now)
	if c.ledger, err = openSpool(cfg, db.UsageCommitter(replica, c.committed), log); err != nil {
		return nil, err
	}
	if err := c.recover(ctx); err != nil {
		return nil, errors.Join(err, c.ledger.Close())
	}
	if err := c.openGate(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, c.ledger.Close())
	}
	return c, nil
}

// vitals is what this replica tells of itself with its heartbeats.
func (c *core) vitals() usage.Vitals {
	s := c.ledger.Stats()
	return usage.Vitals{Version: versionName, Calls: int64(s.InFlight), SpoolEvents: int64(s.Lag()), SpoolAge: s.OldestAge, SpoolBytes: s.Bytes, DamagedFiles: int64(s.KeptFiles)}
}

// committed hears what a batch did in each period.
func (c *core) committed(b store.Committed) {
	c.quota.Committed(b.PeriodID, b.Lease)
	if b.Overrun != (quota.Pair{}) {
		c.overrun.Add(b.Overrun.In + b.Overrun.Out)
		c.log.Warn("tokens beyond a limit that nothing could stop", "period", b.PeriodID, "input_tokens", b.Overrun.In, "output_tokens", b.Overrun.Out)
	}
}

// audited hears of the newest audit.
func (c *core) audited(a usage.Audit) { c.books.Store(&a) }

// refusalStore writes refusals with the program's rights and reads them with the tenant's.
type refusalStore struct {
	*store.Store
	portal store.Portal
}

func (r refusalStore) OwnRefusal(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error) {
	return r.portal.OwnRefusal(ctx, tenantID, id)
}

// openGate makes the gateway and reads the models.
func (c *core) openGate(ctx context.Context, cfg config.Config, log *slog.Logger) (err error) {
	if c.redis, err = openRedis(cfg.RedisURL, log); err != nil {
		return err
	}
	installation, err := c.store.Installation(ctx)
	if err != nil {
		return err
	}
	space := "filaia:" + installation + ":"
	answers, err := cache.New(cache.Options{Redis: c.redis, Space: space, Now: time.Now, Log: log})
	if err != nil {
		return fmt.Errorf("open the cache: %w", err)
	}
	c.gate = &gateway.Gateway{
		Callers: gateway.NewCallers(c.store, time.Now), Models: gateway.NewModels(c.store, c.houses.connect, c.breakers.add, log),
		Quota: c.quota, Rates: ratelimit.New(ratelimit.Options{Now: time.Now, Redis: c.redis, Space: space, Log: log}), Cache: answers,
		Ledger: c.ledger, Refusals: c.refusals, Addresses: c.addresses, Throttles: c.throttles, Responses: c.store, Log: log, Now: time.Now, AbortDrain: cfg.AbortDrain,
	}
	c.gate.LookCost = func(tokens int64) money.Micros { return c.houses.embedding.cost(tokens) }
	err = c.reload(ctx)
	c.breakers.begun.Store(true)
	return err
}

// reload reads models, providers and the cache's settings again.
func (c *core) reload(ctx context.Context) error {
	if err := c.gate.Models.Reload(ctx); err != nil {
		return err
	}
	settings, err := c.store.CacheSettings(ctx)
	if err != nil {
		return fmt.Errorf("read the cache's settings: %w", err)
	}
	c.houses.embedding.use(ctx, settings, c.gate, c.houses)
	next, err := c.store.NextPriceAt(ctx)
	if err == nil {
		c.await(next)
	}
	return err
}

// await has all read again at the time of the next price, which holds from its first second on; at zero there is none.
// What was waited for before is waited for no more.
func (c *core) await(next time.Time) {
	if c.announced != nil {
		c.announced.Stop()
		c.announced = nil
	}
	if !next.IsZero() {
		c.announced = time.AfterFunc(time.Until(next), c.outdated)
	}
}

// outdated has models, providers and prices read again. It does not block.
func (c *core) outdated() {
	select {
	case c.stale <- struct{}{}:
	default: // they will be read anyway
	}
}

// recover commits the spool first and then frees the leases: what was used must be drawn from them before. A long spool
// takes its time, in which the others must hear that this replica lives.
func (c *core) recover(ctx context.Context) error {
	if err := c.quota.Beat(ctx); err != nil {
		return fmt.Errorf("join the replicas: %w", err)
	}
	beating, stop := context.WithCancel(ctx)
	var beats errgroup.Group
	beats.Go(func() error { return c.quota.Live(beating) })
	report, err := c.ledger.Recover(ctx)
	stop()
	if err := errors.Join(err, beats.Wait()); err != nil {
		return fmt.Errorf("recover the spool: %w", err)
	}
	if report.Replayed+report.Interrupted > 0 || report.CutBytes+report.SkippedBytes > 0 {
		c.log.Warn("spool recovered", "replayed", report.Replayed, "interrupted", report.Interrupted,
			"cut_bytes", report.CutBytes, "skipped_bytes", report.SkippedBytes, "kept_files", report.Corrupt)
	}
	return c.leases.ReleaseAll(ctx)
}

// cutTime is what calls that are cut off get to be recorded.
const cutTime = 10 * time.Second

// cut breaks off the calls that are still under way, and waits until what they delivered is recorded.
func (c *core) cut(log *slog.Logger) {
	c.gate.Models.Abort()
	ctx, cancel := context.WithTimeout(context.Background(), cutTime)
	defer cancel()
	if err := c.gate.Wait(ctx); err != nil {
		log.Error("calls were left behind; they will be recorded as interrupted", "error", err)
	}
}

// handBack returns what nobody holds of a period that another replica asks for. It does not block the listener.
func (c *core) handBack(ctx context.Context) func(periodID int64, replica string) {
	return func(periodID int64, replica string) {
		if replica != c.replica {
			go c.quota.HandBack(ctx, periodID)
		}
	}
}

// close hands the leases back once all is committed. Calls and Run must have ended.
func (c *core) close(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.quota.Close(ctx)
	if err := c.leases.Leave(ctx); err != nil {
		log.Warn("leave the replicas", "error", err)
	}
	if err := c.ledger.Close(); err != nil {
		log.Error("close the spool", "error", err)
	}
	if c.redis != nil {
		c.redis.Close()
	}
	c.await(time.Time{})
	c.houses.close()
}

// replicaName names this replica for as long as its data folder lives.
func replicaName(dir string) (string, error) {
	path := filepath.Join(dir, "replica")
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	name := uuid.NewString()
	err = os.MkdirAll(dir, 0o711)
	if err == nil {
		err = os.WriteFile(path, []byte(name+"\n"), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("FILAIA_DATA_DIR: %s cannot be written; give a folder that this user may write", path)
	}
	return name, nil
}
