package usage

import "github.com/fila-ia/filaia/internal/money"

// Totals is what a number of calls come to. Failures and CallerErrors are parts of Requests, CacheHits of CacheLookups. Live
// minutes know nothing of the cache.
type Totals struct {
	Requests     int64
	Failures     int64        // calls that ended in an error which their callers could not help, or were interrupted
	CallerErrors int64        // calls that failed through what their callers sent: neither successes nor failures
	Tokens       Tokens       // billed
	CostUSD      money.Micros // what providers charge the operator; zero where a customer reads
	ChargeBRL    money.Micros // what customers are charged above their plans
	CacheLookups int64        // calls that the cache could have answered
	CacheHits    int64        // calls that it answered, or that shared the answer of one under way
	ServedInput  int64        // tokens of the answers, whoever gave them
	ServedOutput int64
	SavedUSD     money.Micros // what providers would have charged for what the cache answered; zero where a customer reads
}

// Add sums two totals.
func (t Totals) Add(o Totals) Totals {
	return Totals{
		Requests:     t.Requests + o.Requests,
		Failures:     t.Failures + o.Failures,
		CallerErrors: t.CallerErrors + o.CallerErrors,
		Tokens: Tokens{
			Input:     t.Tokens.Input + o.Tokens.Input,
			Cached:    t.Tokens.Cached + o.Tokens.Cached,
			Output:    t.Tokens.Output + o.Tokens.Output,
			Reasoning: t.Tokens.Reasoning + o.Tokens.Reasoning,
		},
		CostUSD:      t.CostUSD + o.CostUSD,
		ChargeBRL:    t.ChargeBRL + o.ChargeBRL,
		CacheLookups: t.CacheLookups + o.CacheLookups,
		CacheHits:    t.CacheHits + o.CacheHits,
		ServedInput:  t.ServedInput + o.ServedInput,
		ServedOutput: t.ServedOutput + o.ServedOutput,
		SavedUSD:     t.SavedUSD + o.SavedUSD,
	}
}

// HitRate is the share of calls that the cache answered among those that it could have, 0..1; ok is false where there
// were none.
func (t Totals) HitRate() (rate float64, ok bool) {
	if t.CacheLookups == 0 {
		return 0, false
	}
	return float64(t.CacheHits) / float64(t.CacheLookups), true
}

// Served is the input and output that were served, billed or not.
func (t Totals) Served() int64 { return t.ServedInput + t.ServedOutput }

// Total is input and output together.
func (t Tokens) Total() int64 { return t.Input + t.Output }

// Judged are the calls that tell how well the service does: all but those that their callers spoiled.
func (t Totals) Judged() int64 { return t.Requests - t.CallerErrors }

// SuccessRate is the share of the judged calls that did not fail, 0..1; ok is false where there were none.
func (t Totals) SuccessRate() (rate float64, ok bool) {
	if t.Judged() <= 0 {
		return 0, false
	}
	return 1 - float64(t.Failures)/float64(t.Judged()), true
}

// Change is how much now differs from before as a ratio: 0.25 is a quarter more. ok is false where before is zero,
// because nothing can be said then.
func Change(now, before int64) (ratio float64, ok bool) {
	if before == 0 {
		return 0, false
	}
	return float64(now-before) / float64(before), true
}
