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
	l.begun, l.call = *call.Event(), nil
	call.Stored(m.object)
	m.pending = true
	stored := gateway.StoredResponse{ID: m.object, TenantID: call.Event().TenantID, Provider: call.Event().Provider}
	a.polls.run(m.object, func(life context.Context) {
		m = a.poll(life, stored, m)
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

// poll looks at a response until it has ended.
func (a *API) poll(life context.Context, stored gateway.StoredResponse, m meter) meter {
	deadline := time.Now().Add(lastPoll)
	for pause := firstPoll; ; pause = min(2*pause, slowestPoll) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-life.Done():
			timer.Stop()
			return a.cutShort(stored, m)
		}
		if m = a.look(stored, m, fiber.MethodGet, ""); !m.pending || time.Now().After(deadline) {
			return m
		}
	}
}

// cutShort cancels a response that has not ended, so that it can be counted.
func (a *API) cutShort(stored gateway.StoredResponse, m meter) meter {
	for _, step := range [][2]string{{fiber.MethodGet, ""}, {fiber.MethodPost, "/cancel"}, {fiber.MethodGet, ""}} {
		if m = a.look(stored, m, step[0], step[1]); !m.pending {
			break
		}
	}
	return m
}

func (a *API) look(stored gateway.StoredResponse, m meter, method, below string) meter {
	answer, err := a.gate.SendAbout(context.Background(), stored, &gateway.Message{Method: method, Path: responsePath(stored.ID, below)})
	if err != nil {
		return m
	}
	defer answer.Release()
	switch {
	case answer.Status() == fiber.StatusOK:
		seen := newMeter(m.body)
		seen.whole(answer.Body())
		seen.object = stored.ID
		if seen.reported || len(seen.text) >= len(m.text) {
			return seen
		}
		m.pending, m.failed = seen.pending, seen.failed // what a stream delivered is more than it shows
	case answer.Status() == fiber.StatusNotFound: // deleted meanwhile
		m.pending = false
	}
	return m
}
