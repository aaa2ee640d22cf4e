package handlers

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// needUser lets signed-in people pass; others go to sign in and come back.
func (p *Panel) needUser(c *fiber.Ctx) error {
	if at(c).User == nil {
		return p.toSignIn(c)
	}
	return c.Next()
}

// needTeam keeps customers out of the panel, and viewers from changing anything there.
func (p *Panel) needTeam(c *fiber.Ctx) error {
	u := at(c).User
	switch {
	case u == nil:
		return p.toSignIn(c)
	case u.Role.OfTenant():
		return wrongSide(c, otherSide(c.Path(), "/portal"+c.Path(), "/portal"))
	case !safeMethod(c) && !u.Role.MayEdit():
		return fault.New(fault.Forbidden, "problem.forbidden_edit")
	}
	return c.Next()
}

// needTenant keeps the team out of the portal, and a tenant's viewers from changing anything there.
func (p *Panel) needTenant(c *fiber.Ctx) error {
	u := at(c).User
	switch {
	case u == nil:
		return p.toSignIn(c)
	case !u.Role.OfTenant():
		return wrongSide(c, otherSide(strings.TrimPrefix(c.Path(), "/portal"), strings.TrimPrefix(c.Path(), "/portal"), "/"))
	case !safeMethod(c) && u.Role != tenancy.TenantAdmin:
		return fault.New(fault.Forbidden, "problem.forbidden_edit")
	}
	return c.Next()
}

// needOwner guards what only owners may see. To everyone else it does not exist.
func (p *Panel) needOwner(c *fiber.Ctx) error {
	if u := at(c).User; u == nil || !u.Role.MayManageUsers() {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	return c.Next()
}

// otherSide is where a page that both sides have is found on a person's own, or their start page: errors of the API and
// messages about alerts lead to the same address whoever reads them. path is the page's in the panel.
func otherSide(path, there, home string) string {
	if strings.HasPrefix(path, "/refusals/") {
		return there
	}
	if id, ok := strings.CutPrefix(path, "/alerts/"); ok && id != "" && strings.Trim(id, "0123456789") == "" {
		return there
	}
	return home
}

// wrongSide leads a person who strays to their own start page. What is posted to the wrong side is not there.
func wrongSide(c *fiber.Ctx, home string) error {
	if !safeMethod(c) || isHTMX(c) {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	return c.Redirect(home, fiber.StatusSeeOther)
}

// toSignIn sends a person to the sign-in page and back afterwards. What was posted is lost: it cannot be repeated safely.
func (p *Panel) toSignIn(c *fiber.Ctx) error {
	target := "/login"
	back := c.OriginalURL()
	if isHTMX(c) {
		back = pathOf(c.Get("HX-Current-URL"))
	}
	if (isHTMX(c) || safeMethod(c)) && back != "/" && localPath(back) {
		target += "?next=" + url.QueryEscape(back)
	}
	if isHTMX(c) {
		c.Set("HX-Redirect", target)
		return c.SendStatus(fiber.StatusUnauthorized)
	}
	return c.Redirect(target, fiber.StatusSeeOther)
}

// home is where a person's side begins.
func home(u *tenancy.User) string {
	if u.Role.OfTenant() {
		return "/portal"
	}
	return "/"
}

// localPath tells whether a path given from outside leads to this site only: no host, and no backslash, which browsers
// read as a slash.
func localPath(path string) bool {
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(path, "/") &&
		!strings.HasPrefix(path, "//") && !strings.ContainsAny(path, "\\\r\n\t")
}

func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "/"
	}
	return u.RequestURI()
}

func safeMethod(c *fiber.Ctx) bool {
	switch c.Method() {
	case fiber.MethodGet, fiber.MethodHead, fiber.MethodOptions:
		return true
	}
	return false
}

func isHTMX(c *fiber.Ctx) bool { return c.Get("HX-Request") == "true" }
