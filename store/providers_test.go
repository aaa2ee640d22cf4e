package store

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func providerDraft(slug string) tenancy.ProviderDraft {
	return tenancy.ProviderDraft{Slug: slug, Name: "Casa " + slug, Kind: tenancy.CompatibleProvider, BaseURL: "https://" + slug + ".example/v1/",
		Credential: []byte("sealed-" + slug), Hint: "…aB3x", Active: true, Limits: tenancy.DefaultProviderLimits()}
}

func (o *office) provider(slug string) tenancy.Provider {
	o.t.Helper()
	p, err := o.CreateProvider(o.ctx, providerDraft(slug))
	o.must(err)
	return p
}

// house is the provider that comes with the product.
func (o *office) house() tenancy.Provider {
	o.t.Helper()
	p, err := o.ProviderBySlug(o.ctx, "openai")
	o.must(err)
	return p
}

func TestAProviderIsKeptAsGiven(t *testing.T) {
	o := openOffice(t)
	d := providerDraft("azure-br")
	d.Kind, d.APIVersion = tenancy.AzureProvider, "2024-10-21"
	d.Limits = tenancy.ProviderLimits{
		Connect: 1001 * time.Millisecond, FirstByte: 2002 * time.Millisecond, Idle: 3003 * time.Millisecond, Total: 4004 * time.Millisecond,
		Retries: 5, Hedge: 6006 * time.Millisecond, MaxParallel: 7, MaxWaiting: 8, MaxWait: 9009 * time.Millisecond,
		BreakerFailurePercent: 10, BreakerMinCalls: 11, BreakerWindow: 12 * time.Second, BreakerSlow: 13 * time.Second, BreakerOpen: 14 * time.Second,
	}
	made, err := o.CreateProvider(o.ctx, d)
	o.must(err)
	read, err := o.Provider(o.ctx, made.ID)
	o.must(err)
	if read.Slug != "azure-br" || read.Name != "Casa azure-br" || read.Kind != tenancy.AzureProvider || read.BaseURL != "https://azure-br.example/v1" ||
		read.APIVersion != "2024-10-21" || string(read.Credential) != "sealed-azure-br" || read.CredentialHint != "…aB3x" || read.FromEnvironment ||
		!read.Active || read.Limits != d.Limits || !read.CreatedAt.Equal(o.at) {
		t.Fatalf("%+v", read)
	}
	all, err := o.Providers(o.ctx)
	o.must(err)
	if len(all) != 2 || all[0].Slug != "azure-br" || all[1].Slug != "openai" || !all[1].FromEnvironment || all[1].Limits != tenancy.DefaultProviderLimits() {
		t.Fatalf("%+v", all)
	}
	if o.audited("provider.create", providerSubject(made.ID)) != 1 {
		t.Fatal("not in the audit log")
	}
	_, err = o.Provider(o.ctx, 999)
	o.refused(err, fault.NotFound, providerMissing)
	_, err = o.ProviderBySlug(o.ctx, "nope")
	o.refused(err, fault.NotFound, providerMissing)
}

func TestATakenProviderSlugIsRefusedBesideItsField(t *testing.T) {
	o := openOffice(t)
	o.provider("casa")
	_, err := o.CreateProvider(o.ctx, providerDraft("casa"))
	o.refused(err, fault.Conflict, "providers.error.slug_taken")
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'provider.create'`); n != 1 {
		t.Fatalf("%d providers in the audit log, want 1", n)
	}
	o.oneWins(together(5, func() error {
		_, err := o.CreateProvider(o.ctx, providerDraft("outra"))
		return err
	}))
}

func TestEditingAProviderKeepsSlugAndCredentialUnlessAnotherIsGiven(t *testing.T) {
	o := openOffice(t)
	made := o.provider("casa")
	edit := providerDraft("outro-slug")
	edit.Slug = "" // a form need not send what never changes
	edit.Name, edit.BaseURL, edit.Active, edit.Credential, edit.Hint = "Novo", "http://127.0.0.1:9/v1", false, nil, ""
	edit.Limits.MaxParallel = 3
	o.must(o.UpdateProvider(o.ctx, made.ID, edit))
	read, err := o.Provider(o.ctx, made.ID)
	o.must(err)
	if read.Slug != "casa" || read.Name != "Novo" || read.Active || read.BaseURL != "http://127.0.0.1:9/v1" || read.Limits.MaxParallel != 3 ||
		string(read.Credential) != "sealed-casa" || read.CredentialHint != "…aB3x" {
		t.Fatalf("%+v", read)
	}
	edit.Credential, edit.Hint = []byte("another"), "…zzzz"
	o.must(o.UpdateProvider(o.ctx, made.ID, edit))
	if read, _ = o.Provider(o.ctx, made.ID); string(read.Credential) != "another" || read.CredentialHint != "…zzzz" {
		t.Fatalf("%+v", read)
	}
	edit.Credential = []byte{}
	o.must(o.UpdateProvider(o.ctx, made.ID, edit))
	if read, _ = o.Provider(o.ctx, made.ID); read.Credential != nil || read.CredentialHint != "" {
		t.Fatalf("an empty credential takes it away: %+v", read)
	}
	edit.BaseURL = ""
	o.refused(o.UpdateProvider(o.ctx, made.ID, edit), fault.Invalid, "providers.error.base_url")
	o.refused(o.UpdateProvider(o.ctx, 999, edit), fault.NotFound, providerMissing)
}

func TestOnlyTheProviderFromTheEnvironmentMayLackAnAddress(t *testing.T) {
	o := openOffice(t)
	d := providerDraft("x")
	d.BaseURL, d.Credential = "", nil
	o.must(o.UpdateProvider(o.ctx, o.house().ID, d))
	if house := o.house(); house.BaseURL != "" || house.Name != "Casa x" || house.Credential != nil {
		t.Fatalf("%+v", house)
	}
	_, err := o.CreateProvider(o.ctx, d)
	o.refused(err, fault.Invalid, "providers.error.base_url")
}

func TestACredentialNeverEntersTheAuditLog(t *testing.T) {
	o := openOffice(t)
	made := o.provider("casa")
	edit := providerDraft("casa")
	edit.Credential, edit.Hint = []byte("another-sealed"), "…H1nT"
	o.must(o.UpdateProvider(o.ctx, made.ID, edit))
	edit.Credential = nil
	o.must(o.UpdateProvider(o.ctx, made.ID, edit))
	var log []string
	o.must(o.db.Select(&log, `SELECT details::text FROM audit_log WHERE subject = $1 ORDER BY id`, providerSubject(made.ID)))
	for i, changed := range []string{"true", "true", "false"} {
		if !strings.Contains(log[i], `"credential_changed": `+changed) {
			t.Errorf("entry %d: %s", i, log[i])
		}
		for _, secret := range []string{"sealed", "c2VhbGVk", "H1nT", "aB3x"} {
			if bytes.Contains([]byte(log[i]), []byte(secret)) {
				t.Errorf("entry %d holds %q: %s", i, secret, log[i])
			}
		}
	}
}

func TestAProviderIsDeletedOnlyWhenNoRoutePointsToIt(t *testing.T) {
	o := openOffice(t)
	made := o.provider("casa")
	o.must(o.CreateModel(o.ctx, modelDraft("llama", made.ID), usd(1, 2)))
	o.must(o.SetPrice(o.ctx, "llama", tenancy.Price{ProviderID: made.ID, Input: 5}))
	o.must(o.ForceBreaker(o.ctx, made.ID, "", "forced_open"))
	o.refused(o.DeleteProvider(o.ctx, made.ID), fault.Conflict, "providers.error.in_use")
	if prices, err := o.Prices(o.ctx, "llama"); err != nil || len(prices) != 2 {
		t.Fatalf("a refused delete took prices away: %v %v", prices, err)
	}
	without := modelDraft("llama", made.ID)
	without.Routes = nil
	o.must(o.UpdateModel(o.ctx, "llama", without))
	o.must(o.DeleteProvider(o.ctx, made.ID))
	_, err := o.Provider(o.ctx, made.ID)
	o.refused(err, fault.NotFound, providerMissing)
	if o.audited("provider.delete", providerSubject(made.ID)) != 1 {
		t.Fatal("not in the audit log")
	}
	o.refused(o.DeleteProvider(o.ctx, made.ID), fault.NotFound, providerMissing)
	o.refused(o.DeleteProvider(o.ctx, o.house().ID), fault.Conflict, "providers.error.from_environment")
}
