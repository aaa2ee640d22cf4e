package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAWorkerWaitsForTheOneBeforeIt(t *testing.T) {
	dir := t.TempDir()
	release, err := lockWorker(t.Context(), dir, discardLog())
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 2*lockPause)
	defer cancel()
	if _, err := lockWorker(short, dir, discardLog()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("two run on one folder: %v", err)
	}
	locked := make(chan error, 1)
	go func() {
		again, err := lockWorker(t.Context(), dir, discardLog())
		if err == nil {
			err = again()
		}
		locked <- err
	}()
	if err := release(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-locked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the next one never begins")
	}
}
