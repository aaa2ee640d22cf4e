package handlers

import (
	"context"
	"encoding/hex"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/account"
)

// AccountStore is what people change about themselves.
type AccountStore interface {
	RenameUser(ctx context.Context, id int64, name string) error
	SetPreferences(ctx context.Context, id int64, language, theme string) error
	SetPassword(ctx context.Context, id int64, passwordHash string, keep tenancy.SessionID) error
	UserSessions(ctx context.Context, userID int64) ([]tenancy.Session, error)
	RevokeSession(ctx context.Context, userID int64, id tenancy.SessionID) error
	RevokeSessions(ctx context.Context, userID int64, keep tenancy.SessionID) error
}

func (p *Panel) account(r fiber.Router) {
	r.Get("/", p.accountPage)
	r.Post("/", p.rename)
	r.Post("/password", p.changePassword)
	r.Post("/sessions/end", p.endSessions)
	r.Post("/sessions/:id/end", p.endSession)
}

func (p *Panel) accountPage(c *fiber.Ctx) error {
	m, err := p.accountModel(c)
	if err != nil {
		return err
	}
	return p.render(c, account.Page(m), nil)
}

func (p *Panel) accountModel(c *fiber.Ctx) (account.Model, error) {
	v := at(c)
	open, err := p.Accounts.UserSessions(c.UserContext(), v.User.ID)
	if err != nil {
		return account.Model{}, err
	}
	m := account.Model{
		Frame: p.frame(c, v.Say.T("account.title"), "account"), Portal: v.User.Role.OfTenant(),
		Name: v.User.Name, Email: v.User.Email, Role: v.Say.T("users.role." + string(v.User.Role)), Now: p.Now(),
	}
	current := tokenID(v.session.ID)
	for _, s := range open {
		m.Sessions = append(m.Sessions, account.Session{
			ID: hex.EncodeToString(s.ID[:]), Browser: browserName(v.Say, s.Agent), Address: s.Address,
			OpenedAt: s.CreatedAt, SeenAt: s.SeenAt, Current: s.ID == current,
		})
	}
	return m, nil
}

func (p *Panel) rename(c *fiber.Ctx) error {
	f, v := readForm(c), at(c)
	name := tenancy.Tidy(f.Text("name"))
	tenancy.CheckName(&f.Form, name)
	if err := f.Err(); err != nil {
		m, failed := p.accountModel(c)
		if failed != nil {
			return failed
		}
		m.Name = name
		m.NameErrors, _ = fieldErrors(v.Say, err)
		return p.invalid(c, account.Page(m), nil)
	}
	if err := p.Accounts.RenameUser(c.UserContext(), v.User.ID, name); err != nil {
		return err
	}
	return p.accountSaved(c, "account.saved")
}

// changePassword asks for the present one, so that an unattended browser is not enough, and slows guessing it down as
// signing in does. All other sessions end.
func (p *Panel) changePassword(c *fiber.Ctx) error {
	f, v := readForm(c), at(c)
	err := p.newPassword(c, f)
	if rejected(err) || fault.Is(err, fault.Unavailable) {
		m, failed := p.accountModel(c)
		if failed != nil {
			return failed
		}
		m.PasswordErrors, m.PasswordError = fieldErrors(v.Say, err)
		return p.invalid(c, account.Page(m), nil)
	}
	if err != nil {
		return err
	}
	return p.accountSaved(c, "account.password_saved")
}

func (p *Panel) newPassword(c *fiber.Ctx, f *form) error {
	v, ctx := at(c), c.UserContext()
	current, password := f.Secret("current"), f.Secret("password")
	f.Check(current != "", "current", "error.required")
	tenancy.CheckPassword(&f.Form, "password", password)
	if err := f.Err(); err != nil {
		return err
	}
	wait, err := p.SignIns.BeginSignIn(ctx, v.User.Email, c.IP())
	if err != nil {
		return err
	}
	if !wait.IsZero() {
		return p.waitFault(c, wait)
	}
	_, _, err = p.checkPassword(ctx, v.User.Email, current)
	if fault.Is(err, fault.Unauthenticated) {
		f.Reject("current", "account.error.password_wrong")
		return f.Err()
	}
	if err != nil {
		return err
	}
	if err := p.SignIns.SignInSucceeded(ctx, v.User.Email, c.IP()); err != nil {
		return err
	}
	hash, err := p.Passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	return p.Accounts.SetPassword(ctx, v.User.ID, hash, tokenID(v.session.ID))
}

func (p *Panel) endSession(c *fiber.Ctx) error {
	v := at(c)
	raw, err := hex.DecodeString(c.Params("id"))
	if err != nil || len(raw) != len(tenancy.SessionID{}) {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	if err := p.Accounts.RevokeSession(c.UserContext(), v.User.ID, tenancy.SessionID(raw)); err != nil {
		return err
	}
	return p.accountSaved(c, "account.session.ended")
}

// endSessions signs the person out everywhere, here too.
func (p *Panel) endSessions(c *fiber.Ctx) error {
	if err := p.Accounts.RevokeSessions(c.UserContext(), at(c).User.ID, tenancy.SessionID{}); err != nil {
		return err
	}
	return p.signOut(c)
}

func (p *Panel) accountSaved(c *fiber.Ctx, key string) error {
	if err := p.flash(c, at(c).Say.T(key)); err != nil {
		return err
	}
	return p.redirect(c, "/account")
}
