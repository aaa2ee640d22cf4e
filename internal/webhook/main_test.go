package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

const (
	channelID = 7
	tenantID  = 3
)

// one is a door to a single destination.
type one struct {
	to     alert.Destination
	access alert.Access
	err    error
}

func (o one) Door(context.Context, int64) (alert.Destination, alert.Access, error) {
	return o.to, o.access, o.err
}

func door(kind alert.Channel, a alert.Access) one {
	return one{to: alert.Destination{ID: channelID, Kind: kind, Name: "Sala", Active: true}, access: a}
}

// open is a Sender that may send to this machine.
func open(o one) *Sender { return New(Config{Doors: o, Private: true}) }

// received is what a receiver was sent, in order.
type received struct {
	mu   sync.Mutex
	head []http.Header
	body [][]byte
	path []string
}

func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.body)
}

// receiver keeps what it is sent and answers by answer.
func receiver(t *testing.T, answer http.HandlerFunc) (*received, string) {
	t.Helper()
	got := &received{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.mu.Lock()
		got.head, got.body, got.path = append(got.head, r.Header.Clone()), append(got.body, body), append(got.path, r.URL.RequestURI())
		got.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return got, s.URL
}

func with(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

var begun = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func delivery(kind alert.Channel) alert.Delivery {
	return alert.Delivery{
		ID: 1, MessageID: uuid.MustParse("0193a5b0-0000-7000-8000-000000000001"), Kind: alert.OneAlert, Audience: alert.Customer, TenantID: tenantID,
		Channel: kind, ChannelID: channelID, Language: i18n.PtBR, CreatedAt: begun,
	}
}

func notice() alert.Notice {
	return alert.Notice{Kind: alert.OneAlert, Audience: alert.Customer, Language: i18n.PtBR, Zone: time.UTC, Events: []alert.Event{{
		ID: 41, Group: uuid.MustParse("0193a5b0-0000-7000-8000-0000000000aa"), Lead: true, RuleID: 5, Audience: alert.Customer,
		Metric: alert.InputQuota, Unit: alert.Percent, Subject: alert.OfSubscription(9, tenantID, 0), Period: begun.AddDate(0, 0, -22),
		Threshold: 8000, Value: 8050, RaisedAt: begun,
		Details: alert.Details{Tenant: "Padaria & Cia", Plan: "Pro", LimitIn: 3_000_000, UsedIn: 2_415_000, LimitOut: 1_500_000, UsedOut: 3,
			OveragePrice: 100, Provider: "OpenAI", Replica: "servidor-1", Cost: money.Micros(1_500_000)},
	}}}
}

func text() alert.Text {
	return alert.Text{Subject: "80 % dos tokens usados", Short: "Padaria & Cia usou 80,5 % do plano Pro.", Link: "https://painel.example.com.br/portal"}
}

func decoded(t *testing.T, body []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func at(a alert.Access, address string) alert.Access {
	a.URL = address
	return a
}
