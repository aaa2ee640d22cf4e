package handlers

import (
	"github.com/gofiber/fiber/v2"
	"github.com/gorilla/sessions"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// visitor is who asks and how they want to be answered. Every browser request has one.
type visitor struct {
	User      *tenancy.User // nil before sign-in
	Say       i18n.Printer
	Theme     string // auto, light or dark
	RequestID string

	session *sessions.Session
	bound   string // what this browser's form tokens are bound to
}

type visitorKey struct{}

// at gives the request's visitor.
func at(c *fiber.Ctx) *visitor {
	if v, ok := c.Locals(visitorKey{}).(*visitor); ok {
		return v
	}
	v := &visitor{Theme: "auto"}
	c.Locals(visitorKey{}, v)
	return v
}

// identify finds out who asks. With the database away the request fails here, in the language the browser asks for.
func (p *Panel) identify(c *fiber.Ctx) error {
	v := at(c)
	v.Say = i18n.NewPrinter(i18n.Match(c.Get(fiber.HeaderAcceptLanguage), c.Cookies(languageCookie)), p.Zone)
	v.Theme = knownTheme(c.Cookies(themeCookie))
	session, err := p.sessions.of(c)
	if err != nil {
		return err
	}
	v.session, v.bound = session, c.Cookies(visitorCookie)
	if found, ok := sessionOf(session); ok {
		v.User = &found.User
		v.bound = session.ID
		v.Theme = knownTheme(found.User.Theme)
		if lang, ok := i18n.Parse(found.User.Language); ok {
			v.Say = i18n.NewPrinter(lang, p.Zone)
		}
		c.SetUserContext(tenancy.WithActor(c.UserContext(), tenancy.Actor{UserID: v.User.ID, Label: v.User.Email}))
	}
	// A page is one person's own; a shared cache or the back button after signing out must not show it.
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Next()
}

// The cookies that remember a choice made before sign-in.
const (
	languageCookie = "filaia_language"
	themeCookie    = "filaia_theme"
)

func knownTheme(theme string) string {
	switch theme {
	case "light", "dark":
		return theme
	}
	return "auto"
}
