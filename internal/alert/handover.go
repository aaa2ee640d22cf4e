package alert

import (
	"context"
	"errors"
	"time"
)

// LongestAnswer is how long a mail server may take to answer once it has all of a message, since it may look into it first. Who
// gives up before it gets the message delivered again by every attempt (RFC 5321, 4.5.3.2.6).
const LongestAnswer = 10 * time.Minute

// ErrUnanswered marks errors of a delivery after which nobody knows whether the other side has taken the message: it had all of it,
// and no answer came. To try again is to send it twice, maybe.
var ErrUnanswered = errors.New("not answered")

// UnansweredPrefix begins what is noted of such an attempt.
const UnansweredPrefix = "no answer to the whole message, which may have arrived: "

// Unanswered marks err so.
func Unanswered(err error) error { return unanswered{err} }

type unanswered struct{ error }

func (u unanswered) Error() string        { return UnansweredPrefix + u.error.Error() }
func (u unanswered) Unwrap() error        { return u.error }
func (u unanswered) Is(target error) bool { return target == ErrUnanswered }

// UnansweredWait is how long to wait after so many attempts that were not answered, the newest among them, and whether to try again
// at all: far less often than what is known not to have arrived.
func UnansweredWait(times int) (wait time.Duration, again bool) {
	waits := []time.Duration{15 * time.Minute, 2 * time.Hour, 8 * time.Hour, 24 * time.Hour}
	if times > len(waits) {
		return 0, false
	}
	return waits[max(times, 1)-1], true
}

type handOver struct{}

// WithHandOver has hold called by who sends in ctx, before the other side is given the end of a message, with how long its answer may
// take.
func WithHandOver(ctx context.Context, hold func(ctx context.Context, answer time.Duration) error) context.Context {
	return context.WithValue(ctx, handOver{}, hold)
}

// HandOver tells who has had a message sent in ctx that the other side is about to have all of it. On an error it must not be given the end.
func HandOver(ctx context.Context, answer time.Duration) error {
	if hold, ok := ctx.Value(handOver{}).(func(context.Context, time.Duration) error); ok {
		return hold(ctx, answer)
	}
	return nil
}
