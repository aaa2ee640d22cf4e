package gateway

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
)

// Send sends the call and gives the whole answer: from the cache, or of the first route that answers, after retries and
// fallbacks. message makes what a provider that knows the model by this name is sent.
func (c *Call) Send(ctx context.Context, message func(upstreamModel string) *Message) (Answer, error) {
	if r := c.elsewhere(ctx); r != nil {
		return r, nil
	}
	a, err := attempt(context.Background(), c, message, wholeSender{})
	if err == nil {
		c.keepWhole(a)
	}
	return a, err
}

// Stream sends the call and gives the answer as it comes; ending ctx breaks it off. A stream that has not
// begun with a first piece is a failed attempt.
func (c *Call) Stream(ctx context.Context, message func(upstreamModel string) *Message) (StreamAnswer, error) {
	if r := c.elsewhere(ctx); r != nil {
		return r, nil
	}
	a, err := attempt(ctx, c, message, streamSender{})
	if err != nil {
		return nil, err
	}
	return c.keepStream(a), nil
}

// attempt tries the routes of the call's model in order, and again, for as often as the first one's provider allows.
// Nothing has been given to the client meanwhile. Where all fail, the last one's failure is the call's.
func attempt[A head](ctx context.Context, c *Call, message func(string) *Message, s sender[A]) (answer A, err error) {
	var none A
	t := newTrip(c)
	for {
		r, pass, refused := t.next()
		if refused != nil {
			if t.tries == 0 {
				err = refused
			}
			return answer, err
		}
		if answer != none {
			s.drop(answer)
		}
		done := try[A]{route: r, pass: pass}
		if after := r.house.Provider.Limits.Hedge; after > 0 && !t.hedged {
			done = race(ctx, t, done, message, s)
		} else {
			done.run(ctx, c.g, s, message(r.UpstreamModel))
		}
		c.route, c.event.Provider = done.route, done.route.house.Provider.Slug
		answer, err = done.answer, done.err
		switch {
		case done.retry:
			t.failed(done.route, done.verdict)
		case err != nil:
			return answer, err
		default:
			return s.keep(answer, done.pass), nil
		}
	}
}

// try is one attempt.
type try[A head] struct {
	route  *route
	pass   breaker.Pass // is left unless the answer is to be kept
	answer A            // none where err is not nil
	err    error
	waits  bool // it has no place yet
	verdict
}

// run sends the call and judges what comes of it.
func (a *try[A]) run(ctx context.Context, g *Gateway, s sender[A], m *Message) {
	var none A
	start := g.Now()
	a.answer, a.err = s.send(ctx, a.route.house, m)
	now := g.Now() // how soon it answers, its head tells
	if a.err == nil {
		var err error
		if a.answer, err = s.check(a.answer); err != nil {
			s.drop(a.answer)
			a.answer, a.err = none, err
		}
	}
	if a.err != nil {
		a.verdict = judgeError(a.err)
	} else {
		a.verdict = judge(a.answer, s.body, now)
	}
	a.pass.Answered(now.Sub(start), a.result)
	if a.err == nil && a.answer.Status() == http.StatusTooManyRequests {
		g.Throttles.Add(a.route.house.Provider.ID, now)
	}
	if a.throttle > 0 {
		a.route.house.Guard.Throttle(a.route.UpstreamModel, now.Add(a.throttle))
	}
	if a.retry || a.err != nil {
		a.pass.Leave(a.result)
	}
}

// verdict is what an attempt's end means.
type verdict struct {
	result    breaker.Result
	retry     bool
	elsewhere bool          // only on another route
	throttle  time.Duration // the provider wants nobody's calls of the model for so long
	wait      time.Duration // it asks to be spared by this call for so long
}

// errUnsound is an answer cut short, a stream of nothing, or the page of something that stands between us and the provider.
var errUnsound = errors.New("the provider answered with something that is no answer")

func unsound() error { return &Refusal{Reason: ProviderAway, Cause: errUnsound} }

func judgeError(err error) verdict {
	var r *Refusal
	if errors.Is(err, context.Canceled) { // by us
		return verdict{result: breaker.Neutral}
	}
	slow := errors.As(err, &r) && r.Reason == ProviderTimeout
	return verdict{result: breaker.Failure, retry: true, elsewhere: slow} // slow again would be twice as slow
}

// judge tells a failure of the provider from one of the caller.
func judge[A head](answer A, body func(A) []byte, now time.Time) (v verdict) {
	switch status := answer.Status(); {
	case status < http.StatusMultipleChoices:
		return verdict{result: breaker.Success}
	case status == http.StatusTooManyRequests && bytes.Contains(body(answer), noCredit),
		status < http.StatusBadRequest || status == http.StatusUnauthorized:
		return verdict{result: breaker.Failure, retry: true, elsewhere: true} // the operator must mend something there
	case status == http.StatusForbidden:
		// The operator's fault or, where a provider answers flagged prompts so, one tenant's, who must not close it to all.
		return verdict{result: breaker.Neutral, retry: true, elsewhere: true}
	case status == http.StatusTooManyRequests:
		v = verdict{result: breaker.Neutral, retry: true}
		v.throttle = breaker.RetryAfterOf(answer.Header, now)
		v.wait = v.throttle
	case status >= http.StatusInternalServerError || status == http.StatusRequestTimeout:
		v = verdict{result: breaker.Failure, retry: true, wait: breaker.RetryAfterOf(answer.Header, now)}
	default:
		return verdict{result: breaker.Neutral} // the caller's own mistake
	}
	v.elsewhere = answer.Header("X-Should-Retry") == "false"
	return v
}

// noCredit is what providers call it when the operator's account has been used up: no pause helps.
var noCredit = []byte(`"insufficient_quota"`)
