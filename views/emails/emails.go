// Package emails says what an alert says: as an e-mail in HTML and plain text, and in a few lines for chats. It knows figures and
// words, and nothing of rules, databases or delivery.
package emails

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// Kind is why a message is sent.
type Kind string

// The kinds.
const (
	One        Kind = "alert"
	Digest     Kind = "digest"
	Escalation Kind = "escalation" // nobody has acknowledged it
	Test       Kind = "test"
	Confirm    Kind = "confirmation" // asks whether its reader agrees to be told
)

// Message is what one recipient is told.
type Message struct {
	Printer     i18n.Printer
	Kind        Kind
	Customer    bool // else the team that runs the installation
	Name        string
	Alerts      []Alert // the one to tell first is first; none in a test
	Days        []Day   // oldest first; no chart without
	PublicURL   string  // without a slash at the end
	Unsubscribe string  // link; empty: nothing to unsubscribe from
	SentAt      time.Time
	Ask         *Ask // of Confirm
}

// Ask is what an address from outside is asked: whether it may be told of a customer.
type Ask struct {
	Company   string
	By        string   // the customer's own person who named the address; "": one of the team that runs the installation
	Topics    []string // metrics
	ExpiresAt time.Time
	Link      string
}

// Alert is a threshold that was reached. What does not belong to its metric is zero. Percents are hundredths (5000 is 50 %), money
// is micros.
type Alert struct {
	ID               int64
	Subject          string // what it is about, and in what period; with the metric it tells one story
	Lead             bool   // the highest of its metric and subject
	Metric, Unit     string
	Rule             string // its name, may be empty
	Threshold, Value int64
	Resolved         bool
	Acknowledged     bool
	RaisedAt         time.Time

	TenantID, KeyID, ProviderID                          int64
	Tenant, Plan, Key, Provider, Model, Replica, Address string
	LimitIn, UsedIn, LimitOut, UsedOut                   int64
	Blocks                                               bool // above the plan calls are refused; else charged
	OveragePrice, Charged, Cap                           money.Micros
	Capped                                               bool // there is a cap, though it may be of nothing
	PeriodEnd                                            time.Time
	Window                                               int // minutes
	Base, Now, Calls, Failures                           int64
	RunsOutAt, Since                                     time.Time
	Quota                                                string // of a forecast: "input_quota" or "output_quota"; empty in alerts of earlier builds
}

// Day is the tokens of one day; its date is that of its own zone.
type Day struct {
	Day           time.Time
	Input, Output int64
}

// Text is a rendered message.
type Text struct {
	Subject, Plain, HTML string
	Short                string // the subject and a few lines more for chats, without markup
	Link                 string // what to do about it
}

// Render writes the message. An alert that is not for its reader, or of a metric that is not known, is an error: it is better not sent
// than seen by the wrong people.
func Render(ctx context.Context, m Message) (Text, error) {
	m.clean()
	pg, err := m.page()
	if err != nil {
		return Text{}, err
	}
	var html bytes.Buffer
	if err := document(pg).Render(ctx, &html); err != nil {
		return Text{}, fmt.Errorf("render e-mail: %w", err)
	}
	return Text{Subject: pg.subject, Plain: plain(pg), HTML: html.String(), Short: pg.short, Link: pg.button.href}, nil
}
