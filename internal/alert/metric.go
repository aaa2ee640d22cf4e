// Package alert knows which alert is due, whom it is told and when. It is pure: it reads no clock, no database and no
// network. The commit of usage and the watch (store) raise, internal/jobs delivers, pages and e-mails show.
package alert

import "slices"

// Metric is what a rule watches.
type Metric string

// The metrics. The first four are read in the transaction that commits usage, the others by the watch.
const (
	InputQuota   Metric = "input_quota"   // use of the plan's input tokens in a billing period
	OutputQuota  Metric = "output_quota"  // and of its output tokens
	Overage      Metric = "overage"       // what the period's calls were charged above the plan
	SpendCap     Metric = "spend_cap"     // the same, beside the customer's cap on it
	ProviderCost Metric = "provider_cost" // what the providers charge the operator in a day of the installation's zone
	ErrorRate    Metric = "error_rate"    // calls that failed in the window
	LatencyP95   Metric = "latency_p95"   // of the window's calls
	BreakerOpen  Metric = "breaker_open"  // since when a provider's model is not asked
	Provider429  Metric = "provider_429"  // refusals of a provider in the window
	QueueAge     Metric = "queue_age"     // of the oldest job that could have begun
	SpoolLag     Metric = "spool_lag"     // age of the oldest call that a replica has recorded and not committed
	SuddenChange Metric = "sudden_change" // tokens of the last full hour beside the same hour of the four weeks before
	Forecast     Metric = "forecast"      // where the use of a quota would stand at the period's end
	KeyUnused    Metric = "key_unused"    // days since a key's last call
	KeyAddress   Metric = "key_address"   // a key was used from an address it was never used from
	RateStale    Metric = "rate_stale"    // days since the newest exchange rate
)

// Unit is what thresholds and values count.
type Unit string

// The units. Percent is in hundredths of a percent: 5000 is 50 %.
const (
	Percent Unit = "percent"
	Tokens  Unit = "tokens"
	BRL     Unit = "brl" // micros
	USD     Unit = "usd" // micros
	Millis  Unit = "ms"
	Seconds Unit = "seconds"
	Days    Unit = "days"
	Count   Unit = "count"
)

// Whole is a hundred percent.
const Whole = 10_000

// Repeats says when what a rule has raised may be raised again for the same subject.
type Repeats uint8

// A billing period and a day arm anew by themselves; what comes and goes, when it has gone for the rule's time; what is raised
// once per cause (a last use, an address), with the next cause.
const (
	PerPeriod Repeats = iota
	PerDay
	PerEpisode
	PerCause
)

// Kind is what is known of a metric.
type Kind struct {
	Metric    Metric
	Units     []Unit // accepted, the usual one first
	Usual     []int64
	Audiences []Audience
	Scopes    []Scope
	Repeats   Repeats
	Committed bool // read where usage is committed; else by the watch
	Window    int  // minutes that it usually looks back; 0: it has no window
	Both      bool // may also watch for less than usual
}

var (
	everyone  = []Audience{Operator, Customer}
	team      = []Audience{Operator}
	anyScope  = []Scope{All, Plan, Tenant, Key}
	customers = []Scope{All, Plan, Tenant}
	whole     = []Scope{All}
	quarters  = []int64{5000, 8000, 9000, Whole}
	brl       = int64(1_000_000)
)

// Kinds are all metrics, in the order in which people choose them.
func Kinds() []Kind {
	return []Kind{
		{Metric: InputQuota, Units: []Unit{Percent, Tokens}, Usual: quarters, Audiences: everyone, Scopes: anyScope, Committed: true},
		{Metric: OutputQuota, Units: []Unit{Percent, Tokens}, Usual: quarters, Audiences: everyone, Scopes: anyScope, Committed: true},
		{Metric: Overage, Units: []Unit{BRL}, Usual: []int64{50 * brl, 100 * brl, 250 * brl, 500 * brl}, Audiences: everyone, Scopes: anyScope, Committed: true},
		{Metric: SpendCap, Units: []Unit{Percent}, Usual: quarters, Audiences: everyone, Scopes: anyScope, Committed: true},
		{Metric: Forecast, Units: []Unit{Percent}, Usual: []int64{Whole}, Audiences: everyone, Scopes: anyScope},
		{Metric: SuddenChange, Units: []Unit{Percent}, Usual: []int64{3 * Whole}, Audiences: everyone, Scopes: customers, Repeats: PerEpisode, Both: true},
		{Metric: ErrorRate, Units: []Unit{Percent}, Usual: []int64{500, 2000}, Audiences: everyone, Scopes: customers, Repeats: PerEpisode, Window: 10},
		{Metric: LatencyP95, Units: []Unit{Millis}, Usual: []int64{20_000}, Audiences: everyone, Scopes: customers, Repeats: PerEpisode, Window: 10},
		{Metric: KeyUnused, Units: []Unit{Days}, Usual: []int64{60}, Audiences: everyone, Scopes: anyScope, Repeats: PerCause},
		{Metric: KeyAddress, Units: []Unit{Count}, Usual: []int64{1}, Audiences: everyone, Scopes: anyScope, Repeats: PerCause},
		{Metric: ProviderCost, Units: []Unit{USD}, Usual: []int64{10 * brl, 50 * brl}, Audiences: team, Scopes: whole, Repeats: PerDay},
		{Metric: BreakerOpen, Units: []Unit{Seconds}, Usual: []int64{60, 600}, Audiences: team, Scopes: whole, Repeats: PerEpisode},
		{Metric: Provider429, Units: []Unit{Count}, Usual: []int64{20, 200}, Audiences: team, Scopes: whole, Repeats: PerEpisode, Window: 10},
		{Metric: QueueAge, Units: []Unit{Seconds}, Usual: []int64{600, 3600}, Audiences: team, Scopes: whole, Repeats: PerEpisode},
		{Metric: SpoolLag, Units: []Unit{Seconds}, Usual: []int64{60, 600}, Audiences: team, Scopes: whole, Repeats: PerEpisode},
		{Metric: RateStale, Units: []Unit{Days}, Usual: []int64{7, 30}, Audiences: team, Scopes: whole, Repeats: PerCause},
	}
}

// Kind tells what is known of the metric; false for one that does not exist.
func (m Metric) Kind() (Kind, bool) {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Metric == m })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}
