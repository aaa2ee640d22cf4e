package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/ledger"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// account is one key and the period that its calls are counted in.
type account struct {
	tenant, key, period int64
	hard                bool
}

const (
	customers = 4 // every other one under a plan that charges
	keysEach  = 2
)

// sell makes customers with keys.
func (h *house) sell(ctx context.Context) error {
	n, keys := customers, keysEach
	if h.spec.Replicas > 1 {
		n, keys = 1, 1
	}
	const plenty = 100_000_000_000
	for i := range n {
		terms := tenancy.Terms{Price: money.Unit, InputTokens: plenty, OutputTokens: plenty, Overage: tenancy.Block}
		if i%2 == 1 {
			terms.InputTokens, terms.OutputTokens, terms.Overage, terms.OveragePrice = 1_000_000, 500_000, tenancy.Charge, 100
		}
		plan, err := h.store.CreatePlan(ctx, tenancy.PlanDraft{Slug: fmt.Sprintf("plan-%d", i), Name: "Plan", Terms: terms}, true)
		if err != nil {
			return err
		}
		tenant, err := h.store.CreateTenant(ctx, tenancy.TenantDraft{Name: "Padaria", TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: plan.ID})
		if err != nil {
			return err
		}
		for range keys {
			_, secret, err := h.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "loja"})
			if err != nil {
				return err
			}
			caller, err := h.store.CallerByHash(ctx, secret.Hash())
			if err != nil {
				return err
			}
			h.accounts = append(h.accounts, account{tenant.ID, caller.KeyID, caller.PeriodID, caller.Hard()})
		}
	}
	return nil
}

// spool is one replica's, filled and not yet committed.
type spool struct {
	ledger  *ledger.Ledger
	sink    *timedSink
	events  int
	replica string
}

// times are how long batches took, in ms.
type times []float64

func (t times) percentile(p int) float64 {
	if len(t) == 0 {
		return 0
	}
	slices.Sort(t)
	return t[(len(t)-1)*p/100]
}

func (t times) mean() float64 {
	sum := 0.0
	for _, one := range t {
		sum += one
	}
	return sum / float64(max(len(t), 1))
}

// timedSink is a replica's committer, timed.
type timedSink struct {
	commit  func(ctx context.Context, events []usage.Event) error
	batches times
}

// CommitUsage is for the ledger.
func (s *timedSink) CommitUsage(ctx context.Context, events []usage.Event) error {
	start := time.Now()
	err := s.commit(ctx, events)
	if err == nil {
		s.batches = append(s.batches, time.Since(start).Seconds()*1e3)
	}
	return err
}

// fill spools a round's events and leases what those of hard plans hold, as the gateway would.
func (h *house) fill(ctx context.Context) (spools []spool, err error) {
	for i := range h.spec.Replicas {
		s := spool{replica: fmt.Sprintf("replica-%d", i), sink: &timedSink{}, events: h.spec.Events / h.spec.Replicas}
		dir := filepath.Join(h.spec.Dir, "spools", s.replica)
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		s.ledger, err = ledger.Open(dir, ledger.Options{Sink: s.sink, BatchSize: h.spec.Batch, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		if _, err := s.ledger.Recover(ctx); err != nil {
			return nil, err
		}
		if err := h.spoolEvents(s); err != nil {
			return nil, err
		}
		leased := quota.Pair{In: promptTokens * int64(s.events), Out: completionTokens * int64(s.events)}
		for _, a := range h.accounts {
			if !a.hard {
				continue
			}
			if _, err := h.store.Leases(s.replica, time.Minute, nil).Lease(ctx, a.period, leased); err != nil {
				return nil, err
			}
		}
		spools = append(spools, s)
	}
	return spools, nil
}

var benchModels = [...]string{"gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1"}

func (h *house) spoolEvents(s spool) error {
	for i := range s.events {
		a := h.accounts[i%len(h.accounts)]
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		sec, nsec := id.Time().UnixTime()
		tokens := usage.Tokens{Input: promptTokens, Output: completionTokens}
		e := usage.Event{
			ID: id, CreatedAt: time.Unix(sec, nsec), TenantID: a.tenant, KeyID: a.key, PeriodID: a.period, Held: a.hard,
			Model: benchModels[i%len(benchModels)], Endpoint: "chat.completions", HTTPStatus: 200, Tokens: tokens, Served: tokens,
			Cache: usage.CacheMiss, CostUSD: 57, LatencyMS: 812, FirstByteMS: 809, RequestID: id.String(),
			ProviderID: "chatcmpl-" + id.String(), Provider: "openai",
		}
		if err := s.ledger.Begin(&e); err != nil {
			return err
		}
		if err := s.ledger.Finish(&e); err != nil {
			return err
		}
	}
	return nil
}

// commitAll has the spools committed by the product.
func (h *house) commitAll(ctx context.Context, spools []spool) (times, error) {
	for _, s := range spools {
		s.sink.commit = h.store.UsageCommitter(s.replica, func(store.Committed) {}).CommitUsage
		h.committed += int64(s.events)
	}
	return h.run(ctx, spools)
}

// copyAll has their rows copied to a table without indexes, and nothing else.
func (h *house) copyAll(ctx context.Context, spools []spool) (times, error) {
	for _, s := range spools {
		s.sink.commit = h.copyBatch
	}
	return h.run(ctx, spools)
}

// run commits the spools, all at once.
func (h *house) run(ctx context.Context, spools []spool) (all times, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running, waiting sync.WaitGroup
	for _, s := range spools {
		running.Go(func() {
			if err := s.ledger.Run(ctx); err != nil {
				cancel(err)
			}
		})
		waiting.Go(func() {
			if err := s.ledger.Flush(ctx); err != nil {
				cancel(err)
			}
		})
	}
	waiting.Wait()
	err = context.Cause(ctx)
	cancel(nil)
	running.Wait()
	for _, s := range spools {
		all = append(all, s.sink.batches...)
		if closed := s.ledger.Close(); err == nil {
			err = closed
		}
	}
	return all, err
}

func (h *house) copyBatch(ctx context.Context, events []usage.Event) error {
	tx, err := h.plain.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	copyIn, err := tx.PrepareContext(ctx, `COPY bare (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed,
		estimated, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros,
		charge_brl_micros, latency_ms, first_byte_ms, request_id, provider_id, provider, cache, served_input,
		served_output, saved_usd_micros) FROM STDIN`)
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if _, err := copyIn.ExecContext(ctx, e.ID.String(), e.CreatedAt, e.TenantID, e.KeyID, e.PeriodID, e.Model, e.Endpoint,
			e.Status.String(), e.HTTPStatus, e.Streamed, e.Estimated, e.Tokens.Input, e.Tokens.Cached, e.Tokens.Output, e.Tokens.Reasoning,
			int64(e.CostUSD), 0, e.LatencyMS, e.FirstByteMS, e.RequestID, e.ProviderID, e.Provider, e.Cache.String(), e.Served.Input,
			e.Served.Output, int64(e.SavedUSD)); err != nil {
			return err
		}
	}
	if _, err := copyIn.ExecContext(ctx); err != nil {
		return err
	}
	if err := copyIn.Close(); err != nil {
		return err
	}
	return tx.Commit()
}
