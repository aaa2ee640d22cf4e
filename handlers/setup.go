package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/signin"
)

// SetupStore makes the first owner, once, for whoever holds a link that the start of the program printed.
type SetupStore interface {
	SetupPending(ctx context.Context) (bool, error)
	SetupOpen(ctx context.Context, token string) error
	CreateFirstOwner(ctx context.Context, token string, d tenancy.UserDraft, passwordHash string) (tenancy.User, error)
}

func (p *Panel) setup(r fiber.Router) {
	r.Get("/setup", p.setupPage)
	r.Post("/setup", p.createFirstOwner)
}

func (p *Panel) setupPage(c *fiber.Ctx) error {
	err := p.Setup.SetupOpen(c.UserContext(), c.Query("token"))
	if fault.Is(err, fault.NotFound) {
		return p.setupOver(c)
	}
	if err != nil {
		return err
	}
	return p.render(c, signin.Setup(signin.SetupModel{
		Frame: p.frame(c, at(c).Say.T("setup.title"), ""), Token: c.Query("token"),
	}), nil)
}

func (p *Panel) setupOver(c *fiber.Ctx) error {
	c.Status(fiber.StatusNotFound)
	return p.render(c, signin.SetupOver(p.frame(c, at(c).Say.T("setup.over_title"), "")), nil)
}

func (p *Panel) createFirstOwner(c *fiber.Ctx) error {
	f, v, ctx := readForm(c), at(c), c.UserContext()
	token := f.Text("token")
	// Before the password is hashed: without a link nobody makes us work.
	err := p.Setup.SetupOpen(ctx, token)
	if fault.Is(err, fault.NotFound) {
		return p.setupOver(c)
	}
	if err != nil {
		return err
	}
	draft := tenancy.UserDraft{Name: f.Text("name"), Email: f.Text("email"), Role: tenancy.Owner, Password: f.Secret("password")}
	err = draft.Validate()
	if err == nil {
		err = p.makeOwner(c, token, draft)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return p.setupOver(c)
	case rejected(err):
		m := signin.SetupModel{Frame: p.frame(c, v.Say.T("setup.title"), ""), Token: token, Name: f.Text("name"), Email: f.Text("email")}
		m.Errors, m.Error = fieldErrors(v.Say, err)
		return p.invalid(c, signin.Setup(m), nil)
	case err != nil:
		return err
	}
	return p.redirect(c, "/")
}

// makeOwner creates the owner, who keeps the language and theme chosen on the way, and signs them in.
func (p *Panel) makeOwner(c *fiber.Ctx, token string, draft tenancy.UserDraft) error {
	v := at(c)
	hash, err := p.Passwords.Hash(c.UserContext(), draft.Password)
	if err != nil {
		return err
	}
	ctx := tenancy.WithActor(c.UserContext(), tenancy.Actor{Label: draft.Email})
	user, err := p.Setup.CreateFirstOwner(ctx, token, draft, hash)
	if err != nil {
		return err
	}
	if err := p.Accounts.SetPreferences(ctx, user.ID, string(v.Say.Lang()), v.Theme); err != nil {
		return err
	}
	return p.sessions.open(c, v.session, user.ID, hash)
}
