package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/ledger"
)

// A commit costs much the same however many events it holds, and nobody waits for one.
const (
	batchSize = 2000
	batchAge  = 100 * time.Millisecond
)

// openSpool takes the data folder's spool for this process.
func openSpool(cfg config.Config, sink ledger.Sink, log *slog.Logger) (*ledger.Ledger, error) {
	spool, err := ledger.Open(filepath.Join(cfg.DataDir, "spool"), ledger.Options{
		Sink: sink, Log: log, Sync: syncOf(cfg.SpoolSync.Policy), SyncEvery: cfg.SpoolSync.Every,
		BatchSize: batchSize, BatchAge: batchAge,
	})
	if err != nil {
		return nil, fmt.Errorf("FILAIA_DATA_DIR: %w; each server needs a folder of its own, which it may write", err)
	}
	return spool, nil
}

func syncOf(p config.SyncPolicy) ledger.Sync {
	switch p {
	case config.SyncAlways:
		return ledger.SyncAlways
	case config.SyncInterval:
		return ledger.SyncInterval
	}
	return ledger.SyncOS
}
