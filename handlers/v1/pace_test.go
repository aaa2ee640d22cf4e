package v1

import (
	"testing"
	"time"
)

func TestAProviderThatTellsNothingIsGivenUpWithinHours(t *testing.T) {
	p := pace{pause: firstPoll}
	for range 30 { // a long response
		if !p.next(true) || p.pause > slowestPoll {
			t.Fatalf("%+v", p)
		}
	}
	p.next(false)
	if p.next(true); p.failed != 0 || p.pause != slowestPoll {
		t.Errorf("after one failure: %+v", p)
	}
	looks, asked := 1, p.pause
	for last := p.pause; p.next(false); looks++ {
		if p.pause < last {
			t.Errorf("asked again sooner: %+v", p)
		}
		last = p.pause
		asked += p.pause
	}
	if looks != mostFailures || asked < 30*time.Minute || asked > 2*time.Hour {
		t.Errorf("%d looks in %s", looks, asked)
	}
}
