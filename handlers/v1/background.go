package v1

import (
	"context"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/usage"
)

// polls are the calls whose response is made in the background: they end when their provider says so.
type polls struct {
	life context.Context
	stop context.CancelFunc
	wait sync.WaitGroup

	mu   sync.Mutex
	byID map[string]*poll
}

// poll is one of them.
type poll struct {
	life  context.Context // over: it must end now
	stop  context.CancelFunc
	ended chan struct{} // and is recorded
}

func newPolls() *polls {
	life, stop := context.WithCancel(context.Background())
	return &polls{life: life, stop: stop, byID: map[string]*poll{}}
}

// Close cancels what is still made in the background, and records it.
func (a *API) Close() {
	a.polls.stop()
	a.polls.wait.Wait()
}

// end cancels a response that may still be made, and returns when its call is recorded.
func (p *polls) end(id string) {
	p.mu.Lock()
	one := p.byID[id]
	p.mu.Unlock()
	if one != nil {
		one.stop()
		<-one.ended
	}
}

// run looks after one response in a goroutine of its own.
func (p *polls) run(id string, look func(life context.Context)) {
	one := &poll{ended: make(chan struct{})}
	one.life, one.stop = context.WithCancel(p.life)
	p.mu.Lock()
	p.byID[id] = one
	p.mu.Unlock()
	p.wait.Go(func() {
		defer one.stop()
		look(one.life)
		p.mu.Lock()
		if p.byID[id] == one {
			delete(p.byID, id)
		}
		p.mu.Unlock()
		close(one.ended)
	})
}

// How often a response in the background is looked at, and for how long: OpenAI keeps none for longer.
const (
	firstPoll   = 500 * time.Millisecond
	slowestPoll = 10 * time.Second
	lastPoll    = 24 * time.Hour
)

// background answers a response that has only begun, and records the call when it has ended.
func (a *API) background(r *request, call *gateway.Call, m meter, answer wholeAnswer) error {
	passWhole(r, call, answer)
	m.body = m.body.retained()
	a.follow(r.line, call, m, gateway.Outcome{HTTPStatus: fiber.StatusOK, ProviderID: answer.header("X-Request-Id")})
	return nil
}

// follow records a call when its response, which is made in the background, has ended. o says what is known already; l is
// written before that.
func (a *API) follow(l *line, call *gateway.Call, m meter, o gateway.Outcome) {
	begun := *call.Event()
	l.begun, l.call = &begun, nil
	call.Keep(m.object)
	m.pending = true
	a.polls.run(m.object, func(life context.Context) {
		m = a.poll(life, call, m)
		o.Object = m.object
		o.Tokens, o.Estimated = m.used()
		if m.failed || m.pending {
			o.Status = usage.Failed
		}
		if err := call.Finish(o); err != nil {
			a.log.Error("record a response made in the background", "id", call.Event().RequestID, "error", err)
		}
	})
}

// name makes a stream's response known as soon as its provider has named it: it may be asked for, and cancelled, while it
// streams.
func (s *relay) name() {
	if s.named || s.meter.object == "" {
		return
	}
	s.named = true
	if s.body.background {
		s.call.Keep(s.meter.object)
	} else {
		s.call.Stored(s.meter.object)
	}
}

// poll looks at a response until it has ended, or its provider has said nothing of it for too long.
func (a *API) poll(life context.Context, call *gateway.Call, m meter) meter {
	deadline := time.Now().Add(lastPoll)
	for p := (pace{pause: firstPoll}); ; {
		timer := time.NewTimer(p.pause)
		select {
		case <-timer.C:
		case <-life.Done():
			timer.Stop()
			return a.cutShort(call, m)
		}
		told := false
		if m, told = a.look(call, m, fiber.MethodGet, ""); !m.pending || time.Now().After(deadline) {
			return m
		}
		if !p.next(told) {
			a.log.Warn("a response made in the background is given up: its provider does not tell of it", "id", call.Event().RequestID)
			return m
		}
	}
}

// pace is how often a response is looked at.
type pace struct {
	pause  time.Duration
	failed int // looks in a row
}

// A provider that tells nothing is asked less and less, for about an hour: longer than most outages.
const (
	mostFailures = 20
	slowestTry   = 5 * time.Minute
)

// next sets the pause after a look; false: there was the last one.
func (p *pace) next(told bool) bool {
	if told {
		p.pause, p.failed = min(2*p.pause, slowestPoll), 0
		return true
	}
	p.pause, p.failed = min(2*p.pause, slowestTry), p.failed+1
	return p.failed < mostFailures
}

// cutShort cancels a response that has not ended, so that it can be counted.
func (a *API) cutShort(call *gateway.Call, m meter) meter {
	for _, step := range [][2]string{{fiber.MethodGet, ""}, {fiber.MethodPost, "/cancel"}, {fiber.MethodGet, ""}} {
		if m, _ = a.look(call, m, step[0], step[1]); !m.pending {
			break
		}
	}
	return m
}

// look asks for a response; false: its provider tells nothing of it.
func (a *API) look(call *gateway.Call, m meter, method, below string) (meter, bool) {
	answer, err := call.Ask(context.Background(), &gateway.Message{Method: method, Path: responsePath(m.object, below)})
	if err != nil {
		return m, false
	}
	defer answer.Release()
	switch answer.Status() {
	case fiber.StatusOK:
		seen := newMeter(m.body)
		seen.whole(answer.Body())
		seen.object = m.object
		if seen.reported || len(seen.text) >= len(m.text) {
			return seen, true
		}
		m.pending, m.failed = seen.pending, seen.failed // what a stream delivered is more than it shows
		return m, true
	case fiber.StatusNotFound: // deleted meanwhile
		m.pending = false
		return m, true
	}
	return m, false
}
