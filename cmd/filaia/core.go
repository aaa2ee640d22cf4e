package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/ledger"
	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/upstream"
	"github.com/fila-ia/filaia/store"
)

// core is what the path of a call stands on.
type core struct {
	gate     *gateway.Gateway
	ledger   *ledger.Ledger
	quota    *quota.Manager
	provider *upstream.Client
	replica  string
}

// openCore recovers what an earlier life of this data folder left, and makes the gateway.
func openCore(ctx context.Context, cfg config.Config, db *database, provider *upstream.Client, log *slog.Logger) (*core, error) {
	replica, err := replicaName(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	leases := db.Leases(replica)
	manager := quota.NewManager(leases, log, time.Now)
	// What is replayed was held by the earlier life: this one's buckets owe nothing for it.
	recovered := false
	sink := db.UsageCommitter(replica, func(periodID int64, tokens quota.Pair) {
		if recovered {
			manager.Uncovered(periodID, tokens)
		}
	})
	spool, err := ledger.Open(filepath.Join(cfg.DataDir, "spool"), ledger.Options{Sink: sink, Log: log})
	if err != nil {
		return nil, fmt.Errorf("FILAIA_DATA_DIR: %w; each server needs a folder of its own, which it may write", err)
	}
	c := &core{ledger: spool, quota: manager, provider: provider, replica: replica}
	if err := c.recover(ctx, leases, log); err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	recovered = true
	c.gate = &gateway.Gateway{
		Callers: gateway.NewCallers(db, time.Now), Models: gateway.NewModels(db), Quota: manager,
		Rates: ratelimit.New(time.Now), Ledger: spool, Upstream: provider, Log: log, Now: time.Now, AbortDrain: cfg.AbortDrain,
	}
	if err := c.gate.Models.Reload(ctx); err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	return c, nil
}

// recover commits the spool first and then frees the leases: what was used must be drawn from them before.
func (c *core) recover(ctx context.Context, leases *store.Leases, log *slog.Logger) error {
	report, err := c.ledger.Recover(ctx)
	if err != nil {
		return fmt.Errorf("recover the spool: %w", err)
	}
	if report.Replayed+report.Interrupted > 0 || report.CutBytes+report.SkippedBytes > 0 {
		log.Warn("spool recovered", "replayed", report.Replayed, "interrupted", report.Interrupted,
			"cut_bytes", report.CutBytes, "skipped_bytes", report.SkippedBytes, "kept_files", report.Corrupt)
	}
	return leases.ReleaseAll(ctx)
}

// cutTime is what calls that are cut off get to be recorded.
const cutTime = 10 * time.Second

// cut breaks off the calls that are still under way, and waits until what they delivered is recorded.
func (c *core) cut(log *slog.Logger) {
	c.provider.Abort()
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
	if err := c.ledger.Close(); err != nil {
		log.Error("close the spool", "error", err)
	}
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

// openProvider gives the provider: the configured one, or the simulator where none is.
func openProvider(cfg config.Config, log *slog.Logger) (*upstream.Client, func(), error) {
	options, stop := upstream.Options{BaseURL: cfg.OpenAIURL, APIKey: cfg.OpenAIKey}, func() {}
	if cfg.Simulated() {
		simulator, err := openaitest.New(openaitest.Simulator())
		if err != nil {
			return nil, nil, fmt.Errorf("start the simulator: %w", err)
		}
		log.Warn("no provider is configured: the built-in simulator answers; set OPENAI_API_KEY to call OpenAI")
		options, stop = upstream.Options{BaseURL: simulator.URL(), APIKey: "simulator"}, func() { simulator.Close() }
	}
	client, err := upstream.New(options)
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("OPENAI_BASE_URL: %w", err)
	}
	return client, func() { client.Close(); stop() }, nil
}
