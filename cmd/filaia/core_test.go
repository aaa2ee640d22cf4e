package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyTheNextPriceIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &core{stale: make(chan struct{}, 1)}
		begun := time.Now()
		waits := func(until time.Duration) {
			t.Helper()
			<-c.stale
			if after := time.Since(begun); after != until {
				t.Errorf("read again after %s, not %s", after, until)
			}
		}
		for _, in := range []time.Duration{time.Hour, time.Minute, 2 * time.Hour} { // each time all was read
			c.await(begun.Add(in))
		}
		waits(2 * time.Hour)
		c.await(begun.Add(3 * time.Hour))
		c.await(time.Time{})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(c.stale) != 0 {
			t.Error("a price is waited for that was withdrawn")
		}
	})
}
