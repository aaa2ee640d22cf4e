package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/upstream"
)

// connector opens the clients of providers. The one that comes with the product takes its address and credential from the
// environment, and is the simulator where that has none.
type connector struct {
	cfg       config.Config
	box       *secret.Box
	log       *slog.Logger
	embedding embedding

	mu        sync.Mutex
	simulator *openaitest.Server
	simulated map[int64]bool // providers that it stands in for
}

func newConnector(cfg config.Config, log *slog.Logger) *connector {
	return &connector{cfg: cfg, box: secret.New([32]byte(cfg.SecretKey)), log: log, simulated: map[int64]bool{}}
}

// reach tells where a provider is and with which credential.
func (c *connector) reach(p tenancy.Provider) (address, key string, err error) {
	address = p.BaseURL
	if p.Credential != nil {
		plain, err := c.box.Open(p.Credential, tenancy.CredentialContext(p.Slug))
		if err != nil {
			return "", "", fmt.Errorf("its credential cannot be opened, FILAIA_SECRET_KEY may have changed: %w", err)
		}
		key = string(plain)
	}
	if !p.FromEnvironment {
		return address, key, nil
	}
	if key == "" && address == "" && c.cfg.Simulated() {
		address, err = c.simulate()
		return address, "simulator", err
	}
	if address == "" {
		address = c.cfg.OpenAIURL
	}
	if key == "" {
		key = c.cfg.OpenAIKey
	}
	return address, key, nil
}

// simulate starts the simulator, once.
func (c *connector) simulate() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.simulator == nil {
		simulator, err := openaitest.New(openaitest.Simulator())
		if err != nil {
			return "", fmt.Errorf("start the simulator: %w", err)
		}
		c.log.Warn("no provider is configured: the built-in simulator answers; set OPENAI_API_KEY or open Provedores in the panel")
		c.simulator = simulator
	}
	return c.simulator.URL(), nil
}

// note keeps which providers the simulator stands in for.
func (c *connector) note(provider int64, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.simulated[provider] = c.simulator != nil && c.simulator.URL() == address
}

// simulates tells whether the simulator stands in for any provider.
func (c *connector) simulates() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, simulated := range c.simulated {
		if simulated {
			return true
		}
	}
	return false
}

func (c *connector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.simulator != nil {
		c.simulator.Close()
	}
}

// connect opens a provider's client.
func (c *connector) connect(p tenancy.Provider) (gateway.Upstream, error) {
	address, key, err := c.reach(p)
	if err != nil {
		return nil, err
	}
	c.note(p.ID, address)
	l := p.Limits
	return upstream.New(upstream.Options{
		Kind: p.Kind, BaseURL: address, APIKey: key, APIVersion: p.APIVersion,
		Connect: l.Connect, FirstByte: l.FirstByte, Idle: l.Idle, Total: l.Total,
	})
}

// openRedis connects to Redis, or gives nil where none is configured. One that is away is no reason not to start.
func openRedis(url string, log *slog.Logger) (rueidis.Client, error) {
	if url == "" {
		return nil, nil
	}
	options, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: it cannot be read; give redis://user:password@host:port/0")
	}
	options.DisableCache = true
	options.AlwaysPipelining = true // a broken connection is noticed at once, and calls at the same time share a trip
	options.ConnWriteTimeout = 2 * time.Second
	options.Dialer.Timeout = time.Second
	client, err := rueidis.NewClient(options)
	if client == nil && len(options.InitAddress) == 1 {
		options.ForceSingleClient = true // what is away is taken for a single server, and met once it is there
		client, err = rueidis.NewClient(options)
	}
	if client == nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	if err != nil {
		log.Warn("Redis is away; limits and cache are kept in process until it is there", "error", err)
	}
	return client, nil
}

// breakerLog writes the changes of breakers to the log and to the database.
type breakerLog struct {
	replica string
	store   interface {
		RecordBreakerChanges(ctx context.Context, changes []tenancy.BreakerChange) error
	}
	log     *slog.Logger
	changes chan tenancy.BreakerChange
	begun   atomic.Bool // until then an operator's decisions are old news
}

func newBreakerLog(replica string, store interface {
	RecordBreakerChanges(ctx context.Context, changes []tenancy.BreakerChange) error
}, log *slog.Logger) *breakerLog {
	return &breakerLog{replica: replica, store: store, log: log, changes: make(chan tenancy.BreakerChange, 1024)}
}

// add notes a change. It never waits: what finds no room is in the log alone.
func (b *breakerLog) add(c breaker.Change) {
	if !b.begun.Load() {
		return
	}
	change := tenancy.BreakerChange{
		At: c.At, Replica: b.replica, ProviderID: c.Provider, Model: c.Model, From: string(c.From), To: string(c.To), Reason: c.Reason,
		FailurePercent: c.FailurePercent, Calls: c.Calls,
	}
	b.log.Warn("circuit breaker", "provider", c.Provider, "model", c.Model, "from", c.From, "to", c.To, "reason", c.Reason,
		"failure_percent", c.FailurePercent, "calls", c.Calls)
	select {
	case b.changes <- change:
	default:
	}
}

// breakerRetry is how soon a change is written again that the database did not take.
const breakerRetry = time.Second

// Run writes the changes until ctx ends, and then the rest. One that the database does not take is tried again, before those
// that came later: how a breaker stands is told by the newest.
func (b *breakerLog) Run(ctx context.Context) error {
	for {
		select {
		case c := <-b.changes:
			for !b.write(ctx, c) && sleeps(ctx, breakerRetry) {
			}
		case <-ctx.Done():
			for len(b.changes) > 0 {
				b.write(context.WithoutCancel(ctx), <-b.changes)
			}
			return nil
		}
	}
}

// sleeps waits; false when ctx has ended.
func sleeps(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (b *breakerLog) write(ctx context.Context, c tenancy.BreakerChange) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := b.store.RecordBreakerChanges(ctx, []tenancy.BreakerChange{c}); err != nil {
		b.log.Error("record a breaker's change", "error", err)
		return false
	}
	return true
}
