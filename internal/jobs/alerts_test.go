package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/jobs"
)

func TestWhatADeletedRuleRaisedIsTold(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Operator, alert.ErrorRate)
	failed := make(chan struct{})
	s.post.answer = func(try int, _ alert.Delivery) (string, error) {
		if try == 1 {
			close(failed)
			return "", errors.New("421 come back")
		}
		return "250 ok", nil
	}
	s.run("a", 300*time.Millisecond)
	s.raise(rule, 500)
	<-failed // it is being delivered
	s.exec(`UPDATE alert_rules SET deleted_at = now() WHERE id = $1`, rule)
	s.eventually(1, inState, "delivered")
	s.raise(rule, 2000) // by who read the rules just before
	s.eventually(2, inState, "delivered")
}

func TestWhatIsSnoozedComesLaterAndTogether(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Operator, alert.ErrorRate)
	s.exec(`INSERT INTO alert_snoozes (rule_id, subject, until, actor) SELECT $1, 'subscription:' || n, '2100-01-01', '' FROM generate_series(1, 3) AS n`, rule)
	for n := range 3 {
		group := s.raise(rule, 500, 2000)
		s.exec(`UPDATE alert_events SET subject = 'subscription:' || $1::int WHERE group_id = $2`, n+1, group)
	}
	s.run("a")
	s.eventually(0, `SELECT count(*) FROM alert_events WHERE dispatched_at IS NULL`)
	if n := s.count(`SELECT count(*) FROM deliveries WHERE kind = 'digest' AND cardinality(event_ids) = 6 AND due_at = '2100-01-01'`); n != 1 || s.post.all() != 0 {
		t.Fatalf("%d messages of six events, %d sent; want 1 and 0", n, s.post.all())
	}
	s.due("deliver")
	s.eventually(1, inState, "delivered")
	if got := s.post.got("dono@filaia.com"); len(got) != 1 || len(got[0].EventIDs) != 6 {
		t.Errorf("got %+v", got)
	}
}

// due makes the time of jobs come.
func (s *stage) due(kind string) {
	s.t.Helper()
	s.exec(`UPDATE deliveries SET due_at = now() WHERE state = 'pending'`)
	s.exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE kind = $1 AND state = 'scheduled'`, kind)
}

func TestWhatNobodyAcknowledgesIsToldToOthersOnce(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Operator, alert.ErrorRate)
	s.exec(`UPDATE alert_rules SET escalate_minutes = 30, escalate_to = '{chefe@filaia.com}' WHERE id = $1`, rule)
	s.run("a")
	first, second := s.raise(rule, 500, 2000), s.raise(rule, 500)
	s.eventually(2, inState, "delivered")
	if n := s.count(`SELECT count(*) FROM river_job WHERE kind = 'escalate' AND state = 'scheduled' AND scheduled_at > now() + interval '29 minutes'`); n != 2 {
		t.Fatalf("%d looks in half an hour, want 2", n)
	}
	s.exec(`UPDATE alert_events SET acknowledged_at = now(), acknowledged_by = 'dono' WHERE group_id = $1`, second)
	s.due("escalate")
	s.eventually(0, `SELECT count(*) FROM river_job WHERE kind = 'escalate' AND finalized_at IS NULL`)
	s.eventually(3, inState, "delivered")
	got := s.post.got("chefe@filaia.com")
	if len(got) != 1 || got[0].Kind != alert.Escalated || got[0].Batch != fmt.Sprintf("escalation:%s:%d", first, rule) || len(got[0].EventIDs) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestEachRuleOfAGroupEscalates(t *testing.T) {
	s := newStage(t)
	first, second := s.rule(alert.Operator, alert.ErrorRate), s.rule(alert.Operator, alert.QueueAge)
	s.exec(`UPDATE alert_rules SET escalate_minutes = 15, escalate_to = '{chefe@filaia.com}' WHERE id IN ($1, $2)`, first, second)
	s.run("a")
	one, other := s.raise(first, 500), s.raise(second, 600)
	s.eventually(2, inState, "delivered")
	s.exec(`UPDATE alert_events SET group_id = $1 WHERE group_id = $2`, one, other)
	s.exec(`UPDATE river_job SET args = jsonb_set(args, '{group}', to_jsonb($1::text)) WHERE kind = 'escalate'`, one.String())
	s.due("escalate")
	s.eventually(4, inState, "delivered")
	if got := s.post.got("chefe@filaia.com"); len(got) != 2 || got[0].Batch == got[1].Batch {
		t.Errorf("got %+v", got)
	}
}

func TestAClockThatGoesBackSendsNothingTwice(t *testing.T) {
	s := newStage(t)
	var back atomic.Int64
	s.clock = func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
	rule := s.rule(alert.Operator, alert.ErrorRate)
	s.run("a")
	s.raise(rule, 500)
	s.eventually(1, inState, "delivered")
	for _, hours := range []int64{26, -26, 1} {
		back.Store(hours * int64(time.Hour))
		s.raise(rule, 500)
		s.eventually(0, `SELECT count(*) FROM deliveries WHERE state = 'pending'`)
		s.eventually(0, `SELECT count(*) FROM alert_events WHERE dispatched_at IS NULL`)
	}
	s.eventually(4, inState, "delivered")
	if n := s.post.all(); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

func TestAChatThatDoesNotAnswerHoldsBackNoEmail(t *testing.T) {
	s := newStage(t)
	rule := s.rule(alert.Customer, alert.InputQuota)
	s.exec(`INSERT INTO alert_channels (tenant_id, kind, name, target, sealed) VALUES ($1, 'slack', 'Sala', 'hooks.slack.com', '')`, s.tenant)
	s.exec(`UPDATE alert_rules SET channel_ids = ARRAY(SELECT id FROM alert_channels) WHERE id = $1`, rule)
	s.post.answer = func(_ int, d alert.Delivery) (string, error) {
		if d.Channel != alert.Email {
			return "", errHang
		}
		return "250 ok", nil
	}
	s.run("a")
	const groups = 40 // more than are sent at a time
	for range groups {
		s.raise(rule, 10_000) // what a customer hears of at once, however much there is
	}
	s.eventually(2*groups, inState, "delivered")
}

// notices keeps what is to be written.
type notices struct {
	mu  sync.Mutex
	all []alert.Notice
}

func (n *notices) Render(_ context.Context, notice alert.Notice) (alert.Text, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice)
	return alert.Text{}, nil
}

func TestANoticeSaysWhomItIsForAndHowToGetNoMore(t *testing.T) {
	s := newStage(t)
	seen := &notices{}
	s.renderer = seen
	s.exec(`UPDATE tenants SET time_zone = 'America/Manaus', language = 'en'`)
	s.run("a")
	s.raise(s.rule(alert.Customer, alert.InputQuota), 5000, 8000)
	s.raise(s.rule(alert.Operator, alert.InputQuota), 5000)
	s.eventually(3, inState, "delivered")
	seen.mu.Lock()
	defer seen.mu.Unlock()
	found := map[string]alert.Notice{}
	for _, n := range seen.all {
		found[n.Recipient] = n
	}
	contact, team := found["contato@padaria.com"], found["dono@filaia.com"]
	if contact.Unsubscribe != "https://filaia.example/unsubscribe/contato@padaria.com/input_quota" || contact.Zone.String() != "America/Manaus" ||
		contact.Language != "en" || len(contact.Days) != 14 || contact.PublicURL != "https://filaia.example" || contact.SentAt.IsZero() {
		t.Errorf("to the customer: %+v", contact)
	}
	if len(contact.Events) != 2 || contact.Events[0].Threshold != 8000 || !contact.Events[0].Lead || contact.Events[1].Lead {
		t.Errorf("events: %+v", contact.Events)
	}
	if team.Unsubscribe != "" || team.Zone != time.UTC || team.Language != "pt-BR" || team.Name != "Dono" {
		t.Errorf("to the team: %+v", team)
	}
}

func TestAttemptsGoOnForTwoDays(t *testing.T) {
	waits := jobs.Retries()
	var all time.Duration
	for i, wait := range waits {
		if i > 0 && wait < waits[i-1] {
			t.Errorf("wait %d is shorter than the one before", i)
		}
		all += wait
	}
	if all < 46*time.Hour || all > 50*time.Hour || waits[0] != 15*time.Second {
		t.Errorf("attempts end after %s", all)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	policy := jobs.RetryPolicy(func() time.Time { return now })
	for attempt := -1; attempt < 40; attempt++ {
		wait := policy.NextRetry(&rivertype.JobRow{Attempt: attempt}).Sub(now)
		if want := waits[min(max(attempt, 1), len(waits))-1]; wait < want*9/10 || wait > want*11/10 {
			t.Errorf("after attempt %d: %s, want about %s", attempt, wait, want)
		}
	}
}

func TestADatabaseThatIsAwayIsSaidOnce(t *testing.T) {
	var out strings.Builder
	log := jobs.Quiet(slog.New(slog.NewTextHandler(&out, nil))).With("queue", "deliver")
	for range 50 {
		log.Error("cannot fetch")
		log.Info("counts")
	}
	log.Warn("another")
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

func TestRunWaitsForADatabaseAndEndsWithItsContext(t *testing.T) {
	s := newStage(t)
	var away atomic.Bool
	away.Store(true)
	s.wrap = func(inner jobs.Store) jobs.Store { return unreachable{inner, &away} }
	_, stop := s.run("a")
	stop() // while it waits
	_, _ = s.run("b")
	away.Store(false)
	s.raise(s.rule(alert.Operator, alert.ErrorRate), 500)
	s.eventually(1, inState, "delivered")
}

type unreachable struct {
	jobs.Store
	away *atomic.Bool
}

func (u unreachable) ReclaimJobs(ctx context.Context, replica string) (int64, error) {
	if u.away.Load() {
		return 0, errors.New("connection refused")
	}
	return u.Store.ReclaimJobs(ctx, replica)
}
