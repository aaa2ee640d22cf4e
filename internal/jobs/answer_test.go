package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// thorough looks into a message before it answers.
type thorough struct {
	*post
	look func(ctx context.Context) error
}

func (p thorough) Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (string, error) {
	if err := alert.HandOver(ctx, alert.LongestAnswer); err != nil {
		return "", err
	}
	if err := p.look(ctx); err != nil {
		return "", err
	}
	return p.post.Send(ctx, d, n, t)
}

func TestAMessageIsHeldAsLongAsItsAnswerMayTake(t *testing.T) {
	s := newStage(t)
	looked := make(chan struct{})
	s.mail = thorough{s.post, func(ctx context.Context) error {
		select {
		case <-looked: // the next
			return nil
		default:
			defer close(looked)
		}
		if end, bound := ctx.Deadline(); !bound || time.Until(end) < alert.LongestAnswer-time.Minute {
			t.Errorf("the sender must end by %s", end)
		}
		if n := s.count(`SELECT count(*) FROM deliveries WHERE sending_until > now() + interval '9 minutes'`); n != 1 {
			t.Error("another may send it meanwhile")
		}
		// Another took it all the same: this one was stopped for long.
		s.exec(`UPDATE deliveries SET sending_by = 'b'`)
		if err := alert.HandOver(ctx, alert.LongestAnswer); err == nil {
			t.Error("what another has is held")
		}
		s.exec(`UPDATE deliveries SET sending_by = 'a'`)
		return nil
	}}
	s.run("a")
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "delivered")
	<-looked
}

func TestWhatMayHaveArrivedIsTriedAgainSeldom(t *testing.T) {
	s := newStage(t)
	s.post.answer = func(int, alert.Delivery) (string, error) { return "", alert.Unanswered(errors.New("message: EOF")) }
	s.run("a", make([]time.Duration, 18)...)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	for n, wait := range []time.Duration{15 * time.Minute, 2 * time.Hour, 8 * time.Hour, 24 * time.Hour} {
		s.eventually(1, `SELECT count(*) FROM river_job WHERE state IN ('retryable', 'scheduled') AND attempt = $1`, n+1)
		s.eventually(1, `SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = $1 AND due_at - now() BETWEEN $2 * interval '1 second' - interval '2 minutes' AND $2 * interval '1 second'`, n+1, int(wait.Seconds()))
		s.eventually(1, `SELECT count(*) FROM river_job WHERE scheduled_at - attempted_at BETWEEN $1 * interval '1 second' - interval '2 minutes' AND $1 * interval '1 second' + interval '2 minutes'`, int(wait.Seconds()))
		s.exec(`UPDATE deliveries SET due_at = now()`)
		s.exec(`UPDATE river_job SET state = 'available', scheduled_at = now()`)
	}
	s.eventually(1, inState, "dead")
	if n := s.count(`SELECT count(*) FROM delivery_attempts WHERE starts_with(answer, $1)`, alert.UnansweredPrefix); n != 5 {
		t.Errorf("it may have arrived %d times", n)
	}
}

func TestAJobWhoseSenderIsGoneIsDoneWhenNobodyHoldsItsMessage(t *testing.T) {
	s := newStage(t)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.dispatched()
	s.killed("gone")
	s.exec(`UPDATE river_job SET attempted_at = now() - interval '2 minutes' WHERE kind = 'deliver'`)
	var held, let int64
	s.get(&held, `SELECT min(id) FROM deliveries`)
	s.get(&let, `SELECT max(id) FROM deliveries`)
	s.exec(`UPDATE deliveries SET sending_until = now() + interval '8 minutes' WHERE id = $1`, held) // it waits for an answer
	s.exec(`UPDATE deliveries SET sending_until = now() - interval '11 seconds' WHERE id = $1`, let)
	s.run("b")
	s.eventually(1, `SELECT count(*) FROM deliveries WHERE state = 'delivered' AND id = $1`, let)
	if n := s.count(`SELECT count(*) FROM river_job j JOIN deliveries d ON d.job_id = j.id WHERE d.id = $1 AND j.state = 'running' AND d.state = 'pending'`, held); n != 1 {
		t.Error("the other was not left alone")
	}
}
