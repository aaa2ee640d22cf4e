package alert

import (
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Topic is what a customer's settings choose about: a metric, and for whom. With a key it is that key alone.
type Topic struct {
	Audience Audience
	Metric   Metric
	KeyID    int64
}

// Topics are what the settings of an audience offer, in the order in which people read them: what concerns one customer.
func Topics(a Audience) []Topic {
	var topics []Topic
	for _, k := range Kinds() {
		if slices.Contains(k.Scopes, Tenant) && slices.Contains(k.Audiences, a) && (a == Operator || k.Metric != LatencyP95) {
			topics = append(topics, Topic{Audience: a, Metric: k.Metric})
		}
	}
	return topics
}

// Setting is what is decided for a topic, and by whom.
type Setting struct {
	Topic
	Rules []Rule // of the closest scope, switched off or not; empty: nothing watches it
	Own   bool   // they were made for this customer, or for its key
}

// Enabled tells whether anything is told about the topic.
func (s Setting) Enabled() bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.Enabled })
}

// Deciding is what the rules decide about a topic for what they cover. A key without a rule of its own has its customer's.
func Deciding(rules []Rule, c Covered, t Topic) Setting {
	s, c := Setting{Topic: t}, Covered{PlanID: c.PlanID, TenantID: c.TenantID, KeyID: t.KeyID}
	closest := -1
	for i := range rules {
		r := &rules[i]
		if r.Audience != t.Audience || r.Metric != t.Metric || !r.covers(c) {
			continue
		}
		if near := r.Scope.closeness(); near > closest {
			closest, s.Rules = near, nil
		}
		if r.Scope.closeness() == closest {
			s.Rules = append(s.Rules, *r)
		}
	}
	if len(s.Rules) > 0 {
		s.Own = s.Rules[0].Scope == Tenant && t.KeyID == 0 || s.Rules[0].Scope == Key
	}
	slices.SortFunc(s.Rules, func(a, b Rule) int { return int(a.ID - b.ID) })
	return s
}

// Draft is the rule that a customer's own setting of the topic begins with: its own one, or what decides now as one for that
// customer alone, or what is usual. To whom else a wider rule speaks, it leaves out: those addresses are not the customer's.
func (s Setting) Draft() Rule {
	kind, _ := s.Metric.Kind()
	r := Rule{Unit: kind.Units[0], Thresholds: slices.Clone(kind.Usual), Window: kind.Window, Rearm: 60, LastAtOnce: true, To: Recipients{Language: i18n.PtBR}}
	if len(s.Rules) > 0 {
		at := max(0, slices.IndexFunc(s.Rules, func(r Rule) bool { return r.Enabled }))
		r = s.Rules[at]
	}
	if !s.Own {
		r.ID, r.Name, r.PlanID, r.UpdatedAt = 0, "", 0, time.Time{}
		r.To.Roles, r.To.Channels = slices.Clone(r.To.Roles), nil
		if s.Audience == Customer {
			r.To.Addresses, r.Escalation = nil, nil
		}
		if len(r.To.Roles) == 0 && !r.To.Contacts && len(r.To.Addresses) == 0 {
			r.To.Roles = []tenancy.Role{tenancy.TenantAdmin}
			if s.Audience == Operator {
				r.To.Roles = []tenancy.Role{tenancy.Owner, tenancy.Manager}
			}
		}
	}
	r.Audience, r.Metric, r.Scope, r.KeyID = s.Audience, s.Metric, Tenant, s.KeyID
	if s.KeyID != 0 {
		r.Scope = Key
	}
	return r
}

// Mailing is how a customer is written to.
type Mailing struct {
	Company  string
	Email    string // of the company; may be empty
	Language i18n.Lang
	Silent   []Silenced
}

// Silenced is an address that asked for no more e-mail about a metric; "" is every one.
type Silenced struct {
	Address string
	Metric  Metric
	At      time.Time
}

// Subscribed is what a link at the end of an e-mail may end, and what of it has ended already.
type Subscribed struct {
	Company       string
	Metric, Whole bool // no e-mail about its metric, or about anything
}
