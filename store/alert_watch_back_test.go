package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
)

// toldOthers is how many would be told of the only alert of a metric now.
func (l *lookout) toldOthers(metric alert.Metric) (messages int, again time.Time) {
	l.t.Helper()
	var group uuid.UUID
	var rule int64
	l.must(l.db.QueryRow(`SELECT group_id, rule_id FROM alert_events WHERE metric = $1`, metric).Scan(&group, &rule))
	again, err := l.EscalateAlerts(l.ctx, group, rule, func(s alert.Situation, rule int64) (alert.Planned, time.Time) {
		p, again := alert.Escalate(s, rule)
		messages = len(p.Deliveries)
		return alert.Planned{}, again
	}, nil)
	l.must(err)
	return messages, again
}

// A replica that was not heard of for a minute, and a rule that is switched off and on: what went on meanwhile is not told again,
// is not shown as over, and is told to others when nobody takes care.
func TestWhatIsBackWithinTheRulesTimeGoesOn(t *testing.T) {
	for name, dip := range map[string][2]string{
		"the replica was not heard of": {`UPDATE replicas SET seen_at = now() - interval '5 minutes'`, `UPDATE replicas SET seen_at = now()`},
		"the rule was switched off":    {`UPDATE alert_rules SET enabled = false WHERE metric = 'breaker_open'`, `UPDATE alert_rules SET enabled = true WHERE metric = 'breaker_open'`},
	} {
		t.Run(name, func(t *testing.T) {
			l := openLookout(t)
			p := l.provider("a")
			subject := fmt.Sprintf("operator provider:%d/llama ", p.ID)
			l.replica("r1")
			l.rule(alert.BreakerOpen, `thresholds = '{60}', escalate_minutes = 15, escalate_to = '{chefe@filaia.com}'`)
			l.breaker("r1", p, "closed", "open", 2*time.Minute)
			l.look(alert.BreakerOpen)
			l.wantRaised(alert.BreakerOpen, subject+"60=120 lead")
			l.db.MustExec(dip[0])
			l.look(alert.BreakerOpen)
			l.wantRaised(alert.BreakerOpen, subject+"60=120 lead over")
			if n, again := l.toldOthers(alert.BreakerOpen); n != 0 || !again.After(l.at) {
				t.Errorf("%d told while it was over, looked again at %s", n, again)
			}
			l.db.MustExec(dip[1])
			for range 30 {
				l.at = l.at.Add(5 * time.Minute)
				l.db.MustExec(`UPDATE replicas SET seen_at = now()`)
				l.look(alert.BreakerOpen)
				l.wantRaised(alert.BreakerOpen, subject+"60=120 lead")
			}
			if n, _ := l.toldOthers(alert.BreakerOpen); n != 1 {
				t.Errorf("%d told that nobody takes care, want 1", n)
			}
		})
	}
}

// What is back is the newest alert of its threshold, and what leads of its group follows.
func TestWhatIsBackLeadsAgain(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.rule(alert.ErrorRate, `rearm_minutes = 20, window_minutes = 1`)
	const low, high = "operator installation 500=3000", "operator installation 2000=3000"
	step := func(failures int, want ...string) {
		t.Helper()
		l.at = l.at.Add(11 * time.Minute)
		l.minute(tenant, 0, 100, failures)
		l.look(alert.ErrorRate)
		l.wantRaised(alert.ErrorRate, want...)
	}
	step(30, low, high+" lead")
	step(10, low+" lead", high+" over")
	step(30, low, high+" lead")
	step(0, low+" over", high+" lead over")
	step(10, low+" lead", high+" over")
	step(0, low+" over", high+" lead over")
	step(0, low+" over", high+" lead over")
	step(10, low+" over", high+" lead over", "operator installation 500=1000 lead") // gone for 22 minutes
	step(30, low+" over", high+" lead over", "operator installation 500=1000 lead", high+" lead")
	step(0, low+" over", high+" lead over", "operator installation 500=1000 lead over", high+" lead over")
	step(30, low+" over", high+" lead over", "operator installation 500=1000 lead", high+" lead")
}
