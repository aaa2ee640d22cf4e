package alert

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// Subject is what an alert is about. Key is what tells subjects apart: "subscription:7", "tenant:3", "key:9", "provider:2",
// "provider:2/MODEL", "replica:NAME" or "installation".
type Subject struct {
	Key                                         string
	TenantID, SubscriptionID, KeyID, ProviderID int64 // 0: none
}

// OfSubscription is the subject of everything that is counted per billing period. keyID is that of a key with a plan of its
// own, else 0.
func OfSubscription(id, tenantID, keyID int64) Subject {
	return Subject{Key: "subscription:" + strconv.FormatInt(id, 10), TenantID: tenantID, SubscriptionID: id, KeyID: keyID}
}

// Event is an alert that was raised: a rule's threshold, once for a subject and period.
type Event struct {
	ID        int64
	Group     uuid.UUID // raised together, told together
	Lead      bool      // the highest threshold of its group, audience and metric that goes on; when all is over, the highest
	RuleID    int64
	RuleName  string // "": by what it says
	Audience  Audience
	Metric    Metric
	Unit      Unit
	Subject   Subject
	Period    time.Time // begin of the billing period or day, or when it began
	Threshold int64
	Value     int64 // when it was raised
	Details   Details

	RaisedAt       time.Time
	DispatchedAt   time.Time // zero: its messages are not made yet
	AcknowledgedAt time.Time
	AcknowledgedBy string
	ResolvedAt     time.Time
}

// Details are the figures and names as they were when the alert was raised; what does not belong to its metric is zero. They
// are kept as JSON.
type Details struct {
	Tenant   string `json:"tenant,omitempty"`
	Plan     string `json:"plan,omitempty"`
	Key      string `json:"key,omitempty"`
	Provider string `json:"provider,omitempty"`
	Model    string `json:"model,omitempty"`
	Replica  string `json:"replica,omitempty"`
	Zone     string `json:"zone,omitempty"` // IANA name of the customer's zone; "": the installation's

	LimitIn      int64        `json:"limit_in,omitempty"`
	UsedIn       int64        `json:"used_in,omitempty"`
	LimitOut     int64        `json:"limit_out,omitempty"`
	UsedOut      int64        `json:"used_out,omitempty"`
	Blocks       bool         `json:"blocks,omitempty"` // above the plan calls are refused; else charged
	OveragePrice money.Micros `json:"overage_price,omitempty"`
	Charged      money.Micros `json:"charged,omitempty"` // BRL, of the period
	Cap          money.Micros `json:"cap,omitempty"`     // BRL
	Capped       bool         `json:"capped,omitempty"`  // there is a cap, though it may be of nothing
	PeriodStart  time.Time    `json:"period_start,omitzero"`
	PeriodEnd    time.Time    `json:"period_end,omitzero"`

	Window    int          `json:"window,omitempty"`   // minutes
	Base      int64        `json:"base,omitempty"`     // what the value stands beside: the usual tokens of the hour
	Now       int64        `json:"now,omitempty"`      // and those of this one
	Calls     int64        `json:"calls,omitempty"`    // of the window
	Failures  int64        `json:"failures,omitempty"` // of them
	Cost      money.Micros `json:"cost,omitempty"`     // USD
	RunsOutAt time.Time    `json:"runs_out_at,omitzero"`
	Quota     Metric       `json:"quota,omitempty"`   // of a forecast: the one it is about, InputQuota or OutputQuota
	Since     time.Time    `json:"since,omitzero"`    // open since, last used, the newest rate's day
	Address   string       `json:"address,omitempty"` // of the caller
}

// Channel is a way to a recipient.
type Channel string

// The ways.
const (
	Email    Channel = "email"
	Webhook  Channel = "webhook"
	Slack    Channel = "slack"
	Teams    Channel = "teams"
	Discord  Channel = "discord"
	Telegram Channel = "telegram"
)

// DeliveryKind says why a message is sent.
type DeliveryKind string

// The kinds. A digest holds what was collected over a day, quiet hours or a snooze.
const (
	OneAlert   DeliveryKind = "alert"
	Digest     DeliveryKind = "digest"
	Escalated  DeliveryKind = "escalation"
	TestNotice DeliveryKind = "test" // is never kept
)

// DeliveryState is how far a message is.
type DeliveryState string

// The states. Dead messages are not tried again unless a person says so.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	Dead      DeliveryState = "dead"
	Cancelled DeliveryState = "cancelled"
)

// Delivery is one message to one recipient.
type Delivery struct {
	ID         int64
	MessageID  uuid.UUID // the same for every attempt: Message-ID, webhook-id
	Batch      string    // what it was made for; with the recipient it is unique
	Kind       DeliveryKind
	Audience   Audience
	TenantID   int64 // of a customer's message; 0: the operator's
	Channel    Channel
	ChannelID  int64  // 0: e-mail
	Recipient  string // an address, or "channel:ID"
	Name       string // of the person; may be empty
	Language   i18n.Lang
	EventIDs   []int64
	State      DeliveryState
	Reason     Reason // why it was not sent; "": nothing speaks against it
	Attempts   int
	DueAt      time.Time
	CreatedAt  time.Time
	FinishedAt time.Time
}

// Attempt is one try to deliver.
type Attempt struct {
	At      time.Time
	Took    time.Duration
	Outcome Outcome
	Answer  string // the other side's words, without secrets
	Replica string
	Next    time.Duration // for which nobody tries again, after one that failed; not kept
}

// Outcome is how an attempt went.
type Outcome string

// The outcomes: what is refused for good is not tried again.
const (
	OutcomeDelivered Outcome = "delivered"
	OutcomeRetry     Outcome = "retry"
	OutcomeRefused   Outcome = "refused"
)

// Notice is what a message says; it is rendered in the recipient's language.
type Notice struct {
	MessageID   uuid.UUID
	Kind        DeliveryKind
	Audience    Audience
	Channel     Channel
	Language    i18n.Lang
	Recipient   string
	Name        string
	Zone        *time.Location
	Events      []Event // the leads first; none in a test
	Days        []Day   // the tenant's newest days, oldest first, for the chart; may be empty
	PublicURL   string  // without a slash at the end
	Unsubscribe string  // link; empty: the recipient is one of the team
	Ask         *Ask    // of a Confirmation
	Confirm     string  // its link
	SentAt      time.Time
}

// Day is the tokens of one day.
type Day struct {
	Day           time.Time // its midnight
	Input, Output int64
}

// Text is a rendered notice. Short is the one or two paragraphs that chats get.
type Text struct {
	Subject, Plain, HTML, Short string
	Link                        string // what to do about it
}
