// Package gateway is the policy of one proxied call, in reading order: who calls, may they, does it fit, record it,
// send it, count it, record it again. It knows no wire format; handlers/v1 does.
package gateway

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// Ledger records calls durably: each returns only once the record would survive the death of this process.
type Ledger interface {
	Begin(e *usage.Event) error
	Finish(e *usage.Event) error // of what was begun
	Once(e *usage.Event) error   // of what was not: the first to be refused when there is no room
}

// Upstream speaks HTTP to one provider.
type Upstream interface {
	// Send gives the whole answer.
	Send(ctx context.Context, m *Message) (Answer, error)
	// Stream gives an answer whose body is read as it comes; ending ctx breaks it off.
	Stream(ctx context.Context, m *Message) (StreamAnswer, error)
	// Abort breaks off what is under way and refuses what comes.
	Abort()
	// Close lets idle connections go.
	Close()
}

// Message is one request to a provider.
type Message struct {
	Method      string // POST where empty
	Path        string // below the provider's address, such as /chat/completions
	Query       string // raw, without the question mark; may be empty
	Model       string // the provider's name of the model: Azure finds the deployment by it; may be empty (GET /responses/…)
	ContentType string // application/json where empty
	Accept      string // may be empty
	Body        []byte
}

// Answer is what the provider said. Its bytes are valid until Release.
type Answer interface {
	Status() int
	Header(name string) string
	Body() []byte
	Release()
}

// StreamAnswer is an answer under way. Close must be called; reading it to the end first keeps its connection.
type StreamAnswer interface {
	Status() int
	Header(name string) string
	io.ReadCloser
}

// Gateway admits, sends and settles calls. Its exported fields are set once, before the first call.
type Gateway struct {
	Callers   *Callers
	Models    *Models
	Quota     *quota.Manager
	Rates     *ratelimit.Limiter
	Cache     *cache.Cache // nil: none
	Ledger    Ledger
	Refusals  Refusals      // nil: they are not kept
	Addresses *AddressBook  // from where keys are used; nil: it is not kept
	Throttles *ThrottleBook // how often providers say 429; nil: it is not counted
	Responses Responses
	LookCost  func(tokens int64) money.Micros // of embedding a question; nil: nothing
	Log       *slog.Logger
	Now       func() time.Time
	// AbortDrain is how long the provider is still read after the client has gone, for the sake of its usage figure.
	AbortDrain time.Duration

	inFlight sync.WaitGroup
	late     lateRecords
	recent   recentResponses
	owed     owed
}

// Refusals keeps why calls were refused.
type Refusals interface {
	// Add tells whether it is kept: of too many in a short time, some are not.
	Add(r tenancy.Refusal) bool
	// Find gives one of a tenant's, or fault.NotFound.
	Find(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error)
}

// Wait returns when every call has ended, or ctx has.
func (g *Gateway) Wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { g.inFlight.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lateRecords are ended calls that could not be recorded yet; no more than calls were in flight when the disk failed.
type lateRecords struct {
	mu     sync.Mutex
	events []usage.Event
}

// retryEvery is how often late records are tried again.
const retryEvery = time.Second

// Run records late what could not be recorded when it ended, until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.recordLate()
			return nil
		case <-tick.C:
			g.recordLate()
		}
	}
}

func (g *Gateway) recordLate() {
	g.late.mu.Lock()
	defer g.late.mu.Unlock()
	for len(g.late.events) > 0 {
		e := &g.late.events[0]
		if err := g.Ledger.Finish(e); err != nil {
			return
		}
		g.Log.Info("call recorded late", "id", e.RequestID)
		g.late.events = g.late.events[1:]
	}
}

func (l *lateRecords) add(e usage.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}
