package alert

import "github.com/fila-ia/filaia/internal/tenancy"

// RuleQuery is what the page of rules was asked for. Empty fields mean all.
type RuleQuery struct {
	tenancy.ListQuery
	Audience Audience
	Scope    Scope
	Metrics  []Metric
}

// Listed is a rule among others.
type Listed struct {
	Rule
	Instead Instead // who has rules of their own in place of this one
	Nearer  bool    // it holds in place of a wider one
}

// Instead counts what a rule covers and does not decide, because there are closer rules for its metric.
type Instead struct{ Plans, Tenants, Keys int }

// Any tells whether anything has a closer rule.
func (i Instead) Any() bool { return i.Plans+i.Tenants+i.Keys > 0 }

// OfPlan tells of a metric that counts what a plan includes or charges: a key has it only with a plan of its own.
func (m Metric) OfPlan() bool {
	kind, _ := m.Kind()
	return kind.Committed || m == Forecast
}

// Defaults are the rules that a new installation has (migrations/00009_alerts.sql).
func Defaults() []Rule {
	owner, manager := tenancy.Owner, tenancy.Manager
	team := Recipients{Roles: []tenancy.Role{owner, manager}}
	theirs := Recipients{Roles: []tenancy.Role{tenancy.TenantAdmin}, Contacts: true}
	rule := func(a Audience, m Metric, to Recipients, thresholds ...int64) Rule {
		kind, _ := m.Kind()
		to.Language = "pt-BR"
		return Rule{Audience: a, Scope: All, Metric: m, Unit: kind.Units[0], Thresholds: thresholds, Direction: Up, Window: kind.Window,
			Rearm: 60, Enabled: true, To: to, LastAtOnce: true}
	}
	rules := []Rule{
		rule(Customer, InputQuota, theirs, quarters...),
		rule(Customer, OutputQuota, theirs, quarters...),
		rule(Customer, Overage, theirs, 50*brl, 100*brl, 250*brl, 500*brl),
		rule(Customer, SpendCap, theirs, quarters...),
		rule(Customer, KeyAddress, Recipients{Roles: theirs.Roles}, 1),
		rule(Operator, InputQuota, team, quarters...),
		rule(Operator, OutputQuota, team, quarters...),
		rule(Operator, SpendCap, team, Whole), // a customer that stopped itself may want more
		rule(Operator, Forecast, team, 12_000),
		rule(Operator, ErrorRate, team, 500, 2000),
		rule(Operator, LatencyP95, team, 20_000),
		rule(Operator, BreakerOpen, team, 60, 600),
		rule(Operator, Provider429, team, 20, 200),
		rule(Operator, QueueAge, team, 600, 3600),
		rule(Operator, SpoolLag, team, 60, 600),
		rule(Operator, SuddenChange, team, 3*Whole),
		rule(Operator, RateStale, Recipients{Roles: []tenancy.Role{owner}}, 7, 30),
		rule(Operator, KeyUnused, team, 60),
	}
	for i := range rules {
		m := rules[i].Metric
		rules[i].Enabled = m != KeyUnused && m != KeyAddress
	}
	return rules
}
