// Package quota holds the exact token limit of a period.
//
// The limit is one of input and one of output. A period that is charged above what its plan includes, up to a spend cap, has a
// number of extra tokens beside them, which either kind may use: what both take above their own limits never exceeds it. What
// is free of a kind is then counted down below zero.
//
// PostgreSQL keeps the truth; a replica takes leases, chunks of what remains, and spends them in memory, so that a
// call needs no database. Before a call its tokens are held; after it the hold is settled with the real usage. At
// every instant used + leased ≤ limit in the database, and held + settled but not yet committed ≤ leased in the
// replica, where leased is never reckoned but always what the database last said.
//
// A replica that was silent for too long may have lost its leases to others. It knows: from four fifths of that time
// on it spends nothing before the database has confirmed that its leases still stand.
package quota

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Pair is a number of input and of output tokens.
type Pair struct{ In, Out int64 }

func (p Pair) plus(q Pair) Pair  { return Pair{p.In + q.In, p.Out + q.Out} }
func (p Pair) minus(q Pair) Pair { return Pair{p.In - q.In, p.Out - q.Out} }

// covers tells whether q fits into p in both kinds.
func (p Pair) covers(q Pair) bool { return p.In >= q.In && p.Out >= q.Out }

// fits tells whether q fits into p where both kinds together may go beyond it by extra tokens. Where p is beyond it already, what goes
// no further fits: tokens that a plan includes are there for who has reached a spend cap with those of the other kind.
func (p Pair) fits(q Pair, extra int64) bool {
	beyond := q.minus(p).above()
	return beyond <= max(extra, Pair{}.minus(p).above())
}

// above is what is above zero, of both kinds together.
func (p Pair) above() int64 { return max(p.In, 0) + max(p.Out, 0) }

func (p Pair) atLeastZero() Pair { return Pair{max(p.In, 0), max(p.Out, 0)} }

// Stand is this replica's lease of a period as the database holds it, at one instant. The version grows with every
// change of the period's leases, so that of two answers the newer is known.
type Stand struct {
	Leased    Pair
	Committed Pair // in all, of this replica's calls that had held tokens: what is settled beyond it is on the way
	Version   int64
}

// Grant answers a lease: what was granted, and how the bucket stands after it.
type Grant struct {
	Stand
	Granted Pair
	Free    Pair  // neither used nor leased by anyone; below zero by what is taken of the extra tokens
	Extra   int64 // tokens that a spend cap allows above the limits, of both kinds together
	Others  Pair  // leased by other replicas
	Limit   Pair
	Used    Pair
}

// Lessor is the database's side of the leases.
type Lessor interface {
	// Lease moves free tokens of a period into this replica's lease: of each kind asked for (need > 0) at least
	// need, and more while plenty remains. Where the need of either kind is not free it grants nothing.
	Lease(ctx context.Context, periodID int64, need Pair) (Grant, error)
	// Return hands back tokens of this replica's lease that nobody holds. The same id again changes nothing, and
	// neither does more than the lease holds.
	Return(ctx context.Context, periodID int64, idle Pair, id uuid.UUID) (Stand, error)
	// Stands tells how this replica's leases stand: of the periods that are named, whether or not it leases anything of
	// them, and of all others of which it leases something.
	Stands(ctx context.Context, periodIDs []int64) (map[int64]Stand, error)
	// Recall asks the other replicas to hand back what they do not hold.
	Recall(ctx context.Context, periodID int64) error
	// Heartbeat says that this replica is alive, and tells how often its leases have been taken back so far because it
	// had been silent. ErrSuperseded when another process has taken its name.
	Heartbeat(ctx context.Context) (reaped int64, err error)
}

// ErrSuperseded tells a process that another one now runs under its name: it must stop.
var ErrSuperseded = errors.New("another process runs under this replica's name; was its data folder copied? remove the file \"replica\" from the copy")

// Want is what one call asks for.
type Want struct {
	In int64 // an upper bound of the input tokens
	// ExactIn counts the input where the bound does not fit; it is called at most once. Nil: In is exact.
	ExactIn func() int64
	Out     int64 // output tokens asked for
	// Elastic lets the hold's output shrink to what remains: the caller set no limit of its own.
	Elastic bool
}

// Exhausted refuses a call: it does not fit into what remains.
type Exhausted struct {
	Asked     Pair
	Remaining Pair
	Extra     int64 // tokens above the limits that the spend cap still allowed, of both kinds together
	// Busy means that calls in flight, or other replicas, hold what is missing: some of it may come back.
	Busy bool
}

// Error tells what was asked and what remains.
func (e *Exhausted) Error() string {
	return fmt.Sprintf("quota exhausted: asked for %d input and %d output tokens, %d and %d remain, and %d above them",
		e.Asked.In, e.Asked.Out, e.Remaining.In, e.Remaining.Out, e.Extra)
}

// elasticShare and elasticFloor bound what a call without a limit of its own may hold: a share of what is left, so
// that calls beside it fit too, but never so little that an answer is cut while more is left.
const (
	elasticShare = 4
	elasticFloor = 1024
)
