package breaker

import "time"

// Settings of one provider. Where FailurePercent, MinCalls, Window, OpenFor, Probes or MaxWait is not positive, its
// default stands in.
type Settings struct {
	FailurePercent int           // 1–100: opens when at least this share of the window's calls failed …
	MinCalls       int           // … of at least so many calls
	Window         time.Duration // what is looked back at, in ten slices
	SlowAfter      time.Duration // a first byte later than this is a failure; 0: slowness never opens
	OpenFor        time.Duration // then half-open
	Probes         int           // successful probes that close it again; as many may be on their way at once
	MaxParallel    int           // calls at once to this provider; 0: no cap
	MaxWaiting     int           // the bounded line behind the cap
	MaxWait        time.Duration // longest wait in the line
}

// DefaultSettings opens on half of twenty calls in half a minute, and caps nothing.
func DefaultSettings() Settings {
	return Settings{
		FailurePercent: 50, MinCalls: 20, Window: 30 * time.Second, OpenFor: 15 * time.Second, Probes: 3,
		MaxWait: 10 * time.Second,
	}
}

// filled puts defaults where a zero would divide by zero, or open for ever.
func (s Settings) filled() Settings {
	d := DefaultSettings()
	fill(&s.FailurePercent, d.FailurePercent)
	fill(&s.MinCalls, d.MinCalls)
	fill(&s.Probes, d.Probes)
	fill(&s.Window, d.Window)
	fill(&s.OpenFor, d.OpenFor)
	fill(&s.MaxWait, d.MaxWait)
	return s
}

func fill[N int | time.Duration](n *N, otherwise N) {
	if *n <= 0 {
		*n = otherwise
	}
}

// State of the breaker of one model.
type State string

// The states. The forced ones are a person's; the others change by themselves.
const (
	Closed       State = "closed"
	HalfOpen     State = "half_open"
	Open         State = "open"
	ForcedOpen   State = "forced_open"
	ForcedClosed State = "forced_closed"
)

// Why a state changed, as a machine word.
const (
	ByFailures    = "failures"     // too many calls failed
	BySlowness    = "slow"         // … most of them for a late first byte
	ByProbes      = "probes_ok"    // enough probes succeeded
	ByFailedProbe = "probe_failed" // one probe failed
	ByTime        = "time"         // open for long enough
	ByHand        = "manual"       // Force
)

// Change is one change of state. FailurePercent and Calls are those of the window at that moment.
type Change struct {
	Provider       int64
	Model          string
	From, To       State
	Reason         string
	At             time.Time
	FailurePercent int
	Calls          int
}

// Result is what a call told about the provider's health.
type Result uint8

// The results.
const (
	Neutral Result = iota // nothing: the caller's own 4xx, a cancelled call, a 429 (which Throttle is told)
	Success
	Failure // 5xx, reset, timeout, refused connection
)

// Reason says why a call may not go.
type Reason string

// The reasons.
const (
	CircuitOpen   Reason = "open"            // the breaker is open, or half-open with all probes under way
	Throttled     Reason = "throttled"       // the provider asked for a pause
	LineFull      Reason = "line_full"       // no place, and no room to wait for one
	WaitedTooLong Reason = "waited_too_long" // no place came free within MaxWait
)

// Refused is why a call may not go, and when trying again makes sense.
type Refused struct {
	Reason     Reason
	RetryAfter time.Duration
}

// Error names the reason.
func (r *Refused) Error() string { return "provider refused: " + string(r.Reason) }
