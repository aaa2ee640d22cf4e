package gateway

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
)

// Send sends the call and gives the whole answer: from the cache, or of the first route that answers, after retries and
// fallbacks. message
// makes what a provider that knows the model by this name is sent.
func (c *Call) Send(ctx context.Context, message func(upstreamModel string) *Message) (Answer, error) {
	if r := c.elsewhere(ctx); r != nil {
		return r, nil
	}
	a, err := attempt(c, message, wholeSender{})
	if err == nil {
		c.keepWhole(a)
	}
	return a, err
}

// Stream sends the call and gives the answer as it comes; ending ctx breaks it off. Nothing was read of failed attempts.
func (c *Call) Stream(ctx context.Context, message func(upstreamModel string) *Message) (StreamAnswer, error) {
	if r := c.elsewhere(ctx); r != nil {
		return r, nil
	}
	a, err := attempt(c, message, streamSender{ctx})
	if err != nil {
		return nil, err
	}
	return c.keepStream(a), nil
}

// head is what whole and streamed answers have in common.
type head interface {
	comparable
	Status() int
	Header(name string) string
}

// sender is how whole answers and streams differ.
type sender[A head] interface {
	send(h *House, m *Message) (A, error)
	drop(A)                        // another attempt replaces it
	keep(a A, pass breaker.Pass) A // it is relayed; its pass is left with its end
}

// attempt tries the routes of the call's model in order, and again, for as often as the first one's provider allows.
// Nothing has been given to the client meanwhile. A failed answer is given only when there is no better one.
func attempt[A head](c *Call, message func(string) *Message, s sender[A]) (answer A, err error) {
	var none A
	t := trip{call: c, routes: c.offer.order(), at: -1, last: -1}
	if len(t.routes) > 0 {
		t.left = 1 + t.routes[0].house.Provider.Limits.Retries
	}
	for {
		r, pass, refused := t.next()
		if refused != nil {
			if answer == none && err == nil {
				err = refused
			}
			return answer, err
		}
		if answer != none {
			s.drop(answer)
			answer = none
		}
		c.route, c.event.Provider = r, r.house.Provider.Slug
		start := c.g.Now()
		answer, err = s.send(r.house, message(r.UpstreamModel))
		v := judge(answer, err, none, c.g.Now())
		pass.Answered(c.g.Now().Sub(start), v.result)
		if v.throttle > 0 {
			r.house.Guard.Throttle(c.g.Now().Add(v.throttle))
		}
		if !v.retry {
			if err != nil {
				pass.Leave(v.result)
				return none, err
			}
			return s.keep(answer, pass), nil
		}
		pass.Leave(v.result)
		t.failed(v)
	}
}

// verdict is what an attempt's end means.
type verdict struct {
	result    breaker.Result
	retry     bool
	elsewhere bool          // only on another route
	throttle  time.Duration // the provider wants nobody's calls for so long
	wait      time.Duration // it asks to be spared by this call for so long
}

// judge tells a failure of the provider from one of the caller.
func judge[A head](answer A, err error, none A, now time.Time) (v verdict) {
	if err != nil {
		var r *Refusal
		if errors.Is(err, context.Canceled) { // by us
			return verdict{result: breaker.Neutral}
		}
		slow := errors.As(err, &r) && r.Reason == ProviderTimeout
		return verdict{result: breaker.Failure, retry: true, elsewhere: slow} // slow again would be twice as slow
	}
	switch status := answer.Status(); {
	case status < http.StatusMultipleChoices:
		return verdict{result: breaker.Success}
	case status == http.StatusTooManyRequests:
		v = verdict{result: breaker.Neutral, retry: true}
		v.throttle = breaker.RetryAfterOf(answer.Header, now)
		v.wait = v.throttle
	case status >= http.StatusInternalServerError || status == http.StatusRequestTimeout:
		v = verdict{result: breaker.Failure, retry: true, wait: breaker.RetryAfterOf(answer.Header, now)}
	case status < http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden:
		return verdict{result: breaker.Failure, retry: true, elsewhere: true} // a setting of the operator's is wrong there
	default:
		return verdict{result: breaker.Neutral} // the caller's own mistake
	}
	v.elsewhere = answer.Header("X-Should-Retry") == "false"
	return v
}

// maxPause bounds the wait before an attempt: a provider that asks for more is not tried again in this call.
const maxPause = 10 * time.Second

// trip is a call on its way over the routes of its model.
type trip struct {
	call   *Call
	routes []route
	at     int // the route to ask after this one; wraps around
	last   int // the route of the last attempt; -1: none
	left   int // attempts
	tries  int
	wait   time.Duration // before the last route is tried again
	shut   uint64        // routes that are not tried again
}

var errNoRoute = errors.New("no provider is set up for the model")

// next waits for a place on the next route that lets the call through. The soonest refusal is told where none does.
func (t *trip) next() (*route, breaker.Pass, error) {
	if t.left == 0 && t.tries > 0 {
		return nil, breaker.Pass{}, errTried
	}
	t.left--
	refused := &Refusal{Reason: ProviderAway, Cause: errNoRoute}
	ctx := t.call.g.Models.houses.life
	for range t.routes {
		t.at = (t.at + 1) % len(t.routes)
		if t.shut&(1<<(t.at%64)) != 0 || t.at == t.last && !sleep(ctx, t.wait) {
			continue
		}
		r := &t.routes[t.at]
		pass, err := r.house.Guard.Enter(ctx, t.call.event.TenantID, r.UpstreamModel)
		if err == nil {
			t.last, t.tries = t.at, t.tries+1
			return r, pass, nil
		}
		refused = sooner(refused, err)
	}
	return nil, breaker.Pass{}, refused
}

// errTried ends a trip: the last attempt's end is the call's.
var errTried = errors.New("every attempt has failed")

// failed notes how the last attempt ended.
func (t *trip) failed(v verdict) {
	t.wait = breaker.Backoff(t.tries-1, v.wait, rand.Float64)
	if v.elsewhere || t.wait > maxPause {
		t.shut |= 1 << (t.last % 64)
	}
}

// sooner gives the refusal after which trying again makes sense first.
func sooner(r *Refusal, err error) *Refusal {
	var guard *breaker.Refused
	next := &Refusal{Reason: ProviderAway, Cause: err}
	if errors.As(err, &guard) {
		next.RetryAfter = guard.RetryAfter
		if guard.Reason == breaker.LineFull || guard.Reason == breaker.WaitedTooLong {
			next.Reason = ProviderBusy
		}
	}
	if errors.Is(r.Cause, errNoRoute) || next.RetryAfter < r.RetryAfter {
		return next
	}
	return r
}

// sleep waits; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type wholeSender struct{}

func (wholeSender) send(h *House, m *Message) (Answer, error) {
	return h.Upstream.Send(context.Background(), m)
}

func (wholeSender) drop(a Answer) { a.Release() }

func (wholeSender) keep(a Answer, pass breaker.Pass) Answer {
	pass.Leave(breaker.Neutral) // all of it has come
	return a
}

type streamSender struct{ ctx context.Context }

func (s streamSender) send(h *House, m *Message) (StreamAnswer, error) {
	return h.Upstream.Stream(s.ctx, m)
}

func (streamSender) drop(a StreamAnswer) { a.Close() }

func (streamSender) keep(a StreamAnswer, pass breaker.Pass) StreamAnswer {
	return &guarded{StreamAnswer: a, pass: pass, result: breaker.Neutral}
}

// guarded holds a stream's place at its provider until it ends.
type guarded struct {
	StreamAnswer
	pass   breaker.Pass
	result breaker.Result
	closed bool
}

// Read reads; a stream that breaks off is the provider's failure.
func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.StreamAnswer.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		g.result = breaker.Failure
	}
	return n, err
}

// Close ends the stream and frees its place.
func (g *guarded) Close() error {
	err := g.StreamAnswer.Close()
	if !g.closed {
		g.closed = true
		g.pass.Leave(g.result)
	}
	return err
}
