package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/jobs"
)

// killed makes the database look as a replica leaves it that was killed in the middle of sending.
func (s *stage) killed(replica string) {
	s.t.Helper()
	s.exec(`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = ARRAY['before', $1::text] WHERE kind = 'deliver'`, replica)
	s.exec(`UPDATE deliveries SET begun_at = now(), sending_by = $1, sending_until = now() + interval '1 minute'`, replica)
}

// dispatched plans what waits without anybody who sends.
func (s *stage) dispatched() {
	s.t.Helper()
	if err := s.dispatch(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) dispatch() error {
	r, err := jobs.NewQuick(jobs.Options{DB: s.Jobs(), Log: silent, Replica: "planner", Now: s.clock}, time.Hour)
	for n := 1; err == nil && n > 0; {
		n, err = s.DispatchAlerts(context.Background(), alert.Decide, r.Enqueue)
	}
	return err
}

func TestAMessageWhoseSenderWasKilledIsSentOnceWhenItIsBack(t *testing.T) {
	s := newStage(t)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.dispatched()
	s.killed("a")
	before := s.messageIDs()
	s.run("a")
	s.eventually(1, inState, "delivered")
	if got := s.post.got("dono@filaia.com"); len(got) != 1 || got[0].MessageID.String() != before {
		t.Errorf("got %+v, want the message %s once", got, before)
	}
	var attempt int
	s.get(&attempt, `SELECT attempt FROM river_job`)
	if attempt != 1 {
		t.Errorf("River counts %d attempts: the one that was cut off counts", attempt)
	}
}

func TestAnotherReplicaLeavesAMessageAloneWhileItIsBeingSent(t *testing.T) {
	s := newStage(t)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.dispatched()
	// Its job was taken for stuck, by a clock that is ahead, and runs a second time.
	s.exec(`UPDATE deliveries SET begun_at = now(), sending_by = 'a', sending_until = now() + interval '1 minute'`)
	s.run("b")
	s.eventually(1, `SELECT count(*) FROM river_job WHERE (metadata->>'snoozes')::int >= 1`)
	if n := s.post.all(); n != 0 {
		t.Fatalf("%d messages were sent twice", n)
	}
	s.exec(`UPDATE deliveries SET sending_until = now() - interval '1 second'`) // a never comes back
	s.exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE state IN ('scheduled', 'available')`)
	s.eventually(1, inState, "delivered")
}

func TestAMessageUnderWayAtTheEndIsSentByTheNext(t *testing.T) {
	s := newStage(t)
	sending := make(chan struct{})
	s.post.answer = func(try int, _ alert.Delivery) (string, error) {
		if try == 1 {
			close(sending)
			return "", errHang
		}
		return "250 ok", nil
	}
	_, stop := s.run("a")
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	<-sending
	stop()
	if n := s.count(`SELECT count(*) FROM delivery_attempts`); n != 0 {
		t.Errorf("%d attempts written down of a message that was not tried to its end", n)
	}
	if n := s.count(`SELECT count(*) FROM deliveries WHERE sending_until > now()`); n != 0 {
		t.Error("who has gone still has it")
	}
	s.run("b")
	s.eventually(1, inState, "delivered")
}

func TestTwoReplicasTellOfAGroupOnce(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Customer, alert.InputQuota)
	s.run("a")
	s.run("b")
	s.run("c")
	const groups = 60
	for range groups {
		s.raise(rule, 9000, 10_000)
	}
	s.eventually(2*groups, inState, "delivered")
	if n := s.post.all(); n != 2*groups {
		t.Errorf("%d messages were sent, want %d", n, 2*groups)
	}
	if n := s.count(`SELECT count(*) FROM delivery_attempts`); n != 2*groups {
		t.Errorf("%d attempts, want %d", n, 2*groups)
	}
}

func TestPlannersAtOnceNeverShareAGroup(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Customer, alert.InputQuota)
	const groups = 120
	for range groups {
		s.raise(rule, 8000, 9000, 10_000)
	}
	ended := make(chan error, 4)
	for range 4 {
		go func() { ended <- s.dispatch() }()
	}
	for range 4 {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	s.dispatched() // what another held while it was looked at
	if n := s.count(`SELECT count(*) FROM deliveries WHERE cardinality(event_ids) = 3`); n != 2*groups {
		t.Errorf("%d whole messages, want %d", n, 2*groups)
	}
	if all, made := s.count(`SELECT count(*) FROM deliveries`), s.count(`SELECT count(*) FROM river_job`); all != 2*groups || made != all {
		t.Errorf("%d messages and %d jobs, want %d of each", all, made, 2*groups)
	}
}

func TestNothingIsPlannedWhenItsJobsCannotBeMade(t *testing.T) {
	s := newStage(t)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	broken := func(context.Context, *sql.Tx, []alert.Work) ([]int64, error) { return nil, errors.New("no queue") }
	if _, err := s.DispatchAlerts(context.Background(), alert.Decide, broken); err == nil {
		t.Fatal("no error")
	}
	if made, waiting := s.count(`SELECT count(*) FROM deliveries`), s.count(`SELECT count(*) FROM alert_events WHERE dispatched_at IS NULL`); made != 0 || waiting != 1 {
		t.Errorf("%d messages without jobs, %d events that wait; want 0 and 1", made, waiting)
	}
}

func TestADatabaseThatIsAwayAfterSendingMakesNoSecondMessage(t *testing.T) {
	s := newStage(t)
	var away atomic.Bool
	s.post.answer = func(int, alert.Delivery) (string, error) {
		away.Store(true)
		time.AfterFunc(300*time.Millisecond, func() { away.Store(false) })
		return "250 ok", nil
	}
	s.wrap = func(inner jobs.Store) jobs.Store { return forgetful{inner, &away} }
	s.run("a", 10*time.Millisecond)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "delivered")
	if n := s.post.all(); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestWhatWasDeliveredIsWrittenDownWhenTheDatabaseIsBack(t *testing.T) {
	s := newStage(t)
	var away atomic.Bool
	s.post.answer = func(int, alert.Delivery) (string, error) {
		away.Store(true)
		return "250 ok", nil
	}
	s.wrap = func(inner jobs.Store) jobs.Store { return forgetful{inner, &away} }
	s.tune = func(r *jobs.Runner) { r.RecordFor(time.Millisecond) }
	_, stop := s.run("a", time.Hour)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, `SELECT count(*) FROM river_job WHERE state IN ('retryable', 'scheduled') AND attempt = 1`) // its job is not tried for an hour
	away.Store(false)
	s.eventually(1, inState, "delivered")
	stop()
	if n := s.post.all(); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// forgetful cannot write while it is away.
type forgetful struct {
	jobs.Store
	away *atomic.Bool
}

func (f forgetful) RecordAttempt(ctx context.Context, id int64, a alert.Attempt, state alert.DeliveryState) error {
	if f.away.Load() {
		return errors.New("connection refused")
	}
	return f.Store.RecordAttempt(ctx, id, a, state)
}

func TestAReplicaSendsAMessageOnceAtATimeThoughItsJobRunsTwice(t *testing.T) {
	s := newStage(t)
	sending, end := make(chan struct{}), make(chan struct{})
	s.post.answer = func(try int, _ alert.Delivery) (string, error) {
		if try > 1 {
			t.Error("it is sent twice at a time")
			return "250 ok", nil
		}
		close(sending)
		<-end
		return "250 ok", nil
	}
	s.run("a")
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	<-sending
	s.exec(`UPDATE deliveries SET sending_until = now() - interval '1 second'`)
	s.exec(`UPDATE river_job SET state = 'available', scheduled_at = now()`)
	s.eventually(1, `SELECT count(*) FROM river_job WHERE (metadata->>'snoozes')::int >= 1`)
	close(end)
	s.eventually(1, inState, "delivered")
}
