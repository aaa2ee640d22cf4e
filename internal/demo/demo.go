// Package demo makes an installation that looks lived in: Brazilian customers on the default plans, their users and
// keys, and ninety days of plausible calls. The names, tax ids and figures are made up; the same moment gives the same
// calls.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// Days is how far back the calls go.
const Days = 90

// Store keeps the demonstration.
type Store interface {
	// DemoBasis tells what is there; it is fault.Conflict where the installation has tenants already.
	DemoBasis(ctx context.Context) (Basis, error)
	// LoadDemo writes the world whole or not at all; it is fault.Conflict as DemoBasis is.
	LoadDemo(ctx context.Context, world *World) error
}

// Hasher hashes passwords.
type Hasher interface {
	Hash(ctx context.Context, password string) (string, error)
}

// Basis is what an empty installation brings: its plans' terms by slug, its models by name, and whether it has users.
type Basis struct {
	Plans    map[string]tenancy.Terms
	Models   map[string]tenancy.Model
	HasUsers bool
}

// World is what is loaded.
type World struct {
	Plan      tenancy.PlanDraft // one more plan beside the default ones: it blocks at its limit
	Team      []User            // of the panel
	Customers []Customer
}

// Customer is a tenant with all that belongs to it.
type Customer struct {
	Draft    tenancy.TenantDraft // its plan is PlanSlug
	PlanSlug string
	Status   tenancy.TenantStatus
	Since    time.Time
	Users    []User
	Keys     []Key
	Periods  []usage.Period // that have calls, in order
	// Events are in order of time. KeyID and PeriodID are positions in Keys and Periods; TenantID is unset.
	Events []usage.Event
}

// User is a person with a hashed password.
type User struct {
	Email, Name  string
	Role         tenancy.Role
	PasswordHash string
}

// Key is an API key.
type Key struct {
	Name      string
	Secret    tenancy.Secret
	CreatedAt time.Time
	RevokedAt *time.Time
	Cache     tenancy.CacheMode // empty: as the plan says
}

// Login is how a person of the demonstration signs in.
type Login struct {
	Role     tenancy.Role
	Customer string // empty for the panel's people
	Email    string
	Password string
}

// Access is a key that works, for calls during the demonstration.
type Access struct {
	Customer string
	Secret   tenancy.Secret
}

// Report tells what was made. Passwords and secrets are told here once and kept nowhere.
type Report struct {
	Customers int
	Calls     int
	Logins    []Login
	Keys      []Access
}

// Seed fills an empty installation with the demonstration; where there are customers already it is fault.Conflict
// and changes nothing. People of the panel are added only where there are no users yet.
func Seed(ctx context.Context, store Store, hasher Hasher, now time.Time, zone *time.Location) (Report, error) {
	basis, err := store.DemoBasis(ctx)
	if err != nil {
		return Report{}, err
	}
	world, report, err := build(ctx, basis, hasher, now.UTC().Truncate(time.Millisecond), zone)
	if err != nil {
		return Report{}, fmt.Errorf("build demonstration: %w", err)
	}
	if err := store.LoadDemo(ctx, world); err != nil {
		return Report{}, fmt.Errorf("load demonstration: %w", err)
	}
	return report, nil
}

func build(ctx context.Context, basis Basis, hasher Hasher, now time.Time, zone *time.Location) (*World, Report, error) {
	world := &World{Plan: blockingPlan()}
	basis.Plans[world.Plan.Slug] = world.Plan.Terms
	var report Report
	enter := func(customer, name, email string, role tenancy.Role) (User, error) {
		password := newPassword()
		hash, err := hasher.Hash(ctx, password)
		report.Logins = append(report.Logins, Login{Role: role, Customer: customer, Email: email, Password: password})
		return User{Email: email, Name: name, Role: role, PasswordHash: hash}, err
	}
	if !basis.HasUsers {
		for _, person := range team {
			u, err := enter("", person.name, person.email, person.role)
			if err != nil {
				return nil, report, err
			}
			world.Team = append(world.Team, u)
		}
	}
	for i, p := range profiles {
		terms, ok := basis.Plans[p.plan]
		if !ok {
			return nil, report, fmt.Errorf("plan %q is not there", p.plan)
		}
		c := p.customer(now, zone)
		for _, person := range p.people() {
			u, err := enter(p.name, person.name, person.email, person.role)
			if err != nil {
				return nil, report, err
			}
			c.Users = append(c.Users, u)
		}
		newTraffic(uint64(i), p, terms, basis.Models, now, zone).fill(&c)
		report.Calls += len(c.Events)
		if !p.suspended {
			report.Keys = append(report.Keys, Access{Customer: p.name, Secret: c.Keys[0].Secret})
		}
		world.Customers = append(world.Customers, c)
	}
	report.Customers = len(world.Customers)
	return world, report, nil
}

// newPassword is random and easy to type: four groups of four letters and digits, 80 bits.
func newPassword() string {
	random := make([]byte, 10)
	rand.Read(random) //nolint:errcheck // it never fails
	text := strings.ToLower(base32.StdEncoding.EncodeToString(random))
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}
