package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
)

func TestWebhookIsVerifiedByTheStandardLibraryWithEitherSecretWhileBothHold(t *testing.T) {
	old, fresh := alert.NewSigningSecret([32]byte{1}), alert.NewSigningSecret([32]byte{2})
	ancient := alert.NewSigningSecret([32]byte{3})
	a := alert.Access{Secrets: []alert.SigningSecret{{Secret: ancient}}}.Rotate(old, time.Now().Add(-48*time.Hour), 24*time.Hour)
	for name, c := range map[string]struct {
		secrets  []alert.SigningSecret
		accepted []string
		refused  []string
	}{
		"one":                    {alert.Access{}.Rotate(old, time.Now(), 0).Secrets, []string{old}, []string{fresh}},
		"while it is rotated":    {a.Rotate(fresh, time.Now(), 24*time.Hour).Secrets, []string{old, fresh}, []string{ancient}},
		"when the old one ended": {a.Rotate(fresh, time.Now().Add(-25*time.Hour), 24*time.Hour).Secrets, []string{fresh}, []string{old, ancient}},
	} {
		t.Run(name, func(t *testing.T) {
			got, address := receiver(t, nil)
			s := open(door(alert.Webhook, alert.Access{URL: address + "/hook", Secrets: c.secrets}))
			for range 2 {
				answer, err := s.Send(context.Background(), delivery(alert.Webhook), notice(), text())
				must(t, err)
				if answer != "HTTP 200" {
					t.Errorf("answer %q", answer)
				}
			}
			for i, body := range got.body {
				if id := got.head[i].Get("webhook-id"); id != "0193a5b0-0000-7000-8000-000000000001" {
					t.Errorf("attempt %d has id %q", i, id)
				}
				for secret, want := range verdicts(c.accepted, c.refused) {
					w, err := standardwebhooks.NewWebhook(secret)
					must(t, err)
					if err := w.Verify(body, got.head[i]); (err == nil) != want {
						t.Errorf("attempt %d, secret %.12s…: %v", i, secret, err)
					}
					if err := w.Verify(append(body, ' '), got.head[i]); err == nil {
						t.Error("a changed body is verified")
					}
				}
			}
		})
	}
}

func verdicts(accepted, refused []string) map[string]bool {
	all := map[string]bool{}
	for _, s := range accepted {
		all[s] = true
	}
	for _, s := range refused {
		all[s] = false
	}
	return all
}

func TestWebhookSaysWhatHappenedInUnitsThatPeopleUse(t *testing.T) {
	got, address := receiver(t, nil)
	s := open(door(alert.Webhook, at(alert.Access{}.Rotate(alert.NewSigningSecret([32]byte{1}), begun, 0), address)))
	_, err := s.Send(context.Background(), delivery(alert.Webhook), notice(), text())
	must(t, err)
	const want = `{"type":"alert.raised","timestamp":"2026-11-23T03:00:00Z","data":{"id":"0193a5b0-0000-7000-8000-000000000001",` +
		`"audience":"customer","language":"pt-BR","subject":"80 % dos tokens usados","message":"Padaria \u0026 Cia usou 80,5 % do plano Pro.",` +
		`"link":"https://painel.example.com.br/portal","alerts":[{"id":41,"group":"0193a5b0-0000-7000-8000-0000000000aa","lead":true,` +
		`"rule":{"id":5,"name":""},"metric":"input_quota","subject":"subscription:9","tenant":{"id":3,"name":"Padaria \u0026 Cia"},` +
		`"threshold":80,"value":80.5,"unit":"percent","period":"2026-11-01T03:00:00Z","raised_at":"2026-11-23T03:00:00Z",` +
		`"details":{"plan":"Pro","input":{"used":2415000,"limit":3000000},"output":{"used":3,"limit":1500000},"above_plan":"charged",` +
		`"overage_price_brl":"0.0001"}}]}}`
	if string(got.body[0]) != want {
		t.Errorf("sent\n%s\nwant\n%s", got.body[0], want)
	}
	if kind := got.head[0].Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("content type %q", kind)
	}
}

func TestCustomersAreNotToldWhoAnswersAndWhatItCosts(t *testing.T) {
	n := notice()
	e := &n.Events[0]
	e.RuleName = "mau pagador"
	for audience, told := range map[alert.Audience]bool{alert.Customer: false, alert.Operator: true} {
		e.Audience = audience
		body, err := json.Marshal(alertOf(e))
		must(t, err)
		for _, word := range []string{"OpenAI", "servidor-1", "cost_usd", "mau pagador"} {
			if strings.Contains(string(body), word) != told {
				t.Errorf("to %s, %q: %s", audience, word, body)
			}
		}
	}
}

func TestEventsAreNamedByWhyTheyAreSent(t *testing.T) {
	for kind, want := range map[alert.DeliveryKind]string{
		alert.OneAlert: "alert.raised", alert.Digest: "alert.digest", alert.Escalated: "alert.escalated", alert.TestNotice: "alert.test",
	} {
		d, n := delivery(alert.Webhook), notice()
		d.Kind = kind
		if kind == alert.TestNotice {
			n.Events = nil
		}
		body, err := payload(d, n, text())
		must(t, err)
		o := decoded(t, body)
		if o["type"] != want {
			t.Errorf("%s is sent as %v", kind, o["type"])
		}
		if _, is := o["data"].(object)["alerts"].([]any); !is {
			t.Errorf("%s has no list of alerts: %s", kind, body)
		}
	}
}

func TestQuantitiesAreWrittenInTheirUnit(t *testing.T) {
	for _, c := range []struct {
		n    int64
		unit alert.Unit
		want string
	}{
		{8000, alert.Percent, "80"}, {8050, alert.Percent, "80.5"}, {1, alert.Percent, "0.01"}, {10_000, alert.Percent, "100"}, {0, alert.Percent, "0"},
		{-250, alert.Percent, "-2.5"},
		{50_000_000, alert.BRL, `"50.00"`}, {123, alert.USD, `"0.000123"`}, {-1_500_000, alert.BRL, `"-1.50"`},
		{1_234_567, alert.Tokens, "1234567"}, {20_000, alert.Millis, "20000"}, {7, alert.Days, "7"},
	} {
		got, err := json.Marshal(Quantity{c.n, c.unit})
		must(t, err)
		if string(got) != c.want {
			t.Errorf("%d %s is written %s, want %s", c.n, c.unit, got, c.want)
		}
	}
	var back money.Micros = 99_900_000
	if got, _ := json.Marshal(amount(back)); string(got) != `"99.90"` {
		t.Errorf("R$ 99,90 is written %s", got)
	}
}

func TestWithoutAGoodSecretNothingIsSent(t *testing.T) {
	for name, secrets := range map[string][]alert.SigningSecret{
		"none": nil, "empty": {{Secret: "whsec_"}}, "broken": {{Secret: "whsec_canary!"}}, "ended": {{Secret: alert.NewSigningSecret([32]byte{1}), Until: begun}},
	} {
		got, address := receiver(t, nil)
		answer, err := open(door(alert.Webhook, alert.Access{URL: address, Secrets: secrets})).Send(context.Background(), delivery(alert.Webhook), notice(), text())
		if !errors.Is(err, alert.ErrRefused) || got.count() != 0 || strings.Contains(answer, "canary") {
			t.Errorf("%s: %q, %v, %d sent", name, answer, err, got.count())
		}
	}
}

func TestOnlyItsOwnCustomersAlertsGoThroughAChannelAndOnlyWhileItIsThere(t *testing.T) {
	got, address := receiver(t, with(200, "ok"))
	mine := door(alert.Slack, alert.Access{URL: address})
	mine.to.TenantID = tenantID
	off, gone, sealed, away := mine, mine, mine, mine
	off.to.Active, gone.err, sealed.err, away.err = false, ErrGone, ErrSealed, errors.New("database away")
	theirs, operators, test := delivery(alert.Slack), delivery(alert.Slack), delivery(alert.Slack)
	theirs.TenantID, operators.TenantID, operators.Audience, test.Kind = tenantID+1, 0, alert.Operator, alert.TestNotice
	for name, c := range map[string]struct {
		door    one
		message alert.Delivery
		sent    bool
		final   bool
	}{
		"its own":                    {mine, delivery(alert.Slack), true, false},
		"another customer's":         {mine, theirs, false, true},
		"the operator's":             {mine, operators, false, true},
		"switched off":               {off, delivery(alert.Slack), false, true},
		"switched off, a test":       {off, test, true, false},
		"deleted":                    {gone, delivery(alert.Slack), false, true},
		"sealed with another key":    {sealed, delivery(alert.Slack), false, true},
		"while the database is away": {away, delivery(alert.Slack), false, false},
	} {
		before := got.count()
		answer, err := open(c.door).Send(context.Background(), c.message, notice(), text())
		if (err == nil) != c.sent || (got.count() > before) != c.sent || errors.Is(err, alert.ErrRefused) != c.final {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
}
