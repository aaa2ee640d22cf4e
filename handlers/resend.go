package handlers

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/problem"
	"github.com/fila-ia/filaia/views/ui"
)

// staleForm answers a form of our own pages whose session is over: what was typed is handed back, to be sent again once the person is
// signed in. Whoever is signed in, in another session than the form's, only has to say that they mean it. What is secret is not
// handed back, and what may have come from another site is refused.
func (p *Panel) staleForm(c *fiber.Ctx) error {
	v := at(c)
	switch {
	case c.Get("Sec-Fetch-Site") != "same-origin" || !behindSignIn(c.Path()):
		return fault.New(fault.Forbidden, "problem.csrf")
	case isHTMX(c) && v.User == nil:
		return p.toSignIn(c)
	case isHTMX(c):
		return fault.New(fault.Forbidden, "problem.csrf")
	}
	fields, whole := typedFields(c)
	c.Status(fiber.StatusForbidden)
	m := problem.StaleModel{Action: c.OriginalURL(), Fields: fields, SignIn: v.User == nil}
	key := "problem.stale"
	switch {
	case !whole && v.User == nil:
		key, m.Action = "problem.ended_secret", ""
	case !whole:
		return fault.New(fault.Forbidden, "problem.csrf")
	case v.User == nil:
		key = "problem.ended"
	}
	m.Frame = p.frame(c, v.Say.T(key+".title"), "")
	m.Text, m.Back = v.Say.T(key+".text"), ui.Link{Label: v.Say.T("problem.back"), Href: "/"}
	return p.render(c, problem.StalePage(m), nil)
}

// behindSignIn is false of the forms that people without an account send.
func behindSignIn(path string) bool {
	for _, open := range []string{"/login", "/logout", "/setup", "/preferences", "/unsubscribe", "/confirm"} {
		if path == open || strings.HasPrefix(path, open+"/") {
			return false
		}
	}
	return true
}

// typedFields are a form's fields in order; whole is false where one holds a secret, or the form holds more than fields.
func typedFields(c *fiber.Ctx) (fields []problem.Field, whole bool) {
	whole = strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEApplicationForm)
	c.Context().PostArgs().VisitAll(func(key, value []byte) {
		name := string(key)
		if name == csrfField {
			return
		}
		for _, secret := range []string{"password", "secret", "token", "credential", "api_key", "url"} {
			if len(value) > 0 && strings.Contains(name, secret) {
				whole = false
			}
		}
		fields = append(fields, problem.Field{Name: name, Value: string(value)})
	})
	return fields, whole
}
