// Package gateway is the policy of one proxied call, in reading order: who calls, may they, does it fit, record it,
// send it, count it, record it again. It knows no wire format; handlers/v1 does.
package gateway

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/usage"
)

// Ledger records calls durably: both return only once the record would survive the death of this process.
type Ledger interface {
	Begin(e *usage.Event) error
	Finish(e *usage.Event) error
}

// Upstream sends calls to the provider.
type Upstream interface {
	// Send gives the whole answer.
	Send(ctx context.Context, path string, body []byte) (Answer, error)
	// Stream gives an answer whose body is read as it comes; ending ctx breaks it off.
	Stream(ctx context.Context, path string, body []byte) (StreamAnswer, error)
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

// Gateway admits, sends and settles calls. Its fields are set once, before the first call.
type Gateway struct {
	Callers  *Callers
	Models   *Models
	Quota    *quota.Manager
	Rates    *ratelimit.Limiter
	Ledger   Ledger
	Upstream Upstream
	Log      *slog.Logger
	Now      func() time.Time
	// AbortDrain is how long the provider is still read after the client has gone, for the sake of its usage figure.
	AbortDrain time.Duration
}
