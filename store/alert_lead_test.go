package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// TestWhatGoesOnLeadsWhenTheHighestIsOver: an outage that gets a little better is one all the same.
func TestWhatGoesOnLeadsWhenTheHighestIsOver(t *testing.T) {
	l := openLookout(t)
	p := l.provider("a")
	l.rule(alert.Provider429, `thresholds = '{20,100,200}', window_minutes = 10, escalate_minutes = 30, escalate_roles = '{owner}'`)
	l.db.MustExec(`INSERT INTO users (email, name, role, password_hash) VALUES ('dona@filaia.com', 'Dona', 'owner', '')`)
	said := func(n int64) {
		l.must(l.AddThrottled(l.ctx, []tenancy.Throttled{{ProviderID: p.ID, Minute: l.at.Truncate(time.Minute), Count: n}}))
		l.look(alert.Provider429)
	}
	shown := func(part alert.HistoryPart) []int64 {
		entries, err := l.Alerts(l.ctx, alert.HistoryQuery{Audience: alert.Operator, Part: part, Limit: 10})
		l.must(err)
		var thresholds []int64
		for _, e := range entries {
			thresholds = append(thresholds, e.Threshold)
		}
		return thresholds
	}
	unseenNow := func() int {
		n, err := unseen(l.ctx, l.db, "operator", 0, 0)
		l.must(err)
		return n
	}
	said(250)
	subject := l.details(`audience || ' ' || subject`)
	l.wantRaised(alert.Provider429, subject+" 20=250", subject+" 100=250", subject+" 200=250 lead")

	l.at = l.at.Add(11 * time.Minute)
	said(50)
	l.wantRaised(alert.Provider429, subject+" 20=250 lead", subject+" 100=250 over", subject+" 200=250 over")
	counts, err := l.AlertCounts(l.ctx, alert.HistoryQuery{Audience: alert.Operator})
	l.must(err)
	if open, n := shown(alert.OpenAlerts), unseenNow(); !slices.Equal(open, []int64{20}) || n != 1 || counts.Open != 1 || counts.Resolved != 0 || counts.All != 1 {
		t.Errorf("open in the history: %v, counted %+v, %d unseen; want what goes on", open, counts, n)
	}
	if told := l.escalated(); !slices.Equal(told, []string{"dona@filaia.com"}) {
		t.Errorf("told when nobody has confirmed it: %v", told)
	}

	l.at = l.at.Add(11 * time.Minute)
	said(1)
	l.wantRaised(alert.Provider429, subject+" 20=250 over", subject+" 100=250 over", subject+" 200=250 lead over")
	if open, over, n := shown(alert.OpenAlerts), shown(alert.ResolvedAlerts), unseenNow(); len(open) > 0 || !slices.Equal(over, []int64{200}) || n != 0 {
		t.Errorf("all is over: open %v, resolved %v, %d unseen", open, over, n)
	}
	if told := l.escalated(); len(told) > 0 {
		t.Errorf("told of what is over: %v", told)
	}
}

// escalated is who would be told of the only group that nobody has confirmed.
func (l *lookout) escalated() (told []string) {
	l.t.Helper()
	var group uuid.UUID
	var rule int64
	l.must(l.db.QueryRow(`SELECT DISTINCT group_id, rule_id FROM alert_events`).Scan(&group, &rule))
	_, err := l.EscalateAlerts(context.Background(), group, rule, func(s alert.Situation, id int64) (alert.Planned, time.Time) {
		p, again := alert.Escalate(s, id)
		for _, d := range p.Deliveries {
			told = append(told, d.Recipient)
		}
		return alert.Planned{}, again
	}, nil)
	l.must(err)
	return told
}

func TestOfEachAudienceAndMetricOneLeads(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	group := uuid.New()
	a := s.raise(t, told{group: group, audience: alert.Operator, threshold: 9000})
	b := s.raise(t, told{group: group, audience: alert.Operator, threshold: 8000, lesser: true})
	c := s.raise(t, told{group: group, audience: alert.Operator, threshold: 5000, metric: alert.OutputQuota})
	ctx := context.Background()
	leading := func() (ids []int64) {
		if err := s.db.Select(&ids, `SELECT id FROM alert_events WHERE lead ORDER BY id`); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	resolve := func(ids ...int64) {
		if err := s.inTx(ctx, func(t *tx) error { return t.resolve(ctx, ids) }); err != nil {
			t.Fatal(err)
		}
	}
	resolve(a)
	if got := leading(); !slices.Equal(got, []int64{b, c}) {
		t.Errorf("%v lead once %d is over, want %d and %d", got, a, b, c)
	}
	resolve(b, c)
	if got := leading(); !slices.Equal(got, []int64{a, c}) {
		t.Errorf("%v lead when all is over, want %d and %d", got, a, c)
	}
}
