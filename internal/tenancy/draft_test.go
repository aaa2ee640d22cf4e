package tenancy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
)

// rejectedFields names the fields that err rejects, in order.
func rejectedFields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		t.Fatalf("%v is not a rejected form", err)
	}
	var names []string
	for _, field := range f.Fields {
		names = append(names, field.Name)
	}
	return names
}

func goodPlan() PlanDraft {
	return PlanDraft{Slug: "ouro", Name: "Ouro", Terms: Terms{
		Price: 99_900_000, InputTokens: 1_000_000, OutputTokens: 500_000, Overage: Charge, OveragePrice: 100,
	}}
}

func TestPlanDraftRejectsWhatCannotBeSold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*PlanDraft)
		want   []string
	}{
		"a good one":                {func(*PlanDraft) {}, nil},
		"free, and blocking":        {func(d *PlanDraft) { d.Terms = Terms{Overage: Block} }, nil},
		"no name":                   {func(d *PlanDraft) { d.Name = "  " }, []string{"name"}},
		"80 letters":                {func(d *PlanDraft) { d.Name = strings.Repeat("ç", 80) }, nil},
		"81 letters":                {func(d *PlanDraft) { d.Name = strings.Repeat("ç", 81) }, []string{"name"}},
		"slug with accents":         {func(d *PlanDraft) { d.Slug = "básico" }, []string{"slug"}},
		"slug with a double hyphen": {func(d *PlanDraft) { d.Slug = "a--b" }, []string{"slug"}},
		"slug with a newline":       {func(d *PlanDraft) { d.Slug = "a\nb" }, []string{"slug"}},
		"no slug":                   {func(d *PlanDraft) { d.Slug = "" }, []string{"slug"}},
		"long description":          {func(d *PlanDraft) { d.Description = strings.Repeat("x", 301) }, []string{"description"}},
		"negative price":            {func(d *PlanDraft) { d.Terms.Price = -1 }, []string{"price"}},
		"price beyond reason":       {func(d *PlanDraft) { d.Terms.Price = 10_000_001 * money.Unit }, []string{"price"}},
		"negative tokens":           {func(d *PlanDraft) { d.Terms.InputTokens, d.Terms.OutputTokens = -1, -1 }, []string{"input_tokens", "output_tokens"}},
		"tokens beyond reason":      {func(d *PlanDraft) { d.Terms.InputTokens = MaxTokens + 1 }, []string{"input_tokens"}},
		"unknown overage":           {func(d *PlanDraft) { d.Terms.Overage = "maybe" }, []string{"overage"}},
		"charging nothing":          {func(d *PlanDraft) { d.Terms.OveragePrice = 0 }, []string{"overage_price"}},
		"negative limits": {func(d *PlanDraft) {
			d.Terms.RequestsPerMinute, d.Terms.TokensPerMinute, d.Terms.ParallelCalls = -1, -1, -1
		}, []string{"rpm", "tpm", "parallel"}},
		"everything wrong, told at once": {func(d *PlanDraft) { *d = PlanDraft{Terms: Terms{Price: -1, Overage: Block}} }, []string{"name", "slug", "price"}},
	} {
		d := goodPlan()
		c.change(&d)
		if got := rejectedFields(t, d.Validate()); !slices.Equal(got, c.want) {
			t.Errorf("%s: rejected %v, want %v", name, got, c.want)
		}
	}
}

func TestTenantDraftNormalisesAndRejects(t *testing.T) {
	good := func() TenantDraft {
		return TenantDraft{Name: " Padaria ", Email: "a@b.com.br", TaxID: "11.222.333/0001-81", TimeZone: "America/Sao_Paulo", BillingDay: 31, PlanID: 1}
	}
	for name, c := range map[string]struct {
		change func(*TenantDraft)
		want   []string
	}{
		"a good one":         {func(*TenantDraft) {}, nil},
		"the least":          {func(d *TenantDraft) { d.Email, d.TaxID, d.BillingDay = "", "", 1 }, nil},
		"no name":            {func(d *TenantDraft) { d.Name = "\t" }, []string{"name"}},
		"long name":          {func(d *TenantDraft) { d.Name = strings.Repeat("ã", 121) }, []string{"name"}},
		"e-mail in brackets": {func(d *TenantDraft) { d.Email = "A <a@b.com>" }, []string{"email"}},
		"e-mail with header": {func(d *TenantDraft) { d.Email = "a@b.com\r\nBcc: c@d.com" }, []string{"email"}},
		"wrong tax id":       {func(d *TenantDraft) { d.TaxID = "11.222.333/0001-80" }, []string{"tax_id"}},
		"unknown zone":       {func(d *TenantDraft) { d.TimeZone = "Brasil/Centro" }, []string{"time_zone"}},
		"the server's zone":  {func(d *TenantDraft) { d.TimeZone = "Local" }, []string{"time_zone"}},
		"no zone":            {func(d *TenantDraft) { d.TimeZone = "" }, []string{"time_zone"}},
		"day 0":              {func(d *TenantDraft) { d.BillingDay = 0 }, []string{"billing_day"}},
		"day 32":             {func(d *TenantDraft) { d.BillingDay = 32 }, []string{"billing_day"}},
		"no plan":            {func(d *TenantDraft) { d.PlanID = 0 }, []string{"plan"}},
	} {
		d := good()
		c.change(&d)
		if got := rejectedFields(t, d.Validate()); !slices.Equal(got, c.want) {
			t.Errorf("%s: rejected %v, want %v", name, got, c.want)
		}
	}
	d := good()
	if err := d.Validate(); err != nil || d.Name != "Padaria" || d.TaxID != "11222333000181" {
		t.Fatalf("%+v, %v", d, err)
	}
}

func TestKeyDraftRejectsWhatNeverWorks(t *testing.T) {
	now := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	at := func(t time.Time) *time.Time { return &t }
	for name, c := range map[string]struct {
		d    KeyDraft
		want []string
	}{
		"a good one":           {KeyDraft{TenantID: 1, Name: " site ", ExpiresAt: at(now.Add(time.Second))}, nil},
		"expires now":          {KeyDraft{TenantID: 1, Name: "site", ExpiresAt: &now}, []string{"expires_at"}},
		"expired":              {KeyDraft{TenantID: 1, Name: "site", ExpiresAt: at(now.Add(-time.Hour))}, []string{"expires_at"}},
		"no tenant, no name":   {KeyDraft{}, []string{"tenant", "name"}},
		"a name of 81 letters": {KeyDraft{TenantID: 1, Name: strings.Repeat("é", 81)}, []string{"name"}},
	} {
		if got := rejectedFields(t, c.d.Validate(now)); !slices.Equal(got, c.want) {
			t.Errorf("%s: rejected %v, want %v", name, got, c.want)
		}
	}
}

func TestKeyStateAtTheEdge(t *testing.T) {
	now := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	k := Key{ExpiresAt: &now}
	if k.State(now.Add(-time.Nanosecond)) != KeyActive || k.State(now) != KeyExpired {
		t.Fatal("a key works up to its expiry and not at it")
	}
	k.RevokedAt = &now
	if k.State(now.Add(-time.Hour)) != KeyRevoked {
		t.Fatal("revoked comes before all")
	}
}

func TestSecretsAreDistinctAndHideThemselves(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if a == b || a.Hash() == b.Hash() || !strings.HasPrefix(a.Reveal(), KeyPrefix) || len(a.Reveal()) != len(KeyPrefix)+secretLength {
		t.Fatalf("%d and %d characters", len(a.Reveal()), len(b.Reveal()))
	}
	if strings.Contains(a.String(), a.Reveal()[len(KeyPrefix)+3:len(a.Reveal())-5]) {
		t.Fatal("printing a secret tells it")
	}
}

func TestTermsCompare(t *testing.T) {
	a := goodPlan().Terms
	a.AllowedModels = []string{"x", "y"}
	b := a
	b.AllowedModels = []string{"y", "x"}
	if !a.Equal(b) {
		t.Error("the order of models makes a difference")
	}
	b.ParallelCalls = 3
	if a.Equal(b) {
		t.Error("a limit makes no difference")
	}
	for name, c := range map[string]struct {
		in, out int64
		smaller bool
	}{"same": {a.InputTokens, a.OutputTokens, false}, "less input": {1, a.OutputTokens * 2, true}, "less output": {a.InputTokens * 2, 1, true}} {
		if got := (Terms{InputTokens: c.in, OutputTokens: c.out}).Smaller(a); got != c.smaller {
			t.Errorf("%s: smaller %t", name, got)
		}
	}
}
