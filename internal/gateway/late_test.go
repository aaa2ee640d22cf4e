package gateway

import (
	"errors"
	"testing"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// fullLedger records nothing.
type fullLedger struct{}

var errFull = errors.New("no space left on device")

func (fullLedger) Begin(*usage.Event) error  { return errFull }
func (fullLedger) Finish(*usage.Event) error { return errFull }
func (fullLedger) Once(*usage.Event) error   { return errFull }

func TestOnlyCallsThatWereBegunAreRecordedLate(t *testing.T) {
	s := newStage(t, speaks(says{}))
	s.g.Ledger = fullLedger{}
	for range 3 { // answers of the cache: they were not given, and would pile up as long as the disk is full
		c := s.call(7)
		c.event.Cache = usage.CacheHit
		s.g.inFlight.Add(1)
		if err := c.Finish(Outcome{HTTPStatus: 200, Tokens: usage.Tokens{Input: 5, Output: 5}}); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
	}
	if n := len(s.g.late.events); n != 0 {
		t.Errorf("%d answers that nobody was given will be recorded", n)
	}
	c := s.call(7)
	c.begun = true
	s.g.inFlight.Add(1)
	if err := c.Finish(Outcome{HTTPStatus: 200, Tokens: usage.Tokens{Input: 5, Output: 5}}); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	if n := len(s.g.late.events); n != 1 || c.event.Tokens != (usage.Tokens{Input: 5, Output: 5}) || c.QuotaLeft() != (quota.Pair{}) {
		t.Errorf("%d late records of a call that a provider answered: %+v", n, c.event)
	}
}

// reservedLedger has room for calls under way alone.
type reservedLedger struct {
	fullLedger
	finished []usage.Event
}

func (l *reservedLedger) Finish(e *usage.Event) error {
	l.finished = append(l.finished, *e)
	return nil
}

func TestACallThatWasBegunHasItsRoomWhoeverAnswersIt(t *testing.T) {
	for _, cache := range []usage.Cache{usage.CacheBypass, usage.CacheMiss, usage.CacheHit, usage.CacheCoalesced} {
		s, ledger := newStage(t, speaks(says{})), &reservedLedger{}
		s.g.Ledger = ledger
		c := s.call(7)
		c.begun, c.event.Cache = true, cache
		s.g.inFlight.Add(1)
		if err := c.Finish(Outcome{HTTPStatus: 200}); err != nil || len(ledger.finished) != 1 {
			t.Errorf("%s: %v, %d records", cache, err, len(ledger.finished))
		}
		c = s.call(7)
		c.event.Cache = cache
		s.g.inFlight.Add(1)
		if err := c.Finish(Outcome{HTTPStatus: 200}); !errors.Is(err, errFull) || len(ledger.finished) != 1 {
			t.Errorf("%s, never begun: %v, %d records", cache, err, len(ledger.finished))
		}
	}
}
