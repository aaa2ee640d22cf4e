package tenancy

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
	"unicode"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/usage"
)

// TenantStatus says whether a tenant's keys work.
type TenantStatus string

// The states of a tenant. Closed is final.
const (
	TenantActive    TenantStatus = "active"
	TenantSuspended TenantStatus = "suspended"
	TenantClosed    TenantStatus = "closed"
)

// Tenant is a customer.
type Tenant struct {
	ID         int64
	Name       string
	Email      string
	TaxID      string    // CNPJ or CPF, upper case, no punctuation; may be empty
	TimeZone   string    // IANA name
	Language   i18n.Lang // that its address is written to in
	BillingDay int       // 1..31; months that are shorter use their last day
	Status     TenantStatus
	Rates      Rates // of all its keys together, beside the plan's
	CreatedAt  time.Time

	SubscriptionID  int64
	PlanID          int64
	PlanName        string
	PlanVersion     int
	NewestVersion   int    // newest published version of the plan; above PlanVersion the tenant may move to it
	NextPlanName    string // plan from the next period on, empty when it stays
	NextPlanVersion int
	Keys            int // working keys
	LastCallAt      *time.Time
	Allowance       usage.Allowance // of the tenant's own plan, this period; zero for a closed tenant
}

// TenantDraft is what a form or the command line gives.
type TenantDraft struct {
	Name       string
	Email      string
	TaxID      string
	TimeZone   string
	Language   i18n.Lang // "": i18n.PtBR for a new tenant, as it is for one that is there
	BillingDay int
	PlanID     int64
	Rates      Rates
}

// Validate normalises the draft and tells every rejected field at once.
func (d *TenantDraft) Validate() error {
	d.Name, d.Email, d.TimeZone = Tidy(d.Name), strings.TrimSpace(d.Email), strings.TrimSpace(d.TimeZone)
	var f fault.Form
	f.Check(d.Name != "", "name", "error.required")
	f.Check(len([]rune(d.Name)) <= 120, "name", "error.too_long", "max", 120)
	f.Check(d.Email == "" || ValidEmail(d.Email), "email", "error.email", "value", d.Email)
	if taxID, ok := NormaliseTaxID(d.TaxID); ok {
		d.TaxID = taxID
	} else {
		f.Reject("tax_id", "error.tax_id", "value", d.TaxID)
	}
	_, err := time.LoadLocation(d.TimeZone)
	f.Check(err == nil && d.TimeZone != "" && d.TimeZone != "Local", "time_zone", "error.time_zone", "value", d.TimeZone)
	f.Check(d.Language == "" || slices.Contains(i18n.Langs(), d.Language), "language", "error.choice", "value", d.Language, "accepted", "pt-BR, en")
	f.Check(d.BillingDay >= 1 && d.BillingDay <= 31, "billing_day", "error.range", "min", 1, "max", 31)
	f.Check(d.PlanID > 0, "plan", "error.required")
	d.Rates.check(&f)
	return f.Err()
}

// ValidEmail tells whether text is one bare address with a dotted or local domain and no control characters, to which e-mail can
// be sent: its domain is a name, and neither part is longer than servers take.
func ValidEmail(text string) bool {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text || len(text) > 254 || strings.ContainsAny(text, "\r\n\t <>") {
		return false
	}
	at := strings.LastIndexByte(text, '@')
	domain, err := idna.Lookup.ToASCII(text[at+1:])
	return err == nil && domain != "" && at <= 64
}

func foldAccents(s string) string {
	t := transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	out, _, err := transform.String(t, s)
	if err != nil {
		return s
	}
	return out
}
