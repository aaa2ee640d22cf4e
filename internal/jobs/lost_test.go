package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/jobs"
)

// lose is what may become of a job while its message waits, by whoever and whatever.
var lose = map[string]string{
	"deleted":   `DELETE FROM river_job`,
	"discarded": `UPDATE river_job SET state = 'discarded', attempt = max_attempts, finalized_at = now()`,
	"cancelled": `UPDATE river_job SET state = 'cancelled', finalized_at = now()`,
	"completed": `UPDATE river_job SET state = 'completed', finalized_at = now()`,
	// As a restore may leave it: the number is another's.
	"another's":                   `UPDATE river_job SET args = '{"delivery": 987654321}', state = 'scheduled', scheduled_at = now() + interval '1 day'`,
	"of a kind that is not known": `UPDATE river_job SET kind = 'deliver_v9', state = 'discarded', finalized_at = now()`,
}

func TestAMessageWhoseJobIsGoneIsFoundAgain(t *testing.T) {
	for name, change := range lose {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			rule := s.rule(alert.Operator, alert.ErrorRate)
			s.exec(`INSERT INTO alert_snoozes (rule_id, subject, until, actor) SELECT $1, 'provider:' || n, '2100-01-01', '' FROM generate_series(1, 2) AS n`, rule)
			s.exec(`UPDATE alert_events SET subject = 'provider:1' WHERE group_id = $1`, s.raise(rule, 500))
			s.dispatched()
			s.exec(change)
			s.run("a")
			// Before it is due, and then while everything runs.
			s.eventually(1, `SELECT count(*) FROM deliveries d JOIN river_job j ON j.id = d.job_id AND j.state = 'scheduled' AND j.args->>'delivery' = d.id::text AND j.scheduled_at = '2100-01-01'`)
			s.exec(`UPDATE deliveries SET due_at = now()`)
			s.exec(change)
			s.eventually(1, inState, "delivered")
			if n := s.post.all(); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func TestMessagesWhoseJobsAreGoneAreAllFoundAtOnce(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Customer, alert.InputQuota)
	const groups, messages = 350, 700 // more than one look takes
	s.exec(`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at)
		SELECT gen_random_uuid(), true, id, audience, metric, unit, 'subscription:' || n, $3, '2026-11-01', 10000, 10000, now()
		FROM alert_rules, generate_series(1, $1::int) AS n WHERE id = $2`, groups, rule, s.tenant)
	s.dispatched()
	s.exec(`DELETE FROM river_job`)
	made := 0
	r, err := jobs.NewQuick(jobs.Options{DB: s.Jobs(), Store: s.Store, Log: silent, Replica: "planner", Now: s.clock}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Round(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	if s.get(&made, `SELECT count(*) FROM river_job`); made != messages {
		t.Errorf("%d jobs, want %d", made, messages)
	}
}

func TestAQueueThatWasPausedGoesOn(t *testing.T) {
	s := newStage(t)
	_, stop := s.run("a")
	s.eventually(2, `SELECT count(*) FROM river_queue`)
	stop()
	s.exec(`UPDATE river_queue SET paused_at = now()`)
	s.run("a")
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "delivered")
}

func TestAJobThatAClockPutOffForDaysIsDone(t *testing.T) {
	s := newStage(t)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.dispatched()
	s.exec(`UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '3 days'`)
	s.exec(`UPDATE deliveries SET due_at = now() - interval '2 hours'`)
	s.run("a")
	s.eventually(1, inState, "delivered")
}

func TestAMessageThatCannotBeReadLosesNoAttempt(t *testing.T) {
	s := newStage(t)
	blind := &unreadable{failing: 3}
	s.wrap = func(inner jobs.Store) jobs.Store { blind.Store = inner; return blind }
	s.run("a")
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.snoozed("deliver", 3)
	s.eventually(1, inState, "delivered")
	s.eventually(1, `SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 1`)
}

// snoozed makes the time of the only job of a kind come whenever it was put off, so many times.
func (s *stage) snoozed(kind string, times int) {
	s.t.Helper()
	for n := range times {
		s.eventually(1, `SELECT count(*) FROM river_job WHERE kind = $1 AND (metadata->>'snoozes')::int = $2 AND state IN ('scheduled', 'available') AND attempt = 0`, kind, n+1)
		s.exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE kind = $1`, kind)
	}
}

// unreadable can't begin a message for some times. One job runs at a time.
type unreadable struct {
	jobs.Store
	failing int
}

func (u *unreadable) BeginDelivery(ctx context.Context, id int64, replica string, lease time.Duration) (alert.Begun, alert.DeliveryState, time.Duration, error) {
	if u.failing--; u.failing >= 0 {
		return alert.Begun{}, "", 0, errors.New("connection refused")
	}
	return u.Store.BeginDelivery(ctx, id, replica, lease)
}

func TestOthersAreToldThoughTheJobThatLooksIsGone(t *testing.T) {
	for name, change := range lose {
		if name == "completed" || name == "another's" || name == "of a kind that is not known" {
			continue // it was looked, or there is nothing like it
		}
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			rule := s.rule(alert.Operator, alert.ErrorRate)
			s.exec(`UPDATE alert_rules SET escalate_minutes = 30, escalate_to = '{chefe@filaia.com}' WHERE id = $1`, rule)
			first, other := s.raise(rule, 500, 2000), s.raise(rule, 500)
			s.dispatched()
			s.exec(change)
			s.run("a")
			s.eventually(2, inState, "delivered")
			s.exec(`UPDATE alert_events SET dispatched_at = now() - interval '36 minutes' WHERE group_id = $1`, first)
			s.exec(`UPDATE alert_events SET dispatched_at = now() - interval '29 minutes' WHERE group_id = $1`, other) // not yet
			s.eventually(3, inState, "delivered")
			s.eventually(0, `SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded')`)
			got := s.post.got("chefe@filaia.com")
			if len(got) != 1 || got[0].Kind != alert.Escalated || len(got[0].EventIDs) != 2 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOthersAreToldWheneverTheDatabaseIsBack(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Operator, alert.ErrorRate)
	s.exec(`UPDATE alert_rules SET escalate_minutes = 30, escalate_to = '{chefe@filaia.com}' WHERE id = $1`, rule)
	blind := &unescalating{failing: 25} // more often than a message is tried
	s.wrap = func(inner jobs.Store) jobs.Store { blind.Store = inner; return blind }
	s.run("a", time.Millisecond)
	s.raise(rule, 500)
	s.eventually(1, inState, "delivered")
	s.due("escalate")
	s.snoozed("escalate", 25)
	s.eventually(2, inState, "delivered")
}

type unescalating struct {
	jobs.Store
	failing int
}

func (u *unescalating) EscalateAlerts(ctx context.Context, group uuid.UUID, ruleID int64, plan func(alert.Situation, int64) (alert.Planned, time.Time), enqueue jobs.Enqueue) (time.Time, error) {
	if u.failing--; u.failing >= 0 {
		return time.Time{}, sql.ErrConnDone
	}
	return u.Store.EscalateAlerts(ctx, group, ruleID, plan, enqueue)
}
