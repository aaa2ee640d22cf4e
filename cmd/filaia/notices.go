package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/emails"
)

// notices writes what alerts say, in the recipient's language and zone.
type notices struct{}

// Render writes the notice. It fails for an alert that its reader must not see: better not sent than sent to the wrong people.
func (notices) Render(ctx context.Context, n alert.Notice) (alert.Text, error) {
	for _, e := range n.Events {
		if n.Audience == alert.Customer && (e.Audience != alert.Customer || e.Subject.TenantID != n.Events[0].Subject.TenantID) {
			return alert.Text{}, fmt.Errorf("alert %d is not for the customer of tenant %d", e.ID, n.Events[0].Subject.TenantID)
		}
	}
	zone := noticeZone(n)
	m := emails.Message{
		Printer: i18n.NewPrinter(n.Language, zone), Kind: emails.Kind(n.Kind), Customer: n.Audience == alert.Customer, Name: n.Name,
		PublicURL: n.PublicURL, Unsubscribe: n.Unsubscribe, SentAt: n.SentAt,
	}
	for i := range n.Events {
		m.Alerts = append(m.Alerts, alertOf(&n.Events[i]))
	}
	days := zone // those of the customer, where its zone is known
	if len(n.Events) > 0 {
		if own := zoneNamed(n.Events[0].Details.Zone); own != nil {
			days = own
		}
	}
	for _, d := range n.Days {
		m.Days = append(m.Days, emails.Day{Day: d.Day.In(days), Input: d.Input, Output: d.Output})
	}
	if n.Ask != nil {
		m.Ask = &emails.Ask{Company: n.Ask.Company, By: n.Ask.By, ExpiresAt: n.Ask.ExpiresAt, Link: n.Confirm}
		for _, topic := range n.Ask.Topics {
			m.Ask.Topics = append(m.Ask.Topics, string(topic))
		}
	}
	t, err := emails.Render(ctx, m)
	if err != nil {
		return alert.Text{}, err
	}
	return alert.Text{Subject: t.Subject, Plain: t.Plain, HTML: t.HTML, Short: t.Short, Link: t.Link}, nil
}

// noticeZone is the recipient's, else the customer's.
func noticeZone(n alert.Notice) *time.Location {
	if n.Zone != nil {
		return n.Zone
	}
	for _, e := range n.Events {
		if zone := zoneNamed(e.Details.Zone); zone != nil {
			return zone
		}
	}
	return time.UTC
}

// zoneNamed is nil for no name and for one that is not known.
func zoneNamed(name string) *time.Location {
	if name == "" {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}

// alertOf is the event as messages show it. What only the team may know stays out of a customer's.
func alertOf(e *alert.Event) emails.Alert {
	d := e.Details
	a := emails.Alert{
		ID: e.ID, Lead: e.Lead, Subject: e.Subject.Key + " " + e.Period.UTC().Format(time.RFC3339Nano), Metric: string(e.Metric), Unit: string(e.Unit), Rule: e.RuleName,
		Threshold: e.Threshold, Value: e.Value, Resolved: !e.ResolvedAt.IsZero(), Acknowledged: !e.AcknowledgedAt.IsZero(), RaisedAt: e.RaisedAt,
		TenantID: e.Subject.TenantID, KeyID: e.Subject.KeyID, ProviderID: e.Subject.ProviderID,
		Tenant: d.Tenant, Plan: d.Plan, Key: d.Key, Provider: d.Provider, Model: d.Model, Replica: d.Replica, Address: d.Address,
		LimitIn: d.LimitIn, UsedIn: d.UsedIn, LimitOut: d.LimitOut, UsedOut: d.UsedOut,
		Blocks: d.Blocks, OveragePrice: d.OveragePrice, Charged: d.Charged, Cap: d.Cap, Capped: d.Capped, PeriodEnd: d.PeriodEnd,
		Window: d.Window, Base: d.Base, Now: d.Now, Calls: d.Calls, Failures: d.Failures, RunsOutAt: d.RunsOutAt, Quota: string(d.Quota), Since: d.Since,
	}
	if e.Audience == alert.Customer {
		a.Rule, a.Provider, a.ProviderID, a.Model, a.Replica = "", "", 0, "", ""
	}
	return a
}
