package tenancy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProviderDraftsTellEveryRejectedField(t *testing.T) {
	good := func() *ProviderDraft {
		return &ProviderDraft{Slug: "azure-br", Name: " Azure Brasil ", Kind: AzureProvider, BaseURL: " https://casa.openai.azure.com/ ",
			APIVersion: "2024-10-21", Limits: DefaultProviderLimits()}
	}
	if d := good(); d.Validate(false) != nil || d.BaseURL != "https://casa.openai.azure.com" || d.Name != "Azure Brasil" {
		t.Fatalf("%+v: %v", d, d.Validate(false))
	}
	for name, c := range map[string]struct {
		change func(*ProviderDraft)
		want   []string
	}{
		"nothing filled in":       {func(d *ProviderDraft) { *d = ProviderDraft{Limits: d.Limits} }, []string{"name", "slug", "kind", "base_url"}},
		"an address of no scheme": {func(d *ProviderDraft) { d.BaseURL = "casa.example/v1" }, []string{"base_url"}},
		"another scheme":          {func(d *ProviderDraft) { d.BaseURL = "file:///etc/passwd" }, []string{"base_url"}},
		"a key in the address":    {func(d *ProviderDraft) { d.BaseURL = "https://user:key@casa.example" }, []string{"base_url"}},
		"a query":                 {func(d *ProviderDraft) { d.BaseURL = "https://casa.example?api-version=1" }, []string{"base_url"}},
		"more than a version":     {func(d *ProviderDraft) { d.APIVersion = "1&x=y" }, []string{"api_version"}},
		"a long name":             {func(d *ProviderDraft) { d.Name = strings.Repeat("á", 81) }, []string{"name"}},
		"no time to connect":      {func(d *ProviderDraft) { d.Limits.Connect = 0 }, []string{"connect"}},
		"no limits at all": {func(d *ProviderDraft) { d.Limits = ProviderLimits{} }, []string{"connect", "first_byte", "idle", "total", "max_wait",
			"breaker_window", "breaker_open", "breaker_failure_percent", "breaker_min_calls"}},
		"too much of it": {func(d *ProviderDraft) {
			d.Limits.Retries, d.Limits.MaxParallel, d.Limits.MaxWaiting, d.Limits.Hedge = 11, -1, 100_001, 2*time.Hour
		}, []string{"hedge", "retries", "max_parallel", "max_waiting"}},
	} {
		d := good()
		c.change(d)
		if got := rejectedFields(t, d.Validate(false)); !slices.Equal(got, c.want) {
			t.Errorf("%s: rejected %v, want %v", name, got, c.want)
		}
	}
	empty := good()
	empty.BaseURL = ""
	if err := empty.Validate(true); err != nil {
		t.Errorf("from the environment: %v", err)
	}
}
