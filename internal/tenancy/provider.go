package tenancy

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
)

// ProviderKind says how a provider is spoken to.
type ProviderKind string

// OpenAI and compatible houses take a bearer key and the model in the body; Azure takes an api-key header and a
// deployment in the path.
const (
	OpenAIProvider     ProviderKind = "openai"
	AzureProvider      ProviderKind = "azure"
	CompatibleProvider ProviderKind = "compatible"
)

// Provider is a house that answers calls.
type Provider struct {
	ID              int64
	Slug            string
	Name            string
	Kind            ProviderKind
	BaseURL         string // without a slash at the end; at Azure https://NAME.openai.azure.com
	APIVersion      string // Azure's; empty: its v1 API, which needs none
	Credential      []byte // sealed; nil: none
	CredentialHint  string // its last characters, to tell credentials apart
	FromEnvironment bool   // takes OPENAI_BASE_URL and OPENAI_API_KEY where it has none of its own
	Active          bool
	Limits          ProviderLimits
	CreatedAt       time.Time
}

// ProviderLimits is what the operator grants a provider before its calls go elsewhere or fail.
type ProviderLimits struct {
	Connect   time.Duration
	FirstByte time.Duration
	Idle      time.Duration // between two pieces of a stream
	Total     time.Duration // the whole call

	Retries int           // after the first attempt, over all routes
	Hedge   time.Duration // a second attempt elsewhere when the first has not answered by then; 0: never

	MaxParallel int // calls at once; 0: no cap
	MaxWaiting  int // calls that wait for a place
	MaxWait     time.Duration

	BreakerFailurePercent int
	BreakerMinCalls       int
	BreakerWindow         time.Duration
	BreakerSlow           time.Duration // a later first byte counts as a failure; 0: never
	BreakerOpen           time.Duration
}

// DefaultProviderLimits is what a new provider begins with.
func DefaultProviderLimits() ProviderLimits {
	return ProviderLimits{
		Connect: 10 * time.Second, FirstByte: 5 * time.Minute, Idle: 2 * time.Minute, Total: 10 * time.Minute,
		Retries: 2, MaxWaiting: 200, MaxWait: 10 * time.Second,
		BreakerFailurePercent: 50, BreakerMinCalls: 20, BreakerWindow: 30 * time.Second, BreakerSlow: time.Minute, BreakerOpen: 15 * time.Second,
	}
}

// ProviderDraft is what a form or the command line gives to make or edit a provider.
type ProviderDraft struct {
	Slug       string // fixed once made: the credential is sealed to it
	Name       string
	Kind       ProviderKind
	BaseURL    string
	APIVersion string
	Credential []byte // sealed; nil: keep the one that is there
	Hint       string // with Credential
	Active     bool
	Limits     ProviderLimits
}

// CredentialContext is what a provider's credential is sealed to: at another provider it does not open.
func CredentialContext(slug string) string { return "provider:" + slug }

// ValidCredential tells whether an HTTP header can carry the key: printable ASCII without spaces.
func ValidCredential(key string) bool {
	return key != "" && len(key) <= 4096 && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Validate normalises the draft and tells every rejected field at once. fromEnvironment allows an empty address.
func (d *ProviderDraft) Validate(fromEnvironment bool) error {
	d.Slug, d.Name, d.APIVersion = strings.TrimSpace(d.Slug), Tidy(d.Name), strings.TrimSpace(d.APIVersion)
	d.BaseURL = strings.TrimRight(strings.TrimSpace(d.BaseURL), "/")
	var f fault.Form
	f.Check(d.Name != "", "name", "error.required")
	f.Check(len([]rune(d.Name)) <= 80, "name", "error.too_long", "max", 80)
	f.Check(slugPattern.MatchString(d.Slug) && len(d.Slug) <= 60, "slug", "error.slug", "value", d.Slug)
	f.Check(d.Kind == OpenAIProvider || d.Kind == AzureProvider || d.Kind == CompatibleProvider, "kind", "error.choice",
		"value", string(d.Kind), "accepted", "openai, azure, compatible")
	f.Check(fromEnvironment && d.BaseURL == "" || validAddress(d.BaseURL), "base_url", "providers.error.base_url", "value", d.BaseURL)
	f.Check(!ofTheMachine(d.BaseURL), "base_url", "providers.error.machine_address", "value", d.BaseURL)
	f.Check(len(d.APIVersion) <= 40 && !strings.ContainsAny(d.APIVersion, " &?/#"), "api_version", "providers.error.api_version", "value", d.APIVersion)
	d.Limits.check(&f)
	return f.Err()
}

// validAddress tells whether text is an http or https URL without user, query and fragment.
func validAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		len(text) <= 300
}

// ofTheMachine tells whether an address leads, as written, to where clouds keep the credentials of their machines: a
// link-local address or the metadata service. Private addresses stay allowed: models run there.
func ofTheMachine(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimRight(u.Hostname(), "."))
	switch host {
	case "metadata", "metadata.goog", "metadata.google.internal", "instance-data", "100.100.100.200", "fd00:ec2::254":
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap().WithZone("")
		return ip.IsLinkLocalUnicast() || ip == netip.MustParseAddr("fd00:ec2::254")
	}
	// 2852039166, 0xa9fea9fe and 169.254.43518 are addresses to some resolvers.
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "")
}

func (l ProviderLimits) check(f *fault.Form) {
	seconds := func(name string, d, least, most time.Duration) {
		f.Check(d >= least && d <= most, name, "providers.error.duration", "min", least, "max", most)
	}
	seconds("connect", l.Connect, 100*time.Millisecond, time.Minute)
	seconds("first_byte", l.FirstByte, time.Second, time.Hour)
	seconds("idle", l.Idle, time.Second, time.Hour)
	seconds("total", l.Total, time.Second, time.Hour)
	seconds("hedge", l.Hedge, 0, time.Hour)
	seconds("max_wait", l.MaxWait, 100*time.Millisecond, 5*time.Minute)
	seconds("breaker_window", l.BreakerWindow, time.Second, time.Hour)
	seconds("breaker_slow", l.BreakerSlow, 0, time.Hour)
	seconds("breaker_open", l.BreakerOpen, time.Second, time.Hour)
	f.Check(l.Retries >= 0 && l.Retries <= 10, "retries", "error.range", "min", 0, "max", 10)
	f.Check(l.MaxParallel >= 0 && l.MaxParallel <= 100_000, "max_parallel", "error.range", "min", 0, "max", 100_000)
	f.Check(l.MaxWaiting >= 0 && l.MaxWaiting <= 100_000, "max_waiting", "error.range", "min", 0, "max", 100_000)
	f.Check(l.BreakerFailurePercent >= 1 && l.BreakerFailurePercent <= 100, "breaker_failure_percent", "error.range", "min", 1, "max", 100)
	f.Check(l.BreakerMinCalls >= 1 && l.BreakerMinCalls <= 1_000_000, "breaker_min_calls", "error.range", "min", 1, "max", 1_000_000)
}

// BreakerForce is what an operator decided about a breaker.
type BreakerForce struct {
	ProviderID int64
	Model      string // the provider's name of it; empty: all
	State      string // forced_open or forced_closed
	Actor      string
	At         time.Time
}

// BreakerChange is one line of a breaker's history.
type BreakerChange struct {
	At             time.Time
	Replica        string
	ProviderID     int64
	Provider       string // its name, where it was read from the database
	Model          string
	From, To       string
	Reason         string
	FailurePercent int
	Calls          int
}
