package handlers

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
)

// tasteLife is how long a browser remembers language and theme.
const tasteLife = 365 * 24 * time.Hour

func (p *Panel) preferences(r fiber.Router) {
	r.Post("/preferences", p.setPreferences)
}

// setPreferences keeps language and theme: in the browser, so that the sign-in page speaks the same, and with the user.
// What it does not know it leaves as it is.
func (p *Panel) setPreferences(c *fiber.Ctx) error {
	f := readForm(c)
	language, theme := "", ""
	if lang, ok := i18n.Parse(f.Text("lang")); ok {
		language = string(lang)
		p.remember(c, languageCookie, language)
	}
	if text := f.Text("theme"); text != "" {
		theme = knownTheme(text)
		p.remember(c, themeCookie, theme)
	}
	if u := at(c).User; u != nil {
		if err := p.Accounts.SetPreferences(c.UserContext(), u.ID, language, theme); err != nil {
			return err
		}
	}
	if next := f.Text("next"); localPath(next) {
		return p.redirect(c, next)
	}
	return p.redirect(c, "/")
}

func (p *Panel) remember(c *fiber.Ctx, name, value string) {
	c.Cookie(&fiber.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(tasteLife.Seconds()), HTTPOnly: true, Secure: p.secure(),
		SameSite: fiber.CookieSameSiteLaxMode,
	})
}
