package alert

import (
	"cmp"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Audience is whom a rule speaks to: the team that runs the installation, or the customer.
type Audience string

// The audiences.
const (
	Operator Audience = "operator"
	Customer Audience = "customer"
)

// Scope is how much a rule covers.
type Scope string

// The scopes, from the widest to the closest.
const (
	All    Scope = "all"
	Plan   Scope = "plan"
	Tenant Scope = "tenant"
	Key    Scope = "key"
)

// closeness orders scopes: the closest decides.
func (s Scope) closeness() int { return slices.Index([]Scope{All, Plan, Tenant, Key}, s) }

// Direction is which way a change is watched.
type Direction string

// The directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
	Both Direction = "both"
)

// Minute is a minute of the day, 0 to 1439, in the reader's zone.
type Minute int16

// Rule says what is watched and who is told. The zero of an optional part is that it is not there.
type Rule struct {
	ID         int64
	Name       string // empty: it is called by what it says
	Audience   Audience
	Scope      Scope
	PlanID     int64
	TenantID   int64 // with Tenant and Key
	KeyID      int64
	Metric     Metric
	Unit       Unit
	Thresholds []int64 // ascending, at least one
	Direction  Direction
	Window     int  // minutes
	Rearm      int  // minutes that something must be gone before it is raised again
	Enabled    bool // false: nothing is told of what it covers, not even by wider rules

	To         Recipients
	Quiet      *Quiet  // nil: never
	DailyAt    *Minute // nil: at once; else collected in one message a day
	LastAtOnce bool    // the highest threshold waits for neither
	Escalation *Escalation

	PlanName, TenantName, KeyName string // for people
	CreatedAt, UpdatedAt          time.Time
	DeletedAt                     time.Time // zero: it holds
}

// Recipients is who is told, and on which ways besides e-mail.
type Recipients struct {
	Roles     []tenancy.Role // of the team, or of the customer's users
	Contacts  bool           // the customer's e-mail address
	Addresses []string
	Language  i18n.Lang // of Addresses
	Channels  []int64
}

// Quiet is the time of day in which nothing is sent; it may go over midnight.
type Quiet struct{ From, Until Minute }

// Escalation tells others when nobody has acknowledged an alert.
type Escalation struct {
	After     int // minutes
	Roles     []tenancy.Role
	Addresses []string
}

// Covered is what a rule may cover.
type Covered struct{ PlanID, TenantID, KeyID int64 }

// covers tells whether the rule's scope holds the subject.
func (r *Rule) covers(c Covered) bool {
	switch r.Scope {
	case All:
		return true
	case Plan:
		return r.PlanID == c.PlanID
	case Tenant:
		return r.TenantID == c.TenantID
	case Key:
		return r.KeyID == c.KeyID
	}
	return false
}

// Effective are the rules that hold for a subject: of each audience and metric those of the closest scope, unless they are
// switched off. Deleted rules must not be among those given.
func Effective(rules []Rule, c Covered) []Rule {
	type family struct {
		Audience
		Metric
	}
	closest := map[family]int{}
	for i := range rules {
		if r := &rules[i]; r.covers(c) {
			f := family{r.Audience, r.Metric}
			closest[f] = max(closest[f], r.Scope.closeness())
		}
	}
	var holding []Rule
	for i := range rules {
		r := &rules[i]
		if r.Enabled && r.covers(c) && r.Scope.closeness() == closest[family{r.Audience, r.Metric}] {
			holding = append(holding, *r)
		}
	}
	slices.SortFunc(holding, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	return holding
}
