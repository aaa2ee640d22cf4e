package handlers

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/signin"
)

// SignInStore slows guessing down and finds who signs in.
type SignInStore interface {
	BeginSignIn(ctx context.Context, email, address string) (wait time.Time, err error)
	SignInSucceeded(ctx context.Context, email, address string) error
	SignInUser(ctx context.Context, email string) (u tenancy.User, passwordHash string, err error)
	RehashPassword(ctx context.Context, id int64, from, to string) error
}

// longestEmail is what an address may have by its standard; nothing longer is worth looking up.
const longestEmail = 254

func (p *Panel) auth(r fiber.Router) {
	r.Get("/login", p.signInPage)
	r.Post("/login", p.signIn)
	r.Post("/logout", p.signOut)
}

func (p *Panel) signInPage(c *fiber.Ctx) error {
	if u := at(c).User; u != nil {
		return c.Redirect(home(u), fiber.StatusSeeOther)
	}
	pending, err := p.Setup.SetupPending(c.UserContext())
	if err != nil {
		return err
	}
	return p.render(c, signin.Page(signin.Model{
		Frame: p.frame(c, at(c).Say.T("signin.title"), ""), Next: c.Query("next"), NotSetUp: pending,
	}), nil)
}

// signIn says the same of a wrong password, of an account that is not there and of one that is disabled, after the same
// work.
func (p *Panel) signIn(c *fiber.Ctx) error {
	f := readForm(c)
	email, password := strings.ToLower(f.Text("email")), f.Secret("password")
	f.Check(email != "", "email", "error.required")
	f.Check(password != "", "password", "error.required")
	if err := f.Err(); err != nil {
		return p.signInAgain(c, f, fiber.StatusUnprocessableEntity, err)
	}
	email = short(email, longestEmail)
	wait, err := p.SignIns.BeginSignIn(c.UserContext(), email, c.IP())
	if err != nil {
		return err
	}
	if !wait.IsZero() {
		return p.signInAgain(c, f, fiber.StatusTooManyRequests, p.waitFault(c, wait))
	}
	user, hash, err := p.checkPassword(c.UserContext(), email, password)
	if err == nil {
		err = p.sessions.open(c, at(c).session, user.ID, hash)
	}
	if fault.Is(err, fault.Unauthenticated) {
		return p.signInAgain(c, f, fiber.StatusUnprocessableEntity, err)
	}
	if err != nil {
		return err
	}
	if err := p.SignIns.SignInSucceeded(c.UserContext(), email, c.IP()); err != nil {
		return err
	}
	if next := f.Text("next"); next != "" && localPath(next) {
		return p.redirect(c, next)
	}
	return p.redirect(c, home(&user))
}

// checkPassword gives the user and the hash in force, renewed where its cost is out of date.
func (p *Panel) checkPassword(ctx context.Context, email, password string) (tenancy.User, string, error) {
	user, hash, err := p.SignIns.SignInUser(ctx, email)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return user, "", err
	}
	ok, outdated, err := p.Passwords.Verify(ctx, hash, password)
	if err != nil {
		return user, "", err
	}
	if !ok {
		return user, "", fault.New(fault.Unauthenticated, "signin.error.wrong")
	}
	if !outdated {
		return user, hash, nil
	}
	renewed, err := p.Passwords.Hash(ctx, password)
	if err != nil {
		return user, "", err
	}
	return user, renewed, p.SignIns.RehashPassword(ctx, user.ID, hash, renewed)
}

func (p *Panel) signInAgain(c *fiber.Ctx, f *form, status int, cause error) error {
	v := at(c)
	m := signin.Model{Frame: p.frame(c, v.Say.T("signin.title"), ""), Email: f.Text("email"), Next: f.Text("next")}
	m.Errors, m.Error = fieldErrors(v.Say, cause)
	c.Status(status)
	return p.render(c, signin.Page(m), nil)
}

// waitFault says when the next try may be made; the time is rounded up, so that it is never too early.
func (p *Panel) waitFault(c *fiber.Ctx, wait time.Time) error {
	say := at(c).Say
	left := max(wait.Sub(p.Now()), time.Second)
	c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(left.Seconds()))))
	left = left.Truncate(time.Second) + time.Second
	return fault.New(fault.Unavailable, "signin.error.wait",
		"wait", say.Duration(left), "time", say.Clock(wait.Add(time.Minute-time.Nanosecond)))
}

func (p *Panel) signOut(c *fiber.Ctx) error {
	if v := at(c); v.User != nil {
		if err := p.sessions.close(c, v.session); err != nil {
			return err
		}
	}
	return p.redirect(c, "/login")
}
