package usage

import "testing"

// What callers spoil themselves is neither a success nor a failure.
func TestCallersOwnErrorsSayNothingOfTheService(t *testing.T) {
	rate, ok := Totals{Requests: 1020, Failures: 5, CallerErrors: 1000}.SuccessRate()
	if !ok || rate != 0.75 {
		t.Errorf("a success rate of %v, want 5 failures among 20 calls", rate)
	}
	if _, ok := (Totals{Requests: 7, CallerErrors: 7}).SuccessRate(); ok {
		t.Error("calls that their callers spoiled make a success rate")
	}
}

func TestACallerIsToBlameForWhatItSent(t *testing.T) {
	for status, own := range map[int]bool{
		400: true, 401: true, 403: true, 404: true, 409: true, 413: true, 415: true, 422: true, // 401 and 403 of providers come as 503
		200: false, 302: false, 402: false, 407: false, 408: false, 425: false, 429: false, 500: false, 502: false, 503: false, 504: false, 600: false,
	} {
		if e := (&Event{Status: Failed, HTTPStatus: status}); e.CallersFault() != own {
			t.Errorf("%d: the caller's fault is %v", status, !own)
		}
	}
	for _, s := range []Status{OK, Aborted, Interrupted} {
		if e := (&Event{Status: s, HTTPStatus: 400}); e.CallersFault() {
			t.Errorf("a call that is %s is its caller's fault", s)
		}
	}
}

func TestSuccessRateSaysNothingOfNoCalls(t *testing.T) {
	if _, ok := (Totals{}).SuccessRate(); ok {
		t.Error("a rate of no calls")
	}
	rate, ok := Totals{Requests: 200, Failures: 1}.SuccessRate()
	if !ok || rate != 0.995 {
		t.Errorf("rate %v %v, want 0.995", rate, ok)
	}
}

func TestAddSumsEveryField(t *testing.T) {
	a := Totals{1, 2, 14, Tokens{3, 4, 5, 6}, 7, 8, 9, 10, 11, 12, 13}
	want := Totals{2, 4, 28, Tokens{6, 8, 10, 12}, 14, 16, 18, 20, 22, 24, 26}
	if got := a.Add(a); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAPartHalvesEveryField(t *testing.T) {
	whole := Totals{2, 4, 28, Tokens{6, 8, 10, 12}, 14, 16, 18, 20, 22, 24, 26}
	if got, want := whole.part(1, 2), (Totals{1, 2, 14, Tokens{3, 4, 5, 6}, 7, 8, 9, 10, 11, 12, 13}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestHitRateSaysNothingWhereTheCacheWasNotAsked(t *testing.T) {
	if _, ok := (Totals{Requests: 9}).HitRate(); ok {
		t.Error("a rate of no look-ups")
	}
	if rate, ok := (Totals{Requests: 9, CacheLookups: 4, CacheHits: 3}).HitRate(); !ok || rate != 0.75 {
		t.Errorf("rate %v %v, want 0.75", rate, ok)
	}
}

func TestChangeSaysNothingWithoutABefore(t *testing.T) {
	if _, ok := Change(5, 0); ok {
		t.Error("a change from nothing")
	}
	if ratio, ok := Change(75, 100); !ok || ratio != -0.25 {
		t.Errorf("%v %v, want -0.25", ratio, ok)
	}
}
