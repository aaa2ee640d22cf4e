package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAJumpOverThresholdsTellsEverybodyOnce(t *testing.T) {
	s := newStage(t)
	s.run("a")
	group := s.raise(s.rule(alert.Customer, alert.InputQuota), 5000, 8000, 9000, 10000)
	s.eventually(2, inState, "delivered")
	for _, reader := range []string{"ana@padaria.com", "contato@padaria.com"} {
		got := s.post.got(reader)
		if len(got) != 1 || len(got[0].EventIDs) != 4 || got[0].Batch != "group:"+group.String() {
			t.Errorf("%s got %+v, want one message of four events", reader, got)
		}
	}
	if n := s.count(`SELECT count(*) FROM delivery_attempts WHERE outcome = 'delivered' AND answer = '250 ok' AND replica = 'a'`); n != 2 {
		t.Errorf("%d attempts written down, want 2", n)
	}
	if n := s.count(`SELECT count(*) FROM alert_events WHERE dispatched_at IS NULL`); n != 0 {
		t.Errorf("%d events are not dispatched", n)
	}
}

func TestGreylistingIsTriedAgainWithTheSameMessageID(t *testing.T) {
	s := newStage(t)
	s.post.answer = func(try int, _ alert.Delivery) (string, error) {
		if try <= 2 {
			return "", errors.New("450 4.2.0 greylisted,\r\n see https://user:secret@mail.example/help?token=abc")
		}
		return "250 queued", nil
	}
	s.run("a", 10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "delivered")
	if n := s.count(`SELECT count(*) FROM delivery_attempts WHERE outcome = 'retry' AND answer = '450 4.2.0 greylisted, see https://mail.example'`); n != 2 {
		t.Errorf("%d attempts to be tried again were written down in one line without secrets, want 2", n)
	}
	var attempts int
	s.get(&attempts, `SELECT attempts FROM deliveries`)
	if got := s.post.got("dono@filaia.com"); len(got) != 1 || attempts != 3 {
		t.Errorf("%d messages after %d attempts, want 1 after 3", len(got), attempts)
	}
}

func TestWhatIsRefusedForGoodIsDeadUntilItIsSentAgain(t *testing.T) {
	s := newStage(t)
	var mended atomic.Bool
	s.post.answer = func(int, alert.Delivery) (string, error) {
		if !mended.Load() {
			return "550 5.1.1 no such user", alert.Refused(errors.New("550"))
		}
		return "250 ok", nil
	}
	r, _ := s.run("a", 10*time.Millisecond)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "dead")
	s.eventually(0, `SELECT count(*) FROM river_job WHERE finalized_at IS NULL`)
	if n := s.count(`SELECT count(*) FROM delivery_attempts WHERE outcome = 'refused' AND answer LIKE '550 5.1.1%'`); n != 1 {
		t.Fatalf("%d refusals written down, want 1", n)
	}
	before := s.messageIDs()
	mended.Store(true)
	var id int64
	s.get(&id, `SELECT id FROM deliveries`)
	ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Label: "dono@filaia.com"})
	if err := s.ResendDelivery(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := s.ResendDelivery(ctx, id); err == nil {
		t.Error("a message that is pending was sent again")
	}
	r.Wake()
	s.eventually(1, inState, "delivered")
	if after := s.messageIDs(); after != before {
		t.Errorf("message id %s, want %s", after, before)
	}
	if n := s.count(`SELECT count(*) FROM audit_log WHERE action = 'alert.resend' AND actor = 'dono@filaia.com'`); n != 1 {
		t.Errorf("%d notes of who sent again, want 1", n)
	}
}

func (s *stage) messageIDs() (ids string) {
	s.t.Helper()
	s.get(&ids, `SELECT string_agg(message_id::text, ' ' ORDER BY id) FROM deliveries`)
	return ids
}

func TestWhatFailsForTooLongIsDead(t *testing.T) {
	s := newStage(t)
	s.post.answer = func(int, alert.Delivery) (string, error) { return "", errors.New("connection refused") }
	s.run("a", time.Millisecond, time.Millisecond)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "dead")
	if n := s.count(`SELECT count(*) FROM delivery_attempts WHERE outcome = 'retry'`); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

func TestASenderThatPanicsIsAnAttemptLikeAnother(t *testing.T) {
	s := newStage(t)
	s.post.answer = func(try int, _ alert.Delivery) (string, error) {
		if try == 1 {
			panic("nil map")
		}
		return "250 ok", nil
	}
	s.run("a", 10*time.Millisecond)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "delivered")
	var answers string
	s.get(&answers, `SELECT string_agg(outcome || ': ' || answer, ', ' ORDER BY id) FROM delivery_attempts`)
	if !strings.HasPrefix(answers, "retry: panic: nil map, delivered: ") {
		t.Errorf("attempts: %s", answers)
	}
}

// slowDown is an answer that asks to wait.
type slowDown time.Duration

func (s slowDown) Error() string             { return "HTTP 429" }
func (s slowDown) RetryAfter() time.Duration { return time.Duration(s) }

func TestWhoAsksToWaitIsNotAskedBefore(t *testing.T) {
	for name, c := range map[string]struct{ asked, own, want time.Duration }{
		"longer than our own wait": {time.Hour, 10 * time.Millisecond, time.Hour},
		"for ever":                 {1000 * time.Hour, 10 * time.Millisecond, 4 * time.Hour},
		"shorter than our own":     {time.Second, 2 * time.Hour, 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.post.answer = func(int, alert.Delivery) (string, error) { return "HTTP 429", slowDown(c.asked) }
			s.run("a", c.own)
			s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
			s.eventually(1, `SELECT count(*) FROM river_job WHERE state IN ('retryable', 'scheduled') AND attempt = 1`)
			var wait float64
			s.get(&wait, `SELECT extract(epoch FROM scheduled_at - attempted_at) FROM river_job`)
			if got := time.Duration(wait * float64(time.Second)); got < c.want*8/10 || got > c.want*12/10 {
				t.Errorf("tried again after %s, want about %s", got, c.want)
			}
		})
	}
}

func TestNobodysAddressIsInTheLogOrTheQueue(t *testing.T) {
	s := newStage(t)
	var out safeText
	s.log = slog.New(slog.NewTextHandler(&out, nil))
	s.post.answer = func(try int, d alert.Delivery) (string, error) {
		words := "<" + d.Recipient + "> no such user"
		if try == 1 {
			return "450 4.1.1 " + words, errors.New("recipient: 450 " + words)
		}
		return "550 5.1.1 " + words, alert.Refused(errors.New("recipient: 550 " + words))
	}
	s.run("a", 10*time.Millisecond)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "dead")
	s.eventually(1, `SELECT count(*) FROM river_job WHERE state = 'cancelled'`)
	if n := s.count(`SELECT count(*) FROM delivery_attempts WHERE answer LIKE '%dono@filaia.com%'`); n != 2 {
		t.Errorf("%d answers were kept, want 2", n)
	}
	if n := s.count(`SELECT count(*) FROM river_job WHERE array_to_string(errors, ' ') LIKE '%not delivered%' AND river_job::text NOT LIKE '%filaia.com%'`); n != 1 {
		t.Errorf("%d jobs say that they failed and not to whom, want 1", n)
	}
	if log := out.String(); strings.Contains(log, "@") || !strings.Contains(log, "given up") {
		t.Errorf("the log says:\n%s", log)
	}
}

// safeText may be written to while it is read.
type safeText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *safeText) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
