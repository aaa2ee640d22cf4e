package store

import (
	"context"
	"testing"
	"time"

	"github.com/fila-ia/filaia/store/storetest"
)

func TestNewsAreLostAndFoundAgainWithAFrozenDatabase(t *testing.T) {
	dsn := storetest.DB(t)
	p := startProxy(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard, done := make(chan int64), make(chan error, 1)
	go func() {
		changes := Changes{Callers: func(id int64) {
			select {
			case heard <- id:
			case <-ctx.Done():
			}
		}, Models: func() {}, Usage: func() {}, Recalled: func(int64, string) {}}
		done <- listen(ctx, p.dsn, 500*time.Millisecond, changes, discard())
	}()
	hear := func(what string, want int64) {
		t.Helper()
		_ = ends(t, what, func() error {
			for <-heard != want {
			}
			return nil
		})
	}
	hear("the beginning", 0)
	p.freeze()
	hear("the loss", 0)
	p.thaw()
	hear("the return", 0)
	db, ticks := impatient(t, dsn, silenceLimit), time.NewTicker(20*time.Millisecond)
	go func() { // what is said while it connects is not heard
		for ctx.Err() == nil {
			<-ticks.C
			if _, err := db.ExecContext(ctx, `SELECT pg_notify('filaia_callers', '77')`); err != nil {
				return
			}
		}
	}()
	hear("a change", 77)
	p.freeze()
	cancel()
	if err := ends(t, "the listener", func() error { return <-done }); err != nil {
		t.Fatal(err)
	}
}

func TestListeningEndsBeforeItBegan(t *testing.T) {
	p := startProxy(t, storetest.DB(t))
	for name, dsn := range map[string]string{"frozen": p.dsn, "nobody there": "postgres://filaia@127.0.0.1:1/x?sslmode=disable"} {
		t.Run(name, func(t *testing.T) {
			p.freeze()
			defer p.thaw()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			nothing := Changes{Callers: func(int64) {}, Models: func() {}, Usage: func() {}, Recalled: func(int64, string) {}}
			if err := ends(t, name, func() error { return Listen(ctx, dsn, nothing, discard()) }); err != nil {
				t.Fatal(err)
			}
		})
	}
}
