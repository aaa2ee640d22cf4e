package main

import (
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/mail/mailtest"
	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// onlyInputQuota leaves the team's rule about input tokens, and makes the one owner that it tells.
func (f *fleet) onlyInputQuota() (owner string) {
	f.t.Helper()
	owner = "dona@empresa.com.br"
	hash, err := tenancy.NewPasswords().Hash(f.ctx, "uma senha bem comprida")
	f.must(err)
	_, err = f.books.CreateUser(f.ctx, tenancy.UserDraft{Email: owner, Name: "Dona Ana", Role: tenancy.Owner}, hash)
	f.must(err)
	_, err = f.books.DB().Exec(`UPDATE alert_rules SET enabled = false WHERE audience <> 'operator' OR metric <> 'input_quota'`)
	f.must(err)
	return owner
}

var percentage = regexp.MustCompile(`[0-9]+`)

// told gives the thresholds that were raised for a tenant, in percent and in their order.
func (f *fleet) told(tenant int64) (percents []int64) {
	f.t.Helper()
	f.must(f.books.DB().QueryRow(`SELECT array_agg(threshold / 100 ORDER BY id) FROM alert_events WHERE tenant_id = $1`, tenant).Scan((*pq.Int64Array)(&percents)))
	return percents
}

// TestFourThresholdsOnThreeReplicasAreFourAlertsAndFourMessages uses a quota of 10,000 calls up to the token, by many callers at once, with a
// replica killed in the middle.
func TestFourThresholdsOnThreeReplicasAreFourAlertsAndFourMessages(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t)
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	f := newFleet(t, 3, p.URL(), "FILAIA_SMTP_URL="+server.URL())
	owner := f.onlyInputQuota()
	in, out := f.cost()
	const calls = 10_000
	tenant, key := f.tenantOn("avisos", blocking(calls*in, 10*calls*out))
	half := f.gather(key, 96, 0, 1, 2)
	within(t, 5*time.Minute, "half of it is used", func() bool { return half.n(served) > calls*55/100 || t.Failed() })
	half.stop()
	// A process that is killed between a mail server's answer and the note of it sends again, under the same id: no outbox can tell.
	// So nothing is on its way when the replica is killed, and the next threshold is far.
	eventually(t, "that is told", func() bool {
		return f.number(`SELECT count(*) FROM deliveries WHERE state = 'delivered'`) == 1 || t.Failed()
	})
	c := f.gather(key, 96, 0, 1, 2)
	c.more(100)
	f.replicas[1].kill()
	c.more(500) // by the others
	f.restart(1)
	c.doneWithin(5 * time.Minute)
	eventually(t, "the last alert is raised", func() bool { return len(f.told(tenant)) >= 4 || t.Failed() })
	server.Await(t, 4, time.Minute)
	for _, s := range f.replicas {
		s.stop() // what else there was to be sent is sent
	}
	if told := f.told(tenant); fmt.Sprint(told) != "[50 80 90 100]" {
		t.Errorf("raised: %v", told)
	}
	messages := server.Messages()
	ids, shares := map[string]bool{}, []int{}
	for _, m := range messages {
		ids[m.MessageID] = true
		if len(m.To) != 1 || m.To[0] != owner {
			t.Errorf("message to %v", m.To)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header("Subject"))
		share, malformed := strconv.Atoi(percentage.FindString(subject))
		if err != nil || malformed != nil {
			t.Errorf("a message is about %q: %v, %v", subject, err, malformed)
		}
		shares = append(shares, share)
	}
	slices.Sort(shares) // two that are sent by two replicas at a time may overtake each other
	for i, share := range shares {
		if edges := []int{50, 80, 90, 100, 101}; share < edges[i%4] || share >= edges[i%4+1] {
			t.Errorf("messages are about %v %%", shares)
		}
	}
	if len(messages) != 4 || len(ids) != 4 {
		t.Errorf("%d messages, %d of them different", len(messages), len(ids))
	}
	f.agree()
	f.printAlerts(tenant)
	t.Logf("%d calls answered, %d broke off, %d were told to try again", half.n(served)+c.n(served), c.n(broken), half.n(tryAgain)+c.n(tryAgain))
}

// printAlerts shows what was raised, and how it was delivered.
func (f *fleet) printAlerts(tenant int64) {
	f.t.Helper()
	rows, err := f.books.DB().Query(`SELECT e.threshold / 100, e.value / 100.0, e.raised_at, d.recipient, a.outcome, a.answer,
			extract(epoch FROM e.dispatched_at - e.raised_at), extract(epoch FROM a.at - e.raised_at),
			extract(epoch FROM a.at + a.took_ms * interval '1 millisecond' - e.raised_at)
		FROM alert_events e JOIN deliveries d ON e.id = ANY (d.event_ids) JOIN delivery_attempts a ON a.delivery_id = d.id
		WHERE e.tenant_id = $1 ORDER BY e.id, a.id`, tenant)
	f.must(err)
	defer rows.Close()
	for rows.Next() {
		var threshold int64
		var value, dispatched, begun, done float64
		var at time.Time
		var recipient, outcome, answer string
		f.must(rows.Scan(&threshold, &value, &at, &recipient, &outcome, &answer, &dispatched, &begun, &done))
		f.t.Logf("%3d %% raised at %s with %.2f %%; dispatched after %.2f s; to %s: begun after %.2f s, %s after %.2f s (%s)",
			threshold, at.Format("15:04:05.000"), value, dispatched, recipient, begun, outcome, done, answer)
	}
	f.must(rows.Err())
}
