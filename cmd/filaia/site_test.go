package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestModelsAreReadUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		old, ended, reads := make(chan struct{}, 1), make(chan struct{}), 0
		go func() {
			defer close(ended)
			reloadModels(ctx, old, func(ctx context.Context) error {
				switch reads++; reads {
				case 1: // the database stands still
					<-ctx.Done()
					return ctx.Err()
				case 2:
					return errors.New("the database is away")
				}
				return nil
			}, slog.New(slog.DiscardHandler))
		}()
		synctest.Wait()
		if reads != 0 {
			t.Fatal("read although nothing changed")
		}
		old <- struct{}{}
		synctest.Wait()
		old <- struct{}{} // changed while they are read: read once more
		time.Sleep(time.Minute)
		if synctest.Wait(); reads != 4 {
			t.Errorf("read %d times, want 4", reads)
		}
		cancel()
		<-ended
	})
}

func TestReadingModelsEndsWithTheServer(t *testing.T) {
	for name, reload := range map[string]func(context.Context) error{
		"while it hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"between tries":  func(context.Context) error { return errors.New("the database is away") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				old := make(chan struct{}, 1)
				old <- struct{}{}
				began := time.Now()
				reloadModels(ctx, old, reload, slog.New(slog.DiscardHandler))
				if took := time.Since(began); took != 500*time.Millisecond { // of synctest's clock
					t.Errorf("it ended after %s", took)
				}
			})
		})
	}
}
