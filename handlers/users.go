package handlers

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/ui"
	"github.com/fila-ia/filaia/views/users"
)

// UserStore is what the owner does with people's accounts.
type UserStore interface {
	userReader
	userWriter
}

type userReader interface {
	ListUsers(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.User], error)
	User(ctx context.Context, id int64) (tenancy.User, error)
	TenantNames(ctx context.Context) ([]tenancy.TenantName, error)
}

type userWriter interface {
	CreateUser(ctx context.Context, d tenancy.UserDraft, passwordHash string) (tenancy.User, error)
	UpdateUser(ctx context.Context, id int64, d tenancy.UserDraft) error
	EnableUser(ctx context.Context, id int64) error
	DisableUser(ctx context.Context, id int64) error
}

func (p *Panel) users(r fiber.Router) {
	r = r.Group("/users", p.needOwner)
	r.Get("/", p.listUsers)
	r.Post("/", p.createUser)
	r.Get("/new", p.newUser)
	r.Get("/:id", p.editUser)
	r.Post("/:id", p.updateUser)
	r.Post("/:id/enable", p.enableUser)
	r.Post("/:id/disable", p.disableUser)
	r.Post("/:id/password", p.resetPassword)
}

func (p *Panel) listUsers(c *fiber.Ctx) error {
	v := at(c)
	page, err := p.Users.ListUsers(c.UserContext(), listQuery(c))
	if err != nil {
		return err
	}
	m := users.ListModel{Frame: p.frame(c, v.Say.T("users.title"), "users"), Now: p.Now()}
	t := v.Say.T
	m.Table = ui.TableModel{
		ID: "users-table", Path: "/users", Query: queryValues(c), Label: t("users.title"), Search: t("users.search"),
		Columns: []ui.Column{
			{Label: t("users.name"), Sort: "name"}, {Label: t("users.role"), Sort: "role"}, {Label: t("users.status")},
			{Label: t("users.last_login"), Sort: "last_login_at"}, {Label: t("users.actions"), Hidden: true},
		},
		Filters: []ui.Filter{{Name: "status", Label: t("users.filter"), Options: []ui.Option{
			{Value: "", Label: t("users.filter.all")}, {Value: "team", Label: t("users.filter.team")},
			{Value: "customers", Label: t("users.filter.customers")}, {Value: "disabled", Label: t("users.filter.disabled")},
		}}},
		CountKey: "users.count", Total: int64(page.Total),
		Empty: ui.EmptyModel{Icon: "users", Title: t("users.title"), Text: t("users.lead")},
	}
	for _, u := range page.Items {
		row := users.Row{
			ID: u.ID, Name: u.Name, Email: u.Email, Role: t("users.role." + string(u.Role)), Tenant: u.TenantName,
			Disabled: u.DisabledAt != nil, Self: u.ID == v.User.ID,
		}
		if u.LastLoginAt != nil {
			row.LastLogin = *u.LastLoginAt
		}
		m.Rows = append(m.Rows, row)
	}
	return p.render(c, users.List(m), users.Table(m))
}

func (p *Panel) newUser(c *fiber.Ctx) error {
	m, err := p.userForm(c, at(c).Say.T("users.new"))
	if err != nil {
		return err
	}
	m.Role, m.Tenant = string(tenancy.Viewer), c.Query("tenant")
	if m.Tenant != "" {
		m.Role = string(tenancy.TenantAdmin)
	}
	return p.render(c, users.New(m), nil)
}

// userForm is the form without its values: its choices.
func (p *Panel) userForm(c *fiber.Ctx, title string) (users.FormModel, error) {
	m := users.FormModel{Frame: p.frame(c, title, "users")}
	say := at(c).Say
	for _, role := range tenancy.Roles {
		m.Roles = append(m.Roles, ui.Option{
			Value: string(role), Label: say.T("users.role." + string(role)), Text: say.T("users.role_text." + string(role)),
		})
	}
	tenants, err := p.Users.TenantNames(c.UserContext())
	if err != nil {
		return m, err
	}
	for _, t := range tenants {
		m.Tenants = append(m.Tenants, ui.Option{Value: strconv.FormatInt(t.ID, 10), Label: t.Name})
	}
	return m, nil
}

// readUser reads the form. A team role has no tenant, whatever the hidden choice still holds.
func readUser(f *form) tenancy.UserDraft {
	d := tenancy.UserDraft{Name: f.Text("name"), Email: f.Text("email"), Role: tenancy.Role(f.Text("role"))}
	if d.Role.OfTenant() {
		d.TenantID = f.IntOr("tenant", 0)
	}
	return d
}

func (p *Panel) refusedUser(c *fiber.Ctx, f *form, title string, cause error) (users.FormModel, error) {
	m, err := p.userForm(c, title)
	if err != nil {
		return m, err
	}
	m.Name, m.Email, m.Role, m.Tenant = f.Text("name"), f.Text("email"), f.Text("role"), f.Text("tenant")
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	return m, nil
}

// createUser shows a password that it made, this once; one that was typed is known already.
func (p *Panel) createUser(c *fiber.Ctx) error {
	f, v, ctx := readForm(c), at(c), c.UserContext()
	draft := readUser(f)
	draft.Password = f.Secret("password")
	made := draft.Password == ""
	if made {
		draft.Password = tenancy.NewPassword()
	}
	var user tenancy.User
	err := f.Join(draft.Validate())
	if err == nil {
		var hash string
		if hash, err = p.Passwords.Hash(ctx, draft.Password); err != nil {
			return err
		}
		user, err = p.Users.CreateUser(ctx, draft, hash)
	}
	if rejected(err) {
		m, err := p.refusedUser(c, f, v.Say.T("users.new"), err)
		if err != nil {
			return err
		}
		return p.invalid(c, users.New(m), nil)
	}
	if err != nil {
		return err
	}
	if made {
		return p.showPassword(c, user, draft.Password)
	}
	return p.usersSaved(c, "users.created", user.Name)
}

func (p *Panel) showPassword(c *fiber.Ctx, u tenancy.User, password string) error {
	return p.render(c, users.Secret(users.SecretModel{Frame: p.frame(c, u.Name, "users"), Password: password}), nil)
}

func (p *Panel) editUser(c *fiber.Ctx) error {
	u, err := p.userOf(c)
	if err != nil {
		return err
	}
	m, err := p.userForm(c, u.Name)
	if err != nil {
		return err
	}
	p.describe(c, &m, u)
	m.Name, m.Email, m.Role = u.Name, u.Email, string(u.Role)
	if u.TenantID > 0 {
		m.Tenant = strconv.FormatInt(u.TenantID, 10)
	}
	return p.render(c, users.Edit(m), nil)
}

// describe adds what the page says of the person besides the form.
func (p *Panel) describe(c *fiber.Ctx, m *users.FormModel, u tenancy.User) {
	m.ID = strconv.FormatInt(u.ID, 10)
	m.Disabled, m.Self = u.DisabledAt != nil, u.ID == at(c).User.ID
}

func (p *Panel) updateUser(c *fiber.Ctx) error {
	f, v := readForm(c), at(c)
	u, err := p.userOf(c)
	if err != nil {
		return err
	}
	draft := readUser(f)
	if u.ID == v.User.ID {
		draft.Role, draft.TenantID = u.Role, u.TenantID
	}
	err = f.Join(draft.ValidateProfile())
	if err == nil {
		err = p.Users.UpdateUser(c.UserContext(), u.ID, draft)
	}
	if rejected(err) {
		m, err := p.refusedUser(c, f, u.Name, err)
		if err != nil {
			return err
		}
		p.describe(c, &m, u)
		return p.invalid(c, users.Edit(m), nil)
	}
	if err != nil {
		return err
	}
	return p.usersSaved(c, "users.saved", draft.Name)
}

func (p *Panel) enableUser(c *fiber.Ctx) error {
	u, err := p.userOf(c)
	if err != nil {
		return err
	}
	if err := p.Users.EnableUser(c.UserContext(), u.ID); err != nil {
		return err
	}
	return p.usersSaved(c, "users.enabled", u.Name)
}

func (p *Panel) disableUser(c *fiber.Ctx) error {
	u, err := p.otherUser(c)
	if err != nil {
		return err
	}
	if err := p.Users.DisableUser(c.UserContext(), u.ID); err != nil {
		return err
	}
	return p.usersSaved(c, "users.disabled", u.Name)
}

// resetPassword makes a new password for someone who lost theirs; their sessions end.
func (p *Panel) resetPassword(c *fiber.Ctx) error {
	u, err := p.otherUser(c)
	if err != nil {
		return err
	}
	password := tenancy.NewPassword()
	hash, err := p.Passwords.Hash(c.UserContext(), password)
	if err != nil {
		return err
	}
	if err := p.Accounts.SetPassword(c.UserContext(), u.ID, hash, tenancy.SessionID{}); err != nil {
		return err
	}
	return p.showPassword(c, u, password)
}

func (p *Panel) userOf(c *fiber.Ctx) (tenancy.User, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return tenancy.User{}, err
	}
	return p.Users.User(c.UserContext(), id)
}

// otherUser is userOf for what people cannot do to themselves: it would shut them out.
func (p *Panel) otherUser(c *fiber.Ctx) (tenancy.User, error) {
	u, err := p.userOf(c)
	if err == nil && u.ID == at(c).User.ID {
		err = fault.New(fault.Conflict, "users.error.self")
	}
	return u, err
}

func (p *Panel) usersSaved(c *fiber.Ctx, key, name string) error {
	if err := p.flash(c, at(c).Say.T(key, "name", name)); err != nil {
		return err
	}
	return p.redirect(c, "/users")
}
