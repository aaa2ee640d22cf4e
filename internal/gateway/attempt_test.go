package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// failures are those of a provider that may be over at the next attempt.
var failures = map[string]says{
	"500":            {status: 500},
	"502":            {status: 502},
	"503":            {status: 503},
	"408":            {status: 408},
	"429":            {status: 429},
	"refused":        {err: away(errRefused)},
	"a page of HTML": {header: map[string]string{"content-type": "text/html; charset=utf-8"}, body: "<html></html>"},
}

func TestAFailureIsTriedAgain(t *testing.T) {
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, call func(*stage) outcome) {
				f := speaks(failure, says{})
				s := newStage(t, f)
				o := call(s)
				if o.status != 200 || len(f.asked) != 2 || o.provider != "p1" || f.models[1] != "m-p1" {
					t.Errorf("%+v after asking %v", o, f.models)
				}
				s.clean()
			})
		})
	}
}

func TestHalfAnAnswerIsTriedAgain(t *testing.T) {
	for _, body := range []string{`{"choices":[{"mess`, `{"a":1`, "<html></html>", " "} {
		synctest.Test(t, func(t *testing.T) {
			f := speaks(says{body: body}, says{})
			s := newStage(t, f)
			if o := s.whole(7); o.status != 200 || len(f.asked) != 2 {
				t.Errorf("%q: %+v, asked %d times", body, o, len(f.asked))
			}
			s.clean()
		})
	}
	for _, answer := range []says{
		{body: "\n{\"a\":1}\n"}, {body: "[1]"}, {body: `"text"`}, {body: "{ouch", header: map[string]string{"content-type": "text/plain"}},
		{body: "{ID3", header: map[string]string{"content-type": "audio/mpeg"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			if o := newStage(t, speaks(answer)).whole(7); o.status != 200 || o.body != answer.body {
				t.Errorf("%+v: %+v", answer, o)
			}
		})
	}
}

func TestAStreamOfNothingIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		first     says
		elsewhere bool // only there
	}{
		"empty":                    {first: says{mute: true}},
		"blank":                    {first: says{body: "\r\n\n"}},
		"blank, then broken off":   {first: says{body: "\n\n", breaks: away(io.ErrUnexpectedEOF)}},
		"broken off":               {first: says{mute: true, breaks: away(io.ErrUnexpectedEOF)}},
		"silent behind the head":   {first: says{mute: true, breaks: tooSlow(errors.New("idle"))}, elsewhere: true},
		"an empty sound":           {first: says{mute: true, header: map[string]string{"content-type": "audio/mpeg"}}},
		"an empty answer in JSON":  {first: says{mute: true, header: map[string]string{"content-type": "application/json"}}},
		"a page that is empty too": {first: says{mute: true, header: map[string]string{"content-type": "text/html"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := speaks(c.first), speaks(says{body: "data: {}\n\n"})
				s := newStage(t, one, two)
				if o := s.stream(7); o.status != 200 || o.body != "data: {}\n\n" || o.provider != "p2" {
					t.Errorf("%+v", o)
				}
				s.models[0].Routes = s.models[0].Routes[:1]
				s.reload()
				one.asked = nil
				o := s.stream(7)
				if want := map[bool]int{false: 3, true: 1}[c.elsewhere]; len(one.asked) != want || o.refusal == nil {
					t.Errorf("alone it was asked %d times: %+v", len(one.asked), o)
				}
				s.clean()
			})
		})
	}
}

// TestAStreamIsGivenFromItsFirstPieceOn: to look at it changes nothing of it, and waits for no more.
func TestAStreamIsGivenFromItsFirstPieceOn(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []string
		err    error // comes with the last piece
	}{
		"one piece":             {[]string{"data: 1\n\n"}, io.EOF},
		"a blank line first":    {[]string{"\n", "data: 1\n\n", "data: 2\n\n"}, io.EOF},
		"byte by byte":          {strings.Split("data: 1\n\ndata: 2\n\n", ""), io.EOF},
		"a piece of nothing":    {[]string{"", "data: 1\n\n"}, io.EOF},
		"broken off with bytes": {[]string{"data: 1\n\n"}, away(io.ErrUnexpectedEOF)},
		"a large one":           {[]string{strings.Repeat("x", 3*pieceBytes), "y"}, io.EOF},
		"blank for long":        {[]string{strings.Repeat(" ", 2*pieceBytes), "y"}, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			source := &inPieces{pieces: slices.Clone(c.pieces), err: c.err}
			a, err := streamSender{}.check(source)
			if err != nil {
				t.Fatal(err)
			}
			if c.pieces[0] != "" && strings.TrimSpace(c.pieces[0]) != "" && source.read != 1 {
				t.Errorf("%d pieces were waited for", source.read)
			}
			var got []byte
			for err == nil {
				var n int
				p := make([]byte, 5)
				n, err = a.Read(p)
				got = append(got, p[:n]...)
			}
			if want := strings.Join(c.pieces, ""); string(got) != want || !errors.Is(err, c.err) {
				t.Errorf("%.60q with %v, want %.60q with %v", got, err, want, c.err)
			}
		})
	}
}

// inPieces is a stream whose error comes with its last bytes.
type inPieces struct {
	told
	pieces []string
	err    error
	read   int
}

func (s *inPieces) Status() int { return 200 }

func (s *inPieces) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, s.err
	}
	s.read++
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return n, s.err
	}
	return n, nil
}

func TestAttemptsAreAsManyAsTheProviderAllows(t *testing.T) {
	for _, n := range []int{0, 1, 2, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			each(t, func(t *testing.T, call func(*stage) outcome) {
				f := speaks()
				for i := range n + 1 {
					f.script = append(f.script, says{status: 500, body: fmt.Sprint(i)})
				}
				f.script = append(f.script, says{})
				s := newStage(t, f)
				s.limit(func(l *tenancy.ProviderLimits) { l.Retries, l.BreakerMinCalls = n, n+2 }) // else it opens in between
				if o := call(s); o.status != 500 || o.body != fmt.Sprint(n) || len(f.asked) != n+1 {
					t.Errorf("%+v, asked %d times", o, len(f.asked))
				}
				s.clean()
			})
		})
	}
}

func TestWhatIsNotTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		said   says
		status int
		reason Reason
	}{
		"the caller's mistake":        {says{status: 400}, 400, ""},
		"an unknown model":            {says{status: 404}, 404, ""},
		"a conflict":                  {says{status: 409}, 409, ""},
		"a body too large":            {says{status: 413}, 413, ""},
		"what cannot be processed":    {says{status: 422}, 422, ""},
		"slowness":                    {says{err: tooSlow(errors.New("idle"))}, 0, ProviderTimeout},
		"x-should-retry: false":       {says{status: 500, header: map[string]string{"x-should-retry": "false"}}, 500, ""},
		"a limit with x-should-retry": {says{status: 429, header: map[string]string{"x-should-retry": "false"}}, 429, ""},
		"a long pause":                {says{status: 503, header: map[string]string{"retry-after": "11"}}, 503, ""},
		"refused credentials":         {says{status: 401}, 401, ""},
		"forbidden":                   {says{status: 403}, 403, ""},
		"a redirect":                  {says{status: 307}, 307, ""},
		"an account without credit":   {says{status: 429, body: `{"error":{"code":"insufficient_quota"}}`}, 429, ""},
		"our own breaking off":        {says{err: away(context.Canceled)}, 0, ProviderAway},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, call func(*stage) outcome) {
				f := speaks(c.said, says{})
				s := newStage(t, f)
				o := call(s)
				if o.status != c.status || o.refusal != nil && o.refusal.Reason != c.reason || len(f.asked) != 1 || o.provider != "p1" {
					t.Errorf("%+v, asked %d times", o, len(f.asked))
				}
				if c.said.body != "" && o.body != c.said.body {
					t.Errorf("the failure reads %q", o.body)
				}
				s.clean()
			})
		})
	}
}

func TestWhatOneProviderCannotIsTriedAtAnother(t *testing.T) {
	elsewhere := map[string]says{
		"slow": {err: tooSlow(errors.New("connect"))}, "401": {status: 401}, "403": {status: 403}, "redirect": {status: 302},
		"no credit": {status: 429, body: `{"error":{"code":"insufficient_quota"}}`},
		"long":      {status: 503, header: map[string]string{"retry-after": "60"}},
		"final":     {status: 500, header: map[string]string{"x-should-retry": "false"}},
	}
	for name, failure := range failures {
		elsewhere[name] = failure
	}
	for name, failure := range elsewhere {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, call func(*stage) outcome) {
				s := newStage(t, speaks(failure), speaks(says{}))
				o := call(s)
				if o.status != 200 || o.provider != "p2" || len(s.fake(1).asked) != 1 || o.took != 0 {
					t.Errorf("%+v, the first was asked %d times", o, len(s.fake(1).asked))
				}
				s.clean()
			})
		})
	}
	t.Run("but not the caller's mistake", func(t *testing.T) {
		each(t, func(t *testing.T, call func(*stage) outcome) {
			s := newStage(t, speaks(says{status: 400}), speaks(says{}))
			if o := call(s); o.status != 400 || len(s.fake(2).asked) != 0 {
				t.Errorf("%+v", o)
			}
		})
	})
}

func TestTheLastFailureIsTheCalls(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 401}), speaks(says{status: 502, body: "x"}, says{status: 503, body: "y"}))
		if o := call(s); o.status != 503 || o.body != "y" || o.provider != "p2" || len(s.fake(1).asked) != 1 || len(s.fake(2).asked) != 2 {
			t.Errorf("%+v", o)
		}
		s.clean()
		s = newStage(t, speaks(says{status: 500}), speaks(says{err: away(errRefused)}))
		s.limit(retries(1))
		if o := call(s); o.refusal == nil || !errors.Is(o.refusal, errRefused) || o.provider != "p2" {
			t.Errorf("%+v", o)
		}
		s.clean()
	})
}

// gap is the pause between two attempts.
func (f *fake) gap(n int) time.Duration { return f.asked[n].Sub(f.asked[n-1]) }

func TestPausesGrowAndDiffer(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		seen := map[time.Duration]bool{}
		for range 50 {
			f := speaks(says{status: 500})
			s := newStage(t, f)
			s.limit(retries(4))
			call(s)
			for n, bound := 1, 200*time.Millisecond; n <= 4; n, bound = n+1, bound*2 {
				if f.gap(n) > bound {
					t.Fatalf("pause %d is %v", n, f.gap(n))
				}
				seen[f.gap(n)] = true
			}
		}
		if len(seen) < 190 {
			t.Errorf("of 200 pauses %d differ", len(seen))
		}
	})
}

func TestAProviderIsSparedForAsLongAsItAsks(t *testing.T) {
	for header, least := range map[string]time.Duration{"retry-after": 3 * time.Second, "retry-after-ms": 3 * time.Millisecond} {
		for _, status := range []int{429, 500, 503} {
			t.Run(fmt.Sprint(status, header), func(t *testing.T) {
				each(t, func(t *testing.T, call func(*stage) outcome) {
					f := speaks(says{status: status, header: map[string]string{header: "3"}}, says{})
					s := newStage(t, f)
					if o := call(s); o.status != 200 || f.gap(1) < least || f.gap(1) > least+200*time.Millisecond {
						t.Errorf("%+v, after %v", o, f.gap(1))
					}
				})
			})
		}
	}
}

func TestEachRouteIsSparedByItself(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 503, header: map[string]string{"retry-after": "3"}}, says{}), speaks(says{status: 500}))
		s.limit(retries(10))
		o := call(s)
		first, second := s.fake(1), s.fake(2)
		if o.status != 200 || o.provider != "p1" || first.gap(1) < 3*time.Second {
			t.Errorf("%+v: the first was asked at %v", o, first.asked)
		}
		if len(second.asked) < 2 || second.gap(1) > 400*time.Millisecond {
			t.Errorf("the second was asked at %v", second.asked)
		}
		s.clean()
	})
}

func TestTwoFailingRoutesAreNotHammered(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		var took time.Duration
		for range 20 {
			s := newStage(t, speaks(says{status: 500}), speaks(says{status: 500}))
			s.limit(retries(5))
			took += call(s).took
		}
		if took < 5*time.Second { // 20 × 4 pauses that are 300 ms in the mean
			t.Errorf("20 calls of 6 attempts took %v", took)
		}
	})
}

func TestOneCallersLimitIsAllCallersPause(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		limited := says{status: 429, header: map[string]string{"retry-after": "30"}}
		s := newStage(t, speaks(limited, says{}))
		if o := call(s); o.status != 429 {
			t.Fatalf("%+v", o)
		}
		time.Sleep(10 * time.Second)
		o := call(s)
		if o.refusal == nil || o.refusal.Reason != ProviderAway || o.refusal.RetryAfter != 20*time.Second || o.provider != "" || len(s.fake(1).asked) != 1 {
			t.Errorf("%+v", o)
		}
		time.Sleep(20 * time.Second)
		if o := call(s); o.status != 200 {
			t.Errorf("%+v", o)
		}
		s.clean()

		s = newStage(t, speaks(limited), speaks(says{}))
		for range 3 {
			if o := call(s); o.status != 200 || o.provider != "p2" {
				t.Errorf("%+v", o)
			}
		}
		if len(s.fake(1).asked) != 1 {
			t.Errorf("a provider that wanted a pause was asked %d times", len(s.fake(1).asked))
		}
	})
}

func TestASlowAttemptDoesNotWaitForItsTurnAgain(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{err: tooSlow(errors.New("total")), after: time.Minute}), speaks(says{status: 500}))
		s.limit(retries(4))
		if o := call(s); o.status != 500 || len(s.fake(1).asked) != 1 || len(s.fake(2).asked) != 4 {
			t.Errorf("%+v; asked %d and %d times", o, len(s.fake(1).asked), len(s.fake(2).asked))
		}
	})
}

func TestAStreamKeepsItsPlaceUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{}))
		s.limit(func(l *tenancy.ProviderLimits) { l.MaxParallel, l.MaxWaiting = 1, 0 })
		a, err := s.call(7).Stream(context.Background(), message)
		if err != nil {
			t.Fatal(err)
		}
		o := s.whole(8)
		if o.refusal == nil || o.refusal.Reason != ProviderBusy || o.refusal.RetryAfter < time.Second {
			t.Errorf("%+v", o)
		}
		if _, err := io.ReadAll(a); err != nil {
			t.Fatal(err)
		}
		if o := s.whole(8); o.refusal == nil {
			t.Error("the place was free before the stream was closed")
		}
		a.Close()
		if o := s.whole(8); o.status != 200 {
			t.Errorf("%+v", o)
		}
		s.clean()
	})
}

func TestABrokenStreamIsAFailureUnlessItWasUs(t *testing.T) {
	for name, c := range map[string]struct {
		breaks error
		state  breaker.State
	}{
		"broken off by the provider": {away(io.ErrUnexpectedEOF), breaker.Open},
		"silent":                     {tooSlow(errors.New("idle")), breaker.Open},
		"broken off by us":           {away(context.Canceled), breaker.Closed},
		"whole":                      {nil, breaker.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, speaks(says{breaks: c.breaks}))
				s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls = 3 })
				for range 3 {
					s.stream(7)
				}
				if got := s.g.Models.Houses()[0].Guard.Snapshot().Models[0].State; got != c.state {
					t.Errorf("the breaker is %s", got)
				}
				if len(s.fake(1).asked) != 3 {
					t.Errorf("asked %d times: a stream was sent again", len(s.fake(1).asked))
				}
				s.clean()
			})
		})
	}
}

func TestNobodyWaitsForAProviderAfterAbort(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 503, header: map[string]string{"retry-after": "9"}}))
		go func() { time.Sleep(time.Second); s.g.Models.Abort() }()
		if o := call(s); o.took != time.Second || o.status != 503 || s.fake(1).aborted != 1 {
			t.Errorf("%+v", o)
		}
		s.clean()
	})
}
