// Package jobs brings what was raised to people: it decides who is told (internal/alert), has River carry the messages, and
// writes down every attempt. All of it is kept in PostgreSQL, so that a process may end at any point.
package jobs

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
)

// Enqueue makes a job for each piece of work inside a transaction, and returns their ids in the same order.
type Enqueue func(ctx context.Context, tx *sql.Tx, work []alert.Work) ([]int64, error)

// Store keeps alerts and their deliveries.
type Store interface {
	// DispatchAlerts plans some of the groups that wait, and makes their jobs, in one transaction. It returns how many groups.
	DispatchAlerts(ctx context.Context, plan func(alert.Situation) alert.Planned, enqueue Enqueue) (int, error)
	// QueueDeliveries makes jobs for some of the messages that wait without one: those that are sent again, and, when lost is
	// asked for, those whose job is gone. It returns how many.
	QueueDeliveries(ctx context.Context, lost bool, enqueue Enqueue) (int, error)
	// MendQueue puts right what keeps jobs that are there from being done, and makes those again that look whether others must be
	// told and are gone. It returns how many of each it found.
	MendQueue(ctx context.Context, enqueue Enqueue) (late, gone int, err error)
	// EscalateAlerts tells others of a group that nobody has acknowledged. Should it be looked at later, it says when.
	EscalateAlerts(ctx context.Context, group uuid.UUID, ruleID int64, plan func(alert.Situation, int64) (alert.Planned, time.Time), enqueue Enqueue) (again time.Time, err error)
	// BeginDelivery claims a message for lease. state is that of the message afterwards: nothing is to be sent unless it is
	// alert.Pending. wait is for how long another still has it.
	BeginDelivery(ctx context.Context, id int64, replica string, lease time.Duration) (begun alert.Begun, state alert.DeliveryState, wait time.Duration, err error)
	// HoldDelivery prolongs the claim of a replica to lease from now; zero lets it go. It fails when the replica has it no more.
	HoldDelivery(ctx context.Context, id int64, replica string, lease time.Duration) error
	// RecordAttempt writes an attempt down, with the state in which it leaves the message.
	RecordAttempt(ctx context.Context, id int64, a alert.Attempt, state alert.DeliveryState) error
	// ReclaimJobs makes available again what this replica was at when it ended.
	ReclaimJobs(ctx context.Context, replica string) (int64, error)
}

// Renderer writes a message in its reader's language.
type Renderer interface {
	Render(ctx context.Context, n alert.Notice) (alert.Text, error)
}

// Sender carries a message to where it goes: e-mail, or one of the channels. answer is what the other side said, also beside an
// error. An error is tried again later unless it is alert.ErrRefused (see alert.Refused), and not before what its RetryAfter()
// time.Duration asks for, where it has one; after alert.ErrUnanswered far less often. Who has to wait for an answer longer than
// everything before it may take calls alert.HandOver first. Nothing is kept of the answer but one bounded line, and addresses of web pages lose
// their path.
type Sender interface {
	Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (answer string, err error)
}
