package demo

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// The shape of one call: means of log-normal draws.
const (
	meanInput  = 900.0
	meanOutput = 340.0
	meanWaitMS = 320.0 // until the first byte
	tokenMS    = 1.5   // for each further output token
	meanHitMS  = 6.0   // of an answer of the cache
)

// sharing is the share of the cache's answers that were another call's, still under way.
const sharing = 0.04

// suspendedDays is how long ago the calls of a suspended customer stopped.
const suspendedDays = 6

// traffic draws the calls of one customer.
type traffic struct {
	random *rand.Rand
	profile
	terms  tenancy.Terms
	policy tenancy.CachePolicy
	prices map[string]tenancy.Model
	now    time.Time
	zone   *time.Location
}

func newTraffic(seed uint64, p profile, terms tenancy.Terms, prices map[string]tenancy.Model, now time.Time, zone *time.Location) *traffic {
	if p.suspended {
		now = now.AddDate(0, 0, -suspendedDays)
	}
	policy := terms.Policy()
	if p.cache != "" {
		policy.Mode = p.cache
	}
	return &traffic{rand.New(rand.NewPCG(seed, 2026)), p, terms, policy, prices, now, zone}
}

// caches tells whether the customer's calls may be answered from the cache.
func (t *traffic) caches() bool {
	return t.policy.Mode == tenancy.CacheExact || t.policy.Mode == tenancy.CacheSmart
}

// fill gives the customer its periods and calls.
func (t *traffic) fill(c *Customer) {
	from := t.now.AddDate(0, 0, -Days)
	if c.Since.After(from) {
		from = c.Since
	}
	period := usage.PeriodAt(from, c.Draft.BillingDay, t.zone)
	for i := 0; period.Start.Before(t.now); i++ {
		c.Periods = append(c.Periods, period)
		events := t.period(period, from)
		slices.SortFunc(events, func(a, b usage.Event) int { return a.CreatedAt.Compare(b.CreatedAt) })
		for _, e := range t.within(events) {
			e.PeriodID = int64(i)
			c.Events = append(c.Events, e)
		}
		period = usage.PeriodAt(period.End, c.Draft.BillingDay, t.zone)
	}
	for i := range c.Events {
		c.Events[i].KeyID = int64(t.key(c.Keys, c.Events[i].CreatedAt))
	}
}

// period draws the calls between from, or the period's beginning, and now, or its end.
func (t *traffic) period(period usage.Period, from time.Time) []usage.Event {
	whole, covered := 0.0, 0.0
	var hours []time.Time
	for hour := period.Start.Truncate(time.Hour); hour.Before(period.End); hour = hour.Add(time.Hour) {
		w := t.weight(hour)
		whole += w
		if !hour.Before(from) && hour.Before(t.now) {
			covered += w * t.gone(hour).Hours()
			hours = append(hours, hour)
		}
	}
	if covered == 0 {
		return nil
	}
	target := t.profile.fill * covered / whole
	if t.fillNow > 0 {
		target = t.fillNow // each period ends about as full as the current one is by now
		if period.End.Before(t.now) {
			target *= 0.8 * covered / whole
		}
	}
	calls := target * float64(t.terms.InputTokens) / meanInput
	if t.caches() {
		calls /= 1 - t.hits*(1-float64(t.policy.BilledPercent)/100) // what the cache answers fills little
	}
	var events []usage.Event
	for _, hour := range hours {
		gone := t.gone(hour)
		for range t.poisson(calls * t.weight(hour) * gone.Hours() / covered) {
			at := hour.Add(time.Duration(t.random.Int64N(int64(gone)))).Truncate(time.Millisecond)
			if at.Before(t.now) && period.Contains(at) {
				events = append(events, t.call(at))
			}
		}
	}
	return events
}

// gone is how much of an hour that has begun lies before now.
func (t *traffic) gone(hour time.Time) time.Duration { return min(t.now.Sub(hour), time.Hour) }

// weight is how much is called in an hour: rhythm of day and week, growth over the months, and a last hour in which
// something always happens, so that the live chart has something to show at night too.
func (t *traffic) weight(hour time.Time) float64 {
	local := hour.In(t.zone)
	weekend := local.Weekday() == time.Saturday || local.Weekday() == time.Sunday
	h := float64(local.Hour())
	bell := func(peak, width float64) float64 { return math.Exp(-(h - peak) * (h - peak) / (2 * width * width)) }
	var w float64
	switch t.rhythm {
	case office:
		w = 0.02 + bell(10, 1.8) + 0.9*bell(15.5, 2)
		if weekend {
			w *= 0.12
		}
	case retail:
		w = 0.05 + 0.5*bell(12, 2.5) + bell(20, 2.6)
		if weekend {
			w *= 1.35
		}
	default:
		w = 0.55 + 0.3*bell(14, 5)
	}
	age := t.now.Sub(hour).Hours() / 24
	w *= math.Exp(-age / 110)
	if age >= 0 && age < 1.5/24 {
		w = 2.5 * max(w, 0.9)
	}
	return w
}

// within keeps what a blocking plan would have let through: a call that would pass the limit never reached a provider.
func (t *traffic) within(events []usage.Event) []usage.Event {
	if t.terms.Overage != tenancy.Block {
		return events
	}
	var in, out int64
	return slices.DeleteFunc(events, func(e usage.Event) bool {
		if in+e.Tokens.Input > t.terms.InputTokens || out+e.Tokens.Output > t.terms.OutputTokens {
			return true
		}
		in, out = in+e.Tokens.Input, out+e.Tokens.Output
		return false
	})
}

func (t *traffic) call(at time.Time) usage.Event {
	e := usage.Event{
		ID: t.id(at), CreatedAt: at, Endpoint: "chat.completions", HTTPStatus: 200, Provider: "openai",
		Model: t.models[t.random.IntN(len(t.models))], Streamed: t.random.Float64() < 0.6,
	}
	if t.random.Float64() < 0.12 {
		e.Endpoint = "responses"
	}
	e.RequestID = "req_" + e.ID.String()[24:] + e.ID.String()[9:13]
	if t.caches() {
		e.Cache = usage.CacheMiss
	}
	if t.random.Float64() < t.errors {
		e.Status, e.HTTPStatus = usage.Failed, []int{500, 503, 504, 429}[t.random.IntN(4)]
		e.LatencyMS = int64(t.logNormal(900, 0.9))
		return e
	}
	e.Tokens.Input = 20 + int64(t.logNormal(meanInput-20, 0.75))
	e.Tokens.Output = 4 + int64(t.logNormal(meanOutput-4, 0.7))
	if t.random.Float64() < 0.3 {
		e.Tokens.Cached = e.Tokens.Input / 128 * 64
	}
	if t.caches() && t.random.Float64() < t.hits {
		t.answer(&e)
		return e
	}
	if t.random.Float64() < 0.006 {
		e.Status, e.Estimated, e.Streamed = usage.Aborted, true, true
		e.Tokens.Output /= 3
	}
	e.FirstByteMS = 60 + int64(t.logNormal(meanWaitMS-60, 0.5))
	e.LatencyMS = e.FirstByteMS + int64(tokenMS*float64(e.Tokens.Output)*(0.6+0.8*t.random.Float64()))
	if !e.Streamed {
		e.FirstByteMS = e.LatencyMS
	}
	e.Served = usage.Tokens{Input: e.Tokens.Input, Output: e.Tokens.Output}
	e.CostUSD = t.prices[e.Model].Price.Cost(e.Tokens)
	return e
}

// answer lets the cache answer a call of so many tokens.
func (t *traffic) answer(e *usage.Event) {
	e.Cache, e.Provider = usage.CacheHit, ""
	e.LatencyMS = 1 + int64(t.logNormal(meanHitMS-1, 0.6))
	if t.random.Float64() < sharing {
		e.Cache = usage.CacheCoalesced
		e.LatencyMS += int64(t.logNormal(meanWaitMS, 0.5)) // for the call that it shares
	}
	e.FirstByteMS = e.LatencyMS
	e.SavedUSD = t.prices[e.Model].Price.Cost(e.Tokens)
	e.Served = usage.Tokens{Input: e.Tokens.Input, Output: e.Tokens.Output}
	billed := int64(t.policy.BilledPercent)
	e.Tokens = usage.Tokens{Input: e.Served.Input * billed / 100, Output: e.Served.Output * billed / 100}
}

// id is a UUIDv7 of the instant (RFC 9562 §5.7) with drawn bits behind it.
func (t *traffic) id(at time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|uint64(t.random.Uint32N(1<<12))|7<<12)
	binary.BigEndian.PutUint64(id[8:], t.random.Uint64()&^(3<<62)|1<<63)
	return id
}

// key chooses the key of a call, mostly the first, never one that was not there yet.
func (t *traffic) key(keys []Key, at time.Time) int {
	for i := len(keys) - 1; i > 0; i-- {
		if !keys[i].CreatedAt.After(at) && t.random.Float64() < 0.3 {
			return i
		}
	}
	return 0
}

// logNormal draws around a mean, skewed to the right as sizes and waits are.
func (t *traffic) logNormal(mean, sigma float64) float64 {
	return mean * math.Exp(sigma*t.random.NormFloat64()-sigma*sigma/2)
}

// poisson draws a number of calls by Knuth's product; an hour's mean is small.
func (t *traffic) poisson(mean float64) int {
	limit, product, n := math.Exp(-min(mean, 500)), t.random.Float64(), 0
	for product > limit {
		product *= t.random.Float64()
		n++
	}
	return n
}
