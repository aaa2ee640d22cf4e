package usage

import "time"

// Vitals is what a replica tells of itself with every heartbeat.
type Vitals struct {
	Version      string
	Calls        int64         // under way
	SpoolEvents  int64         // recorded and not yet in the database
	SpoolAge     time.Duration // of the oldest of them
	SpoolBytes   int64
	DamagedFiles int64 // of its spool, kept for a person to look at
}

// Replica is a process that answers calls, as the database knows it.
type Replica struct {
	Name string
	Vitals
	StartedAt, SeenAt   time.Time
	Silent              time.Duration // since its last heartbeat
	StoppedAt           time.Time     // zero: it runs, or died
	ReapedAt            time.Time     // when its leases were last taken back; zero: never
	LeasedIn, LeasedOut int64         // tokens of all periods that only it may spend
	Leases              int           // of how many periods
}

// Overrun is tokens of one commit that no limit could stop.
type Overrun struct {
	At            time.Time
	TenantID      int64
	TenantName    string
	PeriodID      int64
	Replica       string
	Cause         OverrunCause
	Input, Output int64
}

// OverrunCause is why a limit could not stop tokens.
type OverrunCause string

// The causes.
const (
	OverrunReported OverrunCause = "reported" // a provider reported more than was held
	OverrunLate     OverrunCause = "late"     // the lease had been taken back from a silent replica
	OverrunUnheld   OverrunCause = "unheld"   // the plan began to block while calls were under way
	OverrunEarlier  OverrunCause = "earlier"  // from before causes were noted
)
