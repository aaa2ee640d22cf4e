package alert

import (
	"strings"
	"time"
)

// Progress is how far an alert is, as people are told.
type Progress string

// How far an alert can be. Resolved and acknowledged say more than how it was told, so they come first.
const (
	ProgressRaised       Progress = "raised"     // its messages are not made yet
	ProgressDelivering   Progress = "delivering" // some of them are under way
	ProgressDelivered    Progress = "delivered"  // all of them arrived
	ProgressKept         Progress = "kept"       // none of them left the machine
	ProgressFailed       Progress = "failed"     // one of them never will by itself
	ProgressUntold       Progress = "untold"     // there was nobody to tell
	ProgressAcknowledged Progress = "acknowledged"
	ProgressResolved     Progress = "resolved"
)

// Open tells whether nobody has taken care of the alert, and it is not over by itself.
func (e *Event) Open() bool { return e.AcknowledgedAt.IsZero() && e.ResolvedAt.IsZero() }

// Told counts an alert's messages; cancelled ones are not among them. Those that were kept as files, because e-mail is not set
// up, are among the delivered ones.
type Told struct{ All, Delivered, Pending, Dead, Kept int }

// KeptMessage is a message that went into a file and may still be sent.
type KeptMessage struct {
	ID        int64
	Kind      DeliveryKind
	Recipient string
	Tenant    string // empty: it is for the team
	At        time.Time
	Event     Event // the highest that it tells of; none of a Confirmation
}

// KeptPrefix begins the answer to a message that was kept as a file.
const KeptPrefix = "outbox/"

// RevokedPrefix begins the answer to a message by e-mail that could not leave because the account that sends has withdrawn its consent,
// or that has expired.
const RevokedPrefix = "access token: invalid_grant"

// InternalPrefix begins what went wrong here before a channel was reached, which no customer reads.
const InternalPrefix = "internal: "

// WasKept tells whether the message was kept as a file: its last attempt says so.
func (m Message) WasKept() bool {
	return m.State == Delivered && len(m.Tries) > 0 && strings.HasPrefix(m.Tries[len(m.Tries)-1].Answer, KeptPrefix)
}

// Entry is an alert in the history.
type Entry struct {
	Event
	Told Told
}

// Progress is how far the alert is.
func (e Entry) Progress() Progress {
	switch {
	case !e.ResolvedAt.IsZero():
		return ProgressResolved
	case !e.AcknowledgedAt.IsZero():
		return ProgressAcknowledged
	case e.Told.Dead > 0:
		return ProgressFailed
	case e.Told.Pending > 0:
		return ProgressDelivering
	case e.Told.All > 0 && e.Told.Kept == e.Told.All:
		return ProgressKept
	case e.Told.All > 0:
		return ProgressDelivered
	case e.DispatchedAt.IsZero():
		return ProgressRaised
	}
	return ProgressUntold
}

// HistoryPart is which alerts of the history are asked for.
type HistoryPart string

// The parts of the history.
const (
	WholeHistory       HistoryPart = ""
	OpenAlerts         HistoryPart = "open"   // neither acknowledged nor resolved
	FailedAlerts       HistoryPart = "failed" // of those, the ones with a dead message
	AcknowledgedAlerts HistoryPart = "acknowledged"
	ResolvedAlerts     HistoryPart = "resolved"
)

// HistoryQuery asks for a page of the history, newest first. The zero of a part means any.
type HistoryQuery struct {
	Audience Audience
	TenantID int64
	Metric   Metric
	Part     HistoryPart
	Before   int64 // the id that the page before ended with; 0: the first page
	Limit    int
}

// HistoryCounts are how many alerts each part holds, whatever part and page were asked for.
type HistoryCounts struct{ All, Open, Failed, Acknowledged, Resolved int }

// Of is the count of one part.
func (c HistoryCounts) Of(p HistoryPart) int {
	switch p {
	case OpenAlerts:
		return c.Open
	case FailedAlerts:
		return c.Failed
	case AcknowledgedAlerts:
		return c.Acknowledged
	case ResolvedAlerts:
		return c.Resolved
	}
	return c.All
}

// Case is one alert with all that is known of it.
type Case struct {
	Entry
	Group        []Event // what its audience was told of together with it, itself among them; the leads first
	Messages     []Message
	SnoozedUntil time.Time // zero: it is not
	SnoozedBy    string
}

// Message is a delivery with every attempt, the first one first.
type Message struct {
	Delivery
	Tries       []Attempt
	ChannelName string // of a delivery that is no e-mail
	Target      string // what people may see of that channel
	Hidden      bool   // its recipient is not the customer's to see
}
