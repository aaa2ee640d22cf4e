package alert

import (
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Person is one who signs in and is not disabled.
type Person struct {
	Address  string
	Name     string
	Role     tenancy.Role
	Language i18n.Lang
}

// Party is the customer that a group of alerts is about.
type Party struct {
	ID       int64
	Name     string
	Email    string // may be empty
	Language i18n.Lang
	Zone     *time.Location
	Users    []Person
}

// Line is a channel that messages may take besides e-mail.
type Line struct {
	ID       int64
	TenantID int64 // 0: the operator's
	Kind     Channel
	Name     string
	Language i18n.Lang
}

// Snooze is until when nobody is told of a rule's subject.
type Snooze struct {
	RuleID  int64
	Subject string
	Until   time.Time
}

// Optout is an address that wants no more e-mail of a customer's metric; "" is all of them.
type Optout struct {
	TenantID int64
	Address  string
	Metric   Metric
}

// Situation is everything that decides who is told of a group of alerts, and when.
type Situation struct {
	Now      time.Time
	Zone     *time.Location // of the installation
	Events   []Event        // of one group
	Rules    map[int64]Rule // of the events, deleted ones too: what was raised is told
	Team     []Person
	Customer *Party // nil: the group is about none
	Lines    []Line // that are active
	Snoozes  []Snooze
	Optouts  []Optout
}

// Planned is who is told of a group, and when it is looked at again.
type Planned struct {
	Deliveries  []Delivery // without ids
	Escalations []Work
}

// Work is a job to be made: to bring a delivery, or to look whether a group must be told to others.
type Work struct {
	DeliveryID int64
	Channel    Channel
	Group      uuid.UUID // of an escalation; else zero
	RuleID     int64
	DueAt      time.Time
}

// Begun is a delivery that may be sent now, with what its message says.
type Begun struct {
	Delivery Delivery
	Events   []Event        // in the order of Delivery.EventIDs
	Zone     *time.Location // of the customer; nil: the installation's
	Days     []Day          // of the customer that all events are about; else none
}
