package mail

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
)

// RFC 5321, 4.5.3.2.6: who gives up before gets the message delivered by every attempt.
func TestTheAnswerToAWholeMessageIsWaitedForLongAfterTheTimeForEverythingElse(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	if s.times.answer < 10*time.Minute || s.times.whole > time.Minute {
		t.Errorf("it waits for %s, and for %s for everything before", s.times.answer, s.times.whole)
	}
	over := make(chan context.CancelFunc, 1)
	s.limit = func(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		over <- cancel
		return ctx, cancel
	}
	hasAll, answer := make(chan struct{}), make(chan struct{})
	s.server.SetScript(func(stage mailtest.Stage, _ mailtest.Message) error {
		if stage == mailtest.Data {
			close(hasAll)
			<-answer
		}
		return nil
	})
	var held time.Duration
	ctx := alert.WithHandOver(s.ctx, func(_ context.Context, answer time.Duration) error {
		select {
		case <-hasAll:
			t.Error("the server has all of it before anybody knows")
		default:
			held = answer
		}
		return nil
	})
	sent := make(chan error, 1)
	go func() {
		_, err := s.Send(ctx, delivery(), alert.Notice{}, said())
		sent <- err
	}()
	<-hasAll
	(<-over)() // the time for everything else has passed
	select {
	case err := <-sent:
		t.Fatalf("the server has all of it and was not waited for: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(answer)
	if err := <-sent; err != nil || held != s.times.answer {
		t.Errorf("%v; held for %s", err, held)
	}
}

func TestAMessageThatAnotherHasByNowIsNotEnded(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	lost := errors.New("somebody else has it")
	ctx := alert.WithHandOver(s.ctx, func(context.Context, time.Duration) error { return lost })
	if _, err := s.Send(ctx, delivery(), alert.Notice{}, said()); !errors.Is(err, lost) || errors.Is(err, alert.ErrUnanswered) {
		t.Error(err)
	}
	if _, err := s.send(delivery()); err != nil { // by when the server has read what there was
		t.Fatal(err)
	}
	if n := len(s.server.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}
