package alert

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// goodRule is one that is accepted as it is.
func goodRule() Rule {
	return Rule{
		Audience: Operator, Scope: All, Metric: InputQuota, Unit: Percent, Thresholds: []int64{5000, Whole}, Direction: Up, Enabled: true,
		To: Recipients{Roles: []tenancy.Role{tenancy.Owner}, Language: i18n.PtBR},
	}
}

// rejectedBy gives the rejected fields with the keys of what is wrong.
func rejectedBy(err error) map[string]string {
	fields := map[string]string{}
	var f *fault.Error
	if errors.As(err, &f) {
		for _, field := range f.Fields {
			fields[field.Name] = field.Key
		}
	}
	return fields
}

func TestValidateRejectsEveryBadField(t *testing.T) {
	minute := func(m Minute) *Minute { return &m }
	many := make([]string, MaxAddresses+1)
	for i := range many {
		many[i] = strings.Repeat("a", i+1) + "@empresa.com.br"
	}
	cases := map[string]struct {
		change     func(*Rule)
		field, key string
	}{
		"no metric":                       {func(r *Rule) { r.Metric = "" }, "metric", "error.choice"},
		"a metric that is none":           {func(r *Rule) { r.Metric = "drop table" }, "metric", "error.choice"},
		"a unit of another metric":        {func(r *Rule) { r.Unit = BRL }, "unit", "error.choice"},
		"the team's metric for customers": {func(r *Rule) { r.Metric, r.Unit, r.Audience, r.To.Roles = QueueAge, Seconds, Customer, nil }, "audience", "error.choice"},
		"no audience":                     {func(r *Rule) { r.Audience = "" }, "audience", "error.choice"},
		"a scope it does not have":        {func(r *Rule) { r.Metric, r.Window, r.Scope, r.TenantID, r.KeyID = ErrorRate, 10, Key, 1, 1 }, "scope", "error.choice"},
		"a plan's rule without a plan":    {func(r *Rule) { r.Scope = Plan }, "plan", "alerts.error.plan"},
		"a customer's without one":        {func(r *Rule) { r.Scope = Tenant }, "tenant", "alerts.error.tenant"},
		"a key's without a key":           {func(r *Rule) { r.Scope, r.TenantID = Key, 1 }, "key", "alerts.error.key"},
		"no thresholds":                   {func(r *Rule) { r.Thresholds = nil }, "thresholds", "alerts.error.thresholds"},
		"eleven thresholds":               {func(r *Rule) { r.Thresholds = []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} }, "thresholds", "alerts.error.thresholds"},
		"nothing as a threshold":          {func(r *Rule) { r.Thresholds = []int64{0, 5000} }, "thresholds", "alerts.error.threshold.percent"},
		"less than nothing":               {func(r *Rule) { r.Thresholds = []int64{-5000} }, "thresholds", "alerts.error.threshold.percent"},
		"more than ten times the plan":    {func(r *Rule) { r.Thresholds = []int64{10*Whole + 1} }, "thresholds", "alerts.error.threshold.percent"},
		"more errors than calls":          {func(r *Rule) { r.Metric, r.Window, r.Thresholds = ErrorRate, 10, []int64{Whole + 1} }, "thresholds", "alerts.error.threshold.percent"},
		"a cap that is never passed":      {func(r *Rule) { r.Metric, r.Thresholds = SpendCap, []int64{Whole + 1} }, "thresholds", "alerts.error.threshold.percent"},
		"less than a cent":                {func(r *Rule) { r.Metric, r.Unit, r.Thresholds = Overage, BRL, []int64{9999} }, "thresholds", "alerts.error.threshold.brl"},
		"no change at all":                {func(r *Rule) { r.Metric, r.Thresholds = SuddenChange, []int64{Whole} }, "thresholds", "alerts.error.change"},
		"less of what only grows":         {func(r *Rule) { r.Direction = Down }, "direction", "error.choice"},
		"no window where there is one":    {func(r *Rule) { r.Metric, r.Window = ErrorRate, 0 }, "window", "alerts.error.window"},
		"more than a day back":            {func(r *Rule) { r.Metric, r.Window = ErrorRate, MaxWindow+1 }, "window", "alerts.error.window"},
		"re-armed before it ended":        {func(r *Rule) { r.Rearm = -1 }, "rearm", "alerts.error.minutes"},
		"the wrong side's role":           {func(r *Rule) { r.To.Roles = []tenancy.Role{tenancy.TenantAdmin} }, "roles", "error.choice"},
		"a role that is none":             {func(r *Rule) { r.To.Roles = []tenancy.Role{"root"} }, "roles", "error.choice"},
		"the customer's address":          {func(r *Rule) { r.To.Contacts = true }, "contacts", "alerts.error.contacts"},
		"no address":                      {func(r *Rule) { r.To.Addresses = []string{"ana"} }, "addresses", "error.email"},
		"a second header":                 {func(r *Rule) { r.To.Addresses = []string{"ana@empresa.com.br\r\nBcc: x@y.z"} }, "addresses", "error.email"},
		"a name beside the address":       {func(r *Rule) { r.To.Addresses = []string{"Ana <ana@empresa.com.br>"} }, "addresses", "error.email"},
		"too many addresses":              {func(r *Rule) { r.To.Addresses = many }, "addresses", "alerts.error.addresses_many"},
		"an unknown language":             {func(r *Rule) { r.To.Language = "fr" }, "language", "error.choice"},
		"too many channels":               {func(r *Rule) { r.To.Channels = []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} }, "channels", "alerts.error.channels_many"},
		"nobody":                          {func(r *Rule) { r.To.Roles = nil }, "to", "alerts.error.nobody"},
		"silence all day":                 {func(r *Rule) { r.Quiet = &Quiet{60, 60} }, "quiet", "alerts.error.quiet_whole_day"},
		"a time that is none":             {func(r *Rule) { r.Quiet = &Quiet{60, 1440} }, "quiet", "alerts.error.time"},
		"a summary at no time":            {func(r *Rule) { r.DailyAt = minute(-1) }, "daily_at", "alerts.error.time"},
		"others at once":                  {func(r *Rule) { r.Escalation = &Escalation{After: 0, Roles: r.To.Roles} }, "escalate_after", "alerts.error.minutes"},
		"no others":                       {func(r *Rule) { r.Escalation = &Escalation{After: 5} }, "escalate_to", "alerts.error.nobody_escalated"},
		"others of the wrong side":        {func(r *Rule) { r.Escalation = &Escalation{After: 5, Roles: []tenancy.Role{tenancy.TenantViewer}} }, "escalate_roles", "error.choice"},
		"others without an address":       {func(r *Rule) { r.Escalation = &Escalation{After: 5, Addresses: []string{"@"}} }, "escalate_addresses", "error.email"},
		"a name without end":              {func(r *Rule) { r.Name = strings.Repeat("é", MaxName+1) }, "name", "error.too_long"},
		"an invisible name":               {func(r *Rule) { r.Name = "a\x00b" }, "name", "alerts.error.control"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := goodRule()
			c.change(&r)
			if got := rejectedBy(r.Validate()); got[c.field] != c.key {
				t.Fatalf("rejected %v, want %s: %s", got, c.field, c.key)
			}
		})
	}
}

func TestValidateTellsAllThatIsWrongAtOnce(t *testing.T) {
	r := goodRule()
	r.Thresholds, r.Scope, r.Direction, r.Rearm, r.To = nil, Plan, Both, -1, Recipients{Addresses: []string{"x"}}
	got := rejectedBy(r.Validate())
	for _, field := range []string{"thresholds", "plan", "direction", "rearm", "addresses"} {
		if got[field] == "" {
			t.Errorf("%s is not told: %v", field, got)
		}
	}
}

func TestValidatePutsInOrder(t *testing.T) {
	r := Rule{
		Name: "  Aviso \r\n do  Pro ", Audience: Customer, Scope: Plan, PlanID: 3, TenantID: 9, KeyID: 9, TenantName: "x", KeyName: "x", Metric: OutputQuota, Unit: Percent,
		Thresholds: []int64{Whole, 5000, 5000}, Window: 10, Enabled: true,
		To: Recipients{Roles: []tenancy.Role{tenancy.TenantViewer, tenancy.TenantAdmin, tenancy.TenantViewer}, Addresses: []string{" Ana@Empresa.com.br ", "ana@empresa.com.br", ""}},
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	want := Rule{
		Name: "Aviso do Pro", Audience: Customer, Scope: Plan, PlanID: 3, Metric: OutputQuota, Unit: Percent, Thresholds: []int64{5000, Whole}, Direction: Up, Enabled: true,
		To: Recipients{Roles: []tenancy.Role{tenancy.TenantAdmin, tenancy.TenantViewer}, Addresses: []string{"ana@empresa.com.br"}, Language: i18n.PtBR},
	}
	if !reflect.DeepEqual(r, want) {
		t.Fatalf("\n%+v, want\n%+v", r, want)
	}
}

func TestARuleThatIsOffNeedTellNobody(t *testing.T) {
	r := goodRule()
	r.Enabled, r.To.Roles = false, nil
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestCustomersChannelsAreForRulesOfOneCustomer(t *testing.T) {
	r := goodRule()
	r.Audience, r.To.Roles, r.To.Channels = Customer, nil, []int64{1}
	if got := rejectedBy(r.Validate()); got["channels"] != "alerts.error.channels_scope" {
		t.Fatalf("%v", got)
	}
	r.Scope, r.TenantID = Tenant, 4
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestTheUsualOfEveryMetricIsAccepted(t *testing.T) {
	for _, kind := range Kinds() {
		for _, audience := range kind.Audiences {
			r := Rule{Audience: audience, Scope: All, Metric: kind.Metric, Unit: kind.Units[0], Thresholds: kind.Usual, Window: kind.Window, Enabled: true,
				To: Recipients{Roles: RolesFor(audience)}}
			if err := r.Validate(); err != nil {
				t.Errorf("%s for %s: %v", kind.Metric, audience, err)
			}
		}
	}
	for _, r := range Defaults() {
		if err := r.Validate(); err != nil {
			t.Errorf("default rule of %s for %s: %v", r.Metric, r.Audience, err)
		}
	}
}

func TestWhatIsAcceptedOnceIsAcceptedAgainUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(Kinds()).Draw(t, "kind")
		r := Rule{
			Audience: rapid.SampledFrom(kind.Audiences).Draw(t, "audience"), Scope: rapid.SampledFrom(kind.Scopes).Draw(t, "scope"), PlanID: 1, TenantID: 2, KeyID: 3,
			Metric: kind.Metric, Unit: rapid.SampledFrom(kind.Units).Draw(t, "unit"), Window: rapid.IntRange(0, 2000).Draw(t, "window"), Enabled: rapid.Bool().Draw(t, "on"),
			Thresholds: rapid.SliceOfN(rapid.Int64Range(-1, 1_000_000), 0, 12).Draw(t, "thresholds"),
			To:         Recipients{Addresses: rapid.SliceOf(rapid.SampledFrom([]string{"a@b.com", " A@B.com", "c@d.br", "x"})).Draw(t, "to"), Channels: []int64{2, 1, 2}},
		}
		if r.Validate() != nil {
			return
		}
		if !slices.IsSorted(r.Thresholds) || len(r.Thresholds) == 0 || len(slices.Compact(slices.Clone(r.Thresholds))) != len(r.Thresholds) {
			t.Fatalf("thresholds %v", r.Thresholds)
		}
		again := r
		if err := again.Validate(); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, was %+v", err, again, r)
		}
	})
}
