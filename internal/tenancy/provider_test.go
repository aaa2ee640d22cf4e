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
	for address, fine := range map[string]bool{
		"http://169.254.169.254/latest": false, "http://[fe80::1%25eth0]/v1": false, "http://[::ffff:169.254.0.1]:80": false,
		"https://Metadata.Google.internal./v1": false, "http://2852039166": false, "http://0xA9FEA9FE/": false, "http://169.254.43518": false,
		"http://10.0.0.5:8000/v1": true, "http://127.0.0.1:11434/v1": true, "http://[::1]:8000": true, "http://192.168.0.9": true,
		"http://vllm.interno:8000/v1": true, "http://gpu-01/v1": true, "https://169.254.example.com": true,
	} {
		d := good()
		d.BaseURL = address
		if err := d.Validate(false); (err == nil) != fine {
			t.Errorf("%s: %v", address, err)
		}
	}
	empty := good()
	empty.BaseURL = ""
	if err := empty.Validate(true); err != nil {
		t.Errorf("from the environment: %v", err)
	}
}

func TestACredentialIsWhatAHeaderCarries(t *testing.T) {
	for key, fine := range map[string]bool{
		"sk-proj-abc_DEF.123": true, "~!": true, "": false, "sk-…aB3x": false, "sk a": false, "sk\nx": false, "sk\x00": false, "chavé": false, "a\x7f": false,
		strings.Repeat("k", 4097): false,
	} {
		if ValidCredential(key) != fine {
			t.Errorf("%.20q: %v", key, !fine)
		}
	}
}

func TestModelsAreNotNamedAsThePanelsPages(t *testing.T) {
	for name, fine := range map[string]bool{"new": false, "New": false, "RATE": false, "preview": false, "newer": true, "o1-preview": true, "acme/new": true} {
		d := ModelDraft{Name: name, MaxOutputTokens: 1}
		if ValidModelName(name) != fine || (d.Validate() == nil) != fine {
			t.Errorf("%s: %v, %v", name, ValidModelName(name), d.Validate())
		}
	}
}
