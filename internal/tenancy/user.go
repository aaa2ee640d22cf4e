package tenancy

import (
	"slices"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
)

// Role says what a user may do.
type Role string

// Owner, Manager and Viewer use the panel; TenantAdmin and TenantViewer the portal of one tenant.
const (
	Owner        Role = "owner"
	Manager      Role = "manager"
	Viewer       Role = "viewer"
	TenantAdmin  Role = "tenant_admin"
	TenantViewer Role = "tenant_viewer"
)

// Roles lists them in order of power.
var Roles = []Role{Owner, Manager, Viewer, TenantAdmin, TenantViewer}

// OfTenant tells whether the role belongs to a customer.
func (r Role) OfTenant() bool { return r == TenantAdmin || r == TenantViewer }

// MayEdit tells whether the role may change plans, tenants and keys in the panel.
func (r Role) MayEdit() bool { return r == Owner || r == Manager }

// MayManageUsers tells whether the role may add and disable users.
func (r Role) MayManageUsers() bool { return r == Owner }

// User is a person who signs in.
type User struct {
	ID          int64
	Email       string
	Name        string
	Role        Role
	TenantID    int64 // 0 for the panel's users
	TenantName  string
	Language    string // pt-BR or en
	Theme       string // auto, light or dark
	DisabledAt  *time.Time
	LastLoginAt *time.Time
	CreatedAt   time.Time
}

// UserDraft is what a form or the command line gives.
type UserDraft struct {
	Email    string
	Name     string
	Role     Role
	TenantID int64
	Password string
}

// TenantName is a customer in a list to choose from.
type TenantName struct {
	ID   int64
	Name string
}

// Passwords are bounded: long enough to resist guessing, short enough not to be an attack by length.
const (
	MinPassword = 10
	MaxPassword = 200
)

// Validate normalises the draft and tells every rejected field at once.
func (d *UserDraft) Validate() error {
	f := d.check()
	CheckPassword(f, "password", d.Password)
	return f.Err()
}

// ValidateProfile is Validate for an edit, which leaves the password alone.
func (d *UserDraft) ValidateProfile() error { return d.check().Err() }

func (d *UserDraft) check() *fault.Form {
	d.Email, d.Name = strings.ToLower(strings.TrimSpace(d.Email)), Tidy(d.Name)
	f := &fault.Form{}
	CheckName(f, d.Name)
	f.Check(ValidEmail(d.Email), "email", "error.email", "value", d.Email)
	f.Check(slices.Contains(Roles, d.Role), "role", "error.choice", "value", string(d.Role), "accepted", "owner, manager, viewer, tenant_admin, tenant_viewer")
	f.Check(!d.Role.OfTenant() || d.TenantID > 0, "tenant", "error.tenant_required")
	f.Check(d.Role.OfTenant() || d.TenantID == 0, "tenant", "error.tenant_not_for_role")
	return f
}

// CheckName rejects a person's name that is empty or too long.
func CheckName(f *fault.Form, name string) {
	f.Check(name != "", "name", "error.required")
	f.Check(len([]rune(name)) <= 120, "name", "error.too_long", "max", 120)
}

// CheckPassword rejects passwords that are too short or too long.
func CheckPassword(f *fault.Form, field, password string) {
	n := len([]rune(password))
	f.Check(n >= MinPassword, field, "error.password_short", "min", MinPassword)
	f.Check(n <= MaxPassword, field, "error.too_long", "max", MaxPassword)
}
