package alert

import "time"

// Firing is what a rule would have raised.
type Firing struct {
	At        time.Time // by the hour where only hours are kept
	Subject   Subject
	Details   Details // names of the tenant, key, provider and model; figures as far as they are known
	Metric    Metric
	Unit      Unit
	Threshold int64
	Value     int64
}

// Replayed is what a rule would have raised in a span of the past.
type Replayed struct {
	Fired     []Firing // the newest first
	Known     bool     // false: nothing is kept that would tell
	Since     time.Time
	Truncated bool // there would have been more
}

// MaxReplayed bounds a replay.
const MaxReplayed = 200
