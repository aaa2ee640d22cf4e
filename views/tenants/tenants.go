// Package tenants draws the pages about customers: the list, one customer with its tabs, its form, and a change of plan.
package tenants

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/keys"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/plans"
	"github.com/fila-ia/filaia/views/refusals"
	"github.com/fila-ia/filaia/views/ui"
)

// State is a word for a tenant.
type State string

// The states of a tenant.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Closed    State = "closed"
)

func (s State) tone() ui.Tone {
	switch s {
	case Active:
		return ui.OK
	case Suspended:
		return ui.Warn
	}
	return ui.Neutral
}

// Tenant is a customer as these pages show it.
type Tenant struct {
	ID         string
	Name       string
	Email      string
	TaxID      string // with punctuation
	TimeZone   string // as the form's choice names it
	Language   string // that its address is written to in
	BillingDay int
	State      State
	CreatedAt  time.Time
	LastCallAt time.Time // zero: never

	PlanID      string
	PlanName    string
	PlanVersion int
	Newest      int // newest version of the plan
	NextPlan    string
	NextVersion int
	Keys        int
	Rates       plans.Rates // of all its keys together
	Allowance   Allowance
}

func (t Tenant) href() string { return "/tenants/" + t.ID }

func (t Tenant) open() bool { return t.State != Closed }

// Allowance is what the current period includes and what was used of it.
type Allowance struct {
	Name                   string // of the key whose own plan it is; "" for the tenant's
	Plan                   string
	UsedIn, LimitIn        int64
	UsedOut, LimitOut      int64
	Start, End             time.Time
	Blocks                 bool
	Price, Charge, Overage money.Micros // of the period; of the excess so far; a token above
	Capped, CapReached     bool         // what is charged has an end; and it has come
	Cap                    money.Micros // that end
}

// fuller is the kind of token nearer to its limit, which is the one to look at in a list.
func (a Allowance) fuller(p i18n.Printer) ui.QuotaModel {
	in, out := a.input(p), a.output(p)
	if float64(in.Used)*float64(max(out.Limit, 1)) >= float64(out.Used)*float64(max(in.Limit, 1)) {
		return in
	}
	return out
}

func (a Allowance) input(p i18n.Printer) ui.QuotaModel {
	return ui.QuotaModel{Label: p.T("tenants.quota.input"), Used: a.UsedIn, Limit: a.LimitIn, Charged: !a.Blocks}
}

func (a Allowance) output(p i18n.Printer) ui.QuotaModel {
	return ui.QuotaModel{Label: p.T("tenants.quota.output"), Used: a.UsedOut, Limit: a.LimitOut, Charged: !a.Blocks}
}

func (a Allowance) above(p i18n.Printer) string {
	if a.Blocks {
		return p.T("plans.above.block")
	}
	return p.T("plans.above.charge", "price", p.Price(int64(a.Overage), string(money.BRL)))
}

func brl(p i18n.Printer, m money.Micros) string { return p.Money(int64(m), string(money.BRL)) }

// ListModel is the page of all customers.
type ListModel struct {
	Frame   layout.Model
	Table   ui.TableModel
	Rows    []Tenant
	MayEdit bool
	Now     time.Time
}

// ShowModel is what every tab of one customer shows.
type ShowModel struct {
	Frame   layout.Model
	Tenant  Tenant
	MayEdit bool
	Now     time.Time
	Tab     Tab
}

// Tab is one view of a customer.
type Tab string

// The tabs, in order.
const (
	Overview Tab = "overview"
	Keys     Tab = "keys"
	Usage    Tab = "usage"
	Refusals Tab = "refusals"
	Alerts   Tab = "alerts"
	Details  Tab = "details"
)

func (m ShowModel) tabs() []ui.Tab {
	p, base := m.Frame.Printer, m.Tenant.href()
	tabs := []ui.Tab{
		{Label: p.T("tenants.tab.overview"), Href: base},
		{Label: p.T("tenants.tab.keys"), Href: base + "/keys"},
		{Label: p.T("tenants.tab.usage"), Href: base + "?tab=usage"},
		{Label: p.T("tenants.tab.refusals"), Href: base + "/refusals"},
		{Label: p.T("tenant_alerts.tab"), Href: base + "/alerts"},
		{Label: p.T("tenants.tab.details"), Href: base + "/details"},
	}
	for i, tab := range []Tab{Overview, Keys, Usage, Refusals, Alerts, Details} {
		tabs[i].Active = tab == m.Tab
	}
	return tabs
}

// OverviewModel is the first tab.
type OverviewModel struct {
	ShowModel
	Own []Allowance // keys with a plan of their own
}

// KeysModel is the tab of keys.
type KeysModel struct {
	ShowModel
	List keys.ListModel
}

// UsageModel is the tab of use: what this period came to.
type UsageModel struct {
	ShowModel
	Days               bool // thirty days rather than today
	Requests, Failures int64
	CallerErrors       int64 // calls that the customer spoiled itself, which are no failures
}

// RefusalsModel is the tab of refused calls.
type RefusalsModel struct {
	ShowModel
	List refusals.List
}

// FormModel is the page to add or edit a customer. Values are as typed.
type FormModel struct {
	Frame  layout.Model
	ID     string
	Name   string
	Values map[string]string
	Zones  []ui.Option
	Plans  []ui.Option
	Errors map[string]string
	Error  string
}

func (m FormModel) action() string {
	if m.ID == "" {
		return "/tenants"
	}
	return "/tenants/" + m.ID
}

func (m FormModel) cancel() string {
	if m.ID == "" {
		return "/tenants"
	}
	return m.action() + "/details"
}

// TaxID is the field for a CNPJ or CPF, which is checked as it is left.
type TaxID struct {
	Value string
	Error string
	Kind  string // "cnpj" or "cpf" when it is right
}

// ChangeModel is the page to change a customer's plan.
type ChangeModel struct {
	Frame   layout.Model
	Tenant  Tenant
	Plans   []ui.Option
	Chosen  string
	Error   string
	Preview Change
}

// Change is what a change of plan comes to.
type Change struct {
	Known    bool
	Same     bool
	Waits    bool // for the end of the period
	UsedMore bool // because more was used than the new plan includes
	At       time.Time
	Plan     string
	Version  int
	Price    money.Micros
	LimitIn  int64
	LimitOut int64
}
