package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

// people is a store whose clock the test turns.
type people struct {
	*Store
	mu sync.Mutex
	at time.Time
}

func openPeople(t *testing.T) *people {
	t.Helper()
	p := &people{at: time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)}
	p.Store = New(storetest.Open(t).DB, p.time)
	return p
}

func (p *people) time() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *people) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = p.at.Add(d)
}

// add makes a user whose password hash is "hash".
func (p *people) add(t *testing.T, role tenancy.Role, name string) tenancy.User {
	t.Helper()
	d := tenancy.UserDraft{Name: name, Email: fmt.Sprintf("%s@x.com", name), Role: role}
	if role.OfTenant() {
		d.TenantID = p.tenant(t, "Cliente de "+name)
	}
	u, err := p.CreateUser(context.Background(), d, "hash")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (p *people) tenant(t *testing.T, name string) (id int64) {
	t.Helper()
	if err := p.db.Get(&id, `INSERT INTO tenants (name) VALUES ($1) RETURNING id`, name); err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *people) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := p.db.Get(&n, query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnEmailAddressBelongsToOneUserWhateverItsCase(t *testing.T) {
	p := openPeople(t)
	u := p.add(t, tenancy.Owner, "ana")
	_, err := p.CreateUser(context.Background(), tenancy.UserDraft{Name: "B", Email: "ANA@x.com", Role: tenancy.Viewer}, "h")
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("create: %v", err)
	}
	bia := p.add(t, tenancy.Viewer, "bia")
	if err := p.UpdateUser(context.Background(), bia.ID, tenancy.UserDraft{Name: "B", Email: u.Email, Role: tenancy.Viewer}); !fault.Is(err, fault.Conflict) {
		t.Errorf("update: %v", err)
	}
	found, hash, err := p.SignInUser(context.Background(), "ANA@X.COM")
	if err != nil || found.ID != u.ID || hash != "hash" {
		t.Errorf("%+v %q %v", found, hash, err)
	}
}

func TestTheLastOwnerStays(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	one := p.add(t, tenancy.Owner, "one")
	p.add(t, tenancy.Manager, "manager")
	two := p.add(t, tenancy.Owner, "two")
	if err := p.DisableUser(ctx, two.ID); err != nil {
		t.Fatal(err)
	}
	demoted := tenancy.UserDraft{Name: "one", Email: one.Email, Role: tenancy.Manager}
	for name, err := range map[string]error{"disable": p.DisableUser(ctx, one.ID), "demote": p.UpdateUser(ctx, one.ID, demoted)} {
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.EnableUser(ctx, two.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.UpdateUser(ctx, one.ID, demoted); err != nil {
		t.Errorf("with another owner: %v", err)
	}
}

func TestTwoOwnersCannotShutEachOtherOut(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	for round := range 10 {
		one, two := p.add(t, tenancy.Owner, fmt.Sprint("one", round)), p.add(t, tenancy.Owner, fmt.Sprint("two", round))
		if _, err := p.db.Exec(`UPDATE users SET disabled_at = now() WHERE id NOT IN ($1, $2)`, one.ID, two.ID); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var errs [2]error
		wg.Go(func() { errs[0] = p.DisableUser(ctx, one.ID) })
		wg.Go(func() {
			errs[1] = p.UpdateUser(ctx, two.ID, tenancy.UserDraft{Name: "x", Email: two.Email, Role: tenancy.Viewer})
		})
		wg.Wait()
		if left := p.count(t, `SELECT count(*) FROM users WHERE role = 'owner' AND disabled_at IS NULL`); left != 1 {
			t.Fatalf("%d owners are left: %v", left, errs)
		}
	}
}

func TestUsersAreListedAsAsked(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	for name, role := range map[string]tenancy.Role{"zoe": tenancy.Owner, "ana": tenancy.TenantViewer, "eva": tenancy.Manager, "Íris": tenancy.Viewer} {
		p.add(t, role, name)
	}
	if err := p.DisableUser(ctx, p.add(t, tenancy.Viewer, "leo").ID); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		q    tenancy.ListQuery
		want []string
	}{
		"by name, accents aside":      {tenancy.ListQuery{}, []string{"ana", "eva", "Íris", "leo", "zoe"}},
		"down":                        {tenancy.ListQuery{Sort: "name", Desc: true}, []string{"zoe", "leo", "Íris", "eva", "ana"}},
		"by power":                    {tenancy.ListQuery{Sort: "role"}, []string{"zoe", "eva"}},
		"team":                        {tenancy.ListQuery{Status: "team"}, []string{"eva", "Íris", "leo", "zoe"}},
		"customers":                   {tenancy.ListQuery{Status: "customers"}, []string{"ana"}},
		"disabled":                    {tenancy.ListQuery{Status: "disabled"}, []string{"leo"}},
		"active":                      {tenancy.ListQuery{Status: "active"}, []string{"ana", "eva", "Íris", "zoe"}},
		"search by customer":          {tenancy.ListQuery{Search: "CLIENTE DE"}, []string{"ana"}},
		"search without accents":      {tenancy.ListQuery{Search: "iris"}, []string{"Íris"}},
		"what looks like SQL matches": {tenancy.ListQuery{Search: "%' OR 1=1 --"}, nil},
	} {
		page, err := p.ListUsers(ctx, c.q)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, u := range page.Items {
			got = append(got, u.Name)
		}
		if len(got) > len(c.want) && c.q.Sort == "role" {
			got = got[:len(c.want)]
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestEveryChangeOfAUserIsInTheAuditLogWithoutSecrets(t *testing.T) {
	p := openPeople(t)
	ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Label: "command line"})
	owner := p.add(t, tenancy.Owner, "dona")
	u, err := p.CreateUser(ctx, tenancy.UserDraft{Name: "Ana", Email: "ana@x.com", Role: tenancy.Viewer, Password: "canary"}, "canary")
	for _, step := range []func() error{
		func() error { return err },
		func() error {
			return p.UpdateUser(ctx, u.ID, tenancy.UserDraft{Name: "Ana B", Email: "ana@x.com", Role: tenancy.Manager})
		},
		func() error { return p.RenameUser(ctx, u.ID, "Ana C") },
		func() error { return p.SetPassword(ctx, u.ID, "canary", tenancy.SessionID{}) },
		func() error { return p.DisableUser(ctx, u.ID) },
		func() error { return p.EnableUser(ctx, u.ID) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var actions []string
	subject := userSubject(u.ID)
	if err := p.db.Select(&actions, `SELECT action FROM audit_log WHERE subject = $1 AND actor = 'command line' AND at = $2 ORDER BY id`, subject, p.time()); err != nil {
		t.Fatal(err)
	}
	want := []string{"user.create", "user.update", "user.rename", "user.password", "user.disable", "user.enable"}
	if !slices.Equal(actions, want) {
		t.Errorf("%v, want %v", actions, want)
	}
	if n := p.count(t, `SELECT count(*) FROM audit_log WHERE details::text LIKE '%canary%'`); n != 0 {
		t.Errorf("%d entries hold a secret", n)
	}
	if err := p.DisableUser(ctx, owner.ID); !fault.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
	if n := p.count(t, `SELECT count(*) FROM audit_log WHERE action = 'user.disable'`); n != 1 {
		t.Errorf("a refused change left an entry")
	}
}

func TestUsersThatAreNotThereAreNotFound(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	for name, err := range map[string]error{
		"read":     func() error { _, err := p.User(ctx, 9); return err }(),
		"update":   p.UpdateUser(ctx, 9, tenancy.UserDraft{Name: "x", Email: "x@x.com", Role: tenancy.Viewer}),
		"disable":  p.DisableUser(ctx, 9),
		"enable":   p.EnableUser(ctx, 9),
		"rename":   p.RenameUser(ctx, 9, "x"),
		"password": p.SetPassword(ctx, 9, "x", tenancy.SessionID{}),
		"sign in":  func() error { _, _, err := p.SignInUser(ctx, "x@x.com"); return err }(),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRehashingLosesToAChangedPassword(t *testing.T) {
	p, ctx := openPeople(t), context.Background()
	u := p.add(t, tenancy.Owner, "ana")
	if err := p.SetPassword(ctx, u.ID, "new", tenancy.SessionID{}); err != nil {
		t.Fatal(err)
	}
	if err := p.RehashPassword(ctx, u.ID, "hash", "old again"); err != nil {
		t.Fatal(err)
	}
	if _, hash, err := p.SignInUser(ctx, u.Email); hash != "new" || err != nil {
		t.Errorf("%q %v", hash, err)
	}
}
