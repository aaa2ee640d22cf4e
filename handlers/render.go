package handlers

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/static"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/problem"
	"github.com/fila-ia/filaia/views/ui"
)

// render answers with page, or with partial where htmx asked for a part of the page. A nil partial means page.
func (p *Panel) render(c *fiber.Ctx, page, partial templ.Component) error {
	c.Vary("HX-Request")
	if partial != nil && wantsPartial(c) {
		page = partial
	}
	var body bytes.Buffer // whole before the first byte is sent: a page that fails half-way becomes an error page
	if err := page.Render(c.UserContext(), &body); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	c.Type("html", "utf-8")
	return c.Send(body.Bytes())
}

// wantsPartial is false where htmx asks for a whole page: a boosted link, or a step back that its cache has lost.
func wantsPartial(c *fiber.Ctx) bool {
	return isHTMX(c) && c.Get("HX-Boosted") != "true" && c.Get("HX-History-Restore-Request") != "true"
}

// invalid answers a refused form with what was typed: as render, with status 422, which htmx puts into the page.
func (p *Panel) invalid(c *fiber.Ctx, page, partial templ.Component) error {
	c.Status(fiber.StatusUnprocessableEntity)
	return p.render(c, page, partial)
}

// redirect leads on after a form that worked (303), through htmx too.
func (p *Panel) redirect(c *fiber.Ctx, path string) error {
	if isHTMX(c) {
		c.Set("HX-Redirect", path)
		return c.SendStatus(fiber.StatusNoContent)
	}
	return c.Redirect(path, fiber.StatusSeeOther)
}

// flash shows a text on the next page, once. It needs a signed-in person; without one nothing is shown.
func (p *Panel) flash(c *fiber.Ctx, text string) error { return p.flashAs(c, text, wentWell) }

// flashFailed is flash of what went wrong.
func (p *Panel) flashFailed(c *fiber.Ctx, text string) error { return p.flashAs(c, text, wentWrong) }

// How what a flash tells went: where it lies in the session.
const (
	wentWell  = "_flash"
	wentWrong = "_flash_failed"
)

func (p *Panel) flashAs(c *fiber.Ctx, text, how string) error {
	v := at(c)
	if v.User == nil {
		return nil
	}
	v.session.AddFlash(text, how)
	return p.sessions.save(c, v.session)
}

// dueFlash takes the text that is due. A part of a page has no place for it, so there it stays due.
func (p *Panel) dueFlash(c *fiber.Ctx) *layout.Flash {
	v := at(c)
	if v.User == nil || wantsPartial(c) {
		return nil
	}
	tone, flashes := ui.Bad, v.session.Flashes(wentWrong)
	if well := v.session.Flashes(wentWell); len(flashes) == 0 {
		tone, flashes = ui.OK, well
	}
	if len(flashes) == 0 {
		return nil
	}
	if err := p.sessions.save(c, v.session); err != nil {
		// Shown twice is better than a page that fails for it.
		p.Log.WarnContext(c.UserContext(), "flash not cleared", "request_id", v.RequestID, "error", err)
	}
	text, _ := flashes[len(flashes)-1].(string)
	return &layout.Flash{Tone: tone, Text: text}
}

// frame is what the layout around every page needs. title is translated; active is the key of the navigation's item.
func (p *Panel) frame(c *fiber.Ctx, title, active string) layout.Model {
	v := at(c)
	m := layout.Model{
		Printer: v.Say, Title: title, Active: active, CSRF: p.formToken(c), Theme: v.Theme, Path: ownPath(c),
		Flash: p.dueFlash(c), Asset: static.URL,
	}
	if p.Simulated && p.Operations.Simulating() && v.User != nil && !v.User.Role.OfTenant() {
		m.Banner = &layout.Banner{Tone: ui.Info, Text: v.Say.T("problem.banner.simulated")}
	}
	if !wantsPartial(c) {
		m.Bell = p.frameBell(c)
	}
	if v.User != nil {
		m.User = layout.User{Name: v.User.Name, Email: v.User.Email, Tenant: v.User.TenantName, RoleLabel: v.Say.T("users.role." + string(v.User.Role)), Owner: v.User.Role.MayManageUsers()}
	}
	return m
}

// ownPath is where the preferences form leads back to: this page, or where its form was sent from, as this address may
// answer to a post alone.
func ownPath(c *fiber.Ctx) string {
	path := c.OriginalURL()
	if !safeMethod(c) {
		path = pathOf(c.Get(fiber.HeaderReferer))
	}
	if !localPath(path) {
		return "/"
	}
	return path
}

// renderError shows a failure. htmx gets the text alone, which the page's script shows as a toast.
func (p *Panel) renderError(c *fiber.Ctx, status int, key string, args ...any) error {
	v := at(c)
	text := v.Say.T(key, args...)
	if isHTMX(c) {
		if status >= fiber.StatusInternalServerError {
			text += " " + v.Say.T("problem.request_id") + " " + v.RequestID
		}
		return c.Type("txt", "utf-8").SendString(text)
	}
	m := problem.Model{
		Frame: p.frame(c, v.Say.T(titleKey(status)), ""), Text: text, RequestID: v.RequestID,
		Back: ui.Link{Label: v.Say.T("problem.back"), Href: "/"},
	}
	if from := p.cameFrom(c); from != "" {
		m.From = &ui.Link{Label: v.Say.T("problem.go_back"), Href: from}
	}
	return p.render(c, problem.Page(m), nil)
}

// cameFrom is the page of ours that led here; empty where none did, or where going back would lead here again.
func (p *Panel) cameFrom(c *fiber.Ctx) string {
	u, err := url.Parse(c.Get(fiber.HeaderReferer))
	if err != nil || !strings.EqualFold(u.Host, string(c.Context().Host())) {
		return ""
	}
	from := u.RequestURI()
	if !localPath(from) || from == "/" || safeMethod(c) && from == c.OriginalURL() {
		return ""
	}
	return from
}

func titleKey(status int) string {
	switch {
	case status == fiber.StatusForbidden || status == fiber.StatusUnauthorized:
		return "problem.title.forbidden"
	case status == fiber.StatusNotFound || status == fiber.StatusMethodNotAllowed:
		return "problem.title.not_found"
	case status == fiber.StatusServiceUnavailable:
		return "problem.title.unavailable"
	case status >= fiber.StatusInternalServerError:
		return "problem.title.internal"
	}
	return "problem.title.refused"
}
