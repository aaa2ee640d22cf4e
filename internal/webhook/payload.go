package webhook

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
)

// Payload is the body of a signed webhook: docs/webhooks.md tells receivers of it. Fields may be added, none is renamed.
type Payload struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when the message was made, the same for every attempt
	Data      Data      `json:"data"`
}

// Data is one message.
type Data struct {
	ID       string  `json:"id"` // also the header webhook-id
	Audience string  `json:"audience"`
	Language string  `json:"language"`
	Subject  string  `json:"subject"`
	Message  string  `json:"message"`
	Link     string  `json:"link"`
	Alerts   []Alert `json:"alerts"` // none in a test; maxAlerts at most
	LeftOut  int     `json:"alerts_left_out,omitempty"`
}

// maxAlerts is how many alerts one message holds, some 100 KB: receivers refuse what is too big, and go on refusing it.
const maxAlerts = 200

// Alert is one threshold that was reached.
type Alert struct {
	ID        int64    `json:"id"`
	Group     string   `json:"group"` // raised together
	Lead      bool     `json:"lead"`  // the highest threshold of its group and metric that goes on
	Rule      Named    `json:"rule"`
	Metric    string   `json:"metric"`
	Subject   string   `json:"subject"`
	Tenant    *Named   `json:"tenant"`
	Threshold Quantity `json:"threshold"`
	Value     Quantity `json:"value"`
	Unit      string   `json:"unit"`
	Period    string   `json:"period"`
	RaisedAt  string   `json:"raised_at"`
	Taken     string   `json:"acknowledged_at,omitempty"`
	Resolved  string   `json:"resolved_at,omitempty"`
	Details   Details  `json:"details"`
}

// Named is something with an id.
type Named struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Details are the figures as they were when the alert was raised; what does not belong to its metric is left out.
type Details struct {
	Plan         string  `json:"plan,omitempty"`
	Key          string  `json:"key,omitempty"`
	Provider     string  `json:"provider,omitempty"`
	Model        string  `json:"model,omitempty"`
	Replica      string  `json:"replica,omitempty"`
	TimeZone     string  `json:"time_zone,omitempty"`
	Input        *Meter  `json:"input,omitempty"`
	Output       *Meter  `json:"output,omitempty"`
	AbovePlan    string  `json:"above_plan,omitempty"` // blocked or charged
	OveragePrice *Amount `json:"overage_price_brl,omitempty"`
	Charged      *Amount `json:"charged_brl,omitempty"`
	Cap          *Amount `json:"cap_brl,omitempty"`
	PeriodStart  string  `json:"period_start,omitempty"`
	PeriodEnd    string  `json:"period_end,omitempty"`
	Window       int     `json:"window_minutes,omitempty"`
	UsualTokens  int64   `json:"usual_tokens,omitempty"`
	Tokens       int64   `json:"tokens,omitempty"`
	Calls        int64   `json:"calls,omitempty"`
	Failures     int64   `json:"failures,omitempty"`
	Cost         *Amount `json:"cost_usd,omitempty"`
	RunsOutAt    string  `json:"runs_out_at,omitempty"`
	Quota        string  `json:"quota,omitempty"` // of a forecast: input_quota or output_quota
	Since        string  `json:"since,omitempty"`
	Address      string  `json:"address,omitempty"`
}

// Meter is the use of a limit, in tokens.
type Meter struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// Amount is money as a decimal string: "99.90".
type Amount money.Micros

// MarshalText writes the amount.
func (a Amount) MarshalText() ([]byte, error) { return []byte(money.Micros(a).Plain()), nil }

// Quantity is a figure in the unit's own measure: 80.5 for percent, "99.90" for money, else a whole number.
type Quantity struct {
	N    int64
	Unit alert.Unit
}

// MarshalJSON writes the figure.
func (q Quantity) MarshalJSON() ([]byte, error) {
	switch q.Unit {
	case alert.Percent:
		text := money.Micros(q.N * 10_000).Plain() // hundredths with two decimals
		return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
	case alert.BRL, alert.USD:
		return json.Marshal(money.Micros(q.N).Plain())
	}
	return strconv.AppendInt(nil, q.N, 10), nil
}

// typeOf names the event.
func typeOf(k alert.DeliveryKind) string {
	switch k {
	case alert.Digest:
		return "alert.digest"
	case alert.Escalated:
		return "alert.escalated"
	case alert.TestNotice:
		return "alert.test"
	}
	return "alert.raised"
}

func payload(d alert.Delivery, n alert.Notice, t alert.Text) ([]byte, error) {
	at := d.CreatedAt
	if at.IsZero() {
		at = n.SentAt
	}
	p := Payload{Type: typeOf(d.Kind), Timestamp: at.UTC().Truncate(time.Millisecond), Data: Data{
		ID: d.MessageID.String(), Audience: string(d.Audience), Language: string(n.Language),
		Subject: t.Subject, Message: t.Short, Link: t.Link, Alerts: []Alert{},
	}}
	shown := told(n.Events)
	for i := range shown {
		p.Data.Alerts = append(p.Data.Alerts, alertOf(&shown[i]))
	}
	p.Data.LeftOut = len(n.Events) - len(shown)
	return json.Marshal(p)
}

// told is what of the events a message holds: where they are too many, those that stand for others, and of these the first.
func told(events []alert.Event) []alert.Event {
	if len(events) <= maxAlerts {
		return events
	}
	leads := slices.DeleteFunc(slices.Clone(events), func(e alert.Event) bool { return !e.Lead })
	if len(leads) == 0 {
		leads = events
	}
	return leads[:min(len(leads), maxAlerts)]
}

func alertOf(e *alert.Event) Alert {
	a := Alert{
		ID: e.ID, Group: e.Group.String(), Lead: e.Lead, Rule: Named{e.RuleID, e.RuleName}, Metric: string(e.Metric), Subject: e.Subject.Key,
		Threshold: Quantity{e.Threshold, e.Unit}, Value: Quantity{e.Value, e.Unit}, Unit: string(e.Unit),
		Period: stamp(e.Period), RaisedAt: stamp(e.RaisedAt), Taken: stamp(e.AcknowledgedAt), Resolved: stamp(e.ResolvedAt), Details: detailsOf(e),
	}
	if e.Audience == alert.Customer {
		a.Rule.Name = "" // the operator's own words about its customers
	}
	if e.Subject.TenantID != 0 {
		a.Tenant = &Named{e.Subject.TenantID, e.Details.Tenant}
	}
	return a
}

// detailsOf leaves out what is the operator's own where a customer is told: who answers the calls, and what that costs.
func detailsOf(e *alert.Event) Details {
	d := &e.Details
	out := Details{
		Plan: d.Plan, Key: d.Key, Model: d.Model, TimeZone: d.Zone, OveragePrice: amount(d.OveragePrice), Charged: amount(d.Charged), Cap: amount(d.Cap),
		PeriodStart: stamp(d.PeriodStart), PeriodEnd: stamp(d.PeriodEnd), Window: d.Window, UsualTokens: d.Base, Tokens: d.Now,
		Calls: d.Calls, Failures: d.Failures, RunsOutAt: stamp(d.RunsOutAt), Quota: string(d.Quota), Since: stamp(d.Since), Address: d.Address,
	}
	if d.LimitIn != 0 || d.LimitOut != 0 {
		out.Input, out.Output = &Meter{d.UsedIn, d.LimitIn}, &Meter{d.UsedOut, d.LimitOut}
		out.AbovePlan = "charged"
		if d.Capped && out.Cap == nil {
			out.Cap = new(Amount) // a cap of nothing is one
		}
		if d.Blocks {
			out.AbovePlan = "blocked"
		}
	}
	if e.Audience != alert.Customer {
		out.Provider, out.Replica, out.Cost = d.Provider, d.Replica, amount(d.Cost)
	}
	return out
}

func amount(m money.Micros) *Amount {
	if m == 0 {
		return nil
	}
	return (*Amount)(&m)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
