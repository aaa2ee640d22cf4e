package handlers

import (
	"context"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/refusals"
	"github.com/fila-ia/filaia/views/tenants"
	"github.com/fila-ia/filaia/views/ui"
)

// RefusalStore reads why calls were refused, of one tenant or of all (0).
type RefusalStore interface {
	Refusal(ctx context.Context, id uuid.UUID) (tenancy.Refusal, error)
	Refusals(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]tenancy.Refusal, error)
}

// refusals serves why calls were refused, to the team.
func (p *Panel) refusals(r fiber.Router) {
	r.Get("/refusals", p.listRefusals)
	r.Get("/refusals/:id", p.showRefusal)
	r.Get("/tenants/:id/refusals", p.showTenantRefusals)
}

// refusalsPage is how many refused calls a page has.
const refusalsPage = 50

func (p *Panel) listRefusals(c *fiber.Ctx) error {
	say := at(c).Say
	m := refusals.ListModel{}
	var err error
	if m.List, err = p.refusalList(c, 0, p.Dashboard.Refusals, "/refusals"); err != nil {
		return err
	}
	m.List.Tenant = true
	return p.render(c, refusals.ListPage(p.frame(c, say.T("refusals.title"), "refusals"), m), refusals.Rows(say, m.List))
}

// showTenantRefusals is the tab of one customer.
func (p *Panel) showTenantRefusals(c *fiber.Ctx) error {
	show, t, err := p.tenantPage(c, tenants.Refusals)
	if err != nil {
		return err
	}
	m := tenants.RefusalsModel{ShowModel: show}
	if m.List, err = p.refusalList(c, t.ID, p.Dashboard.Refusals, tenantPath(t.ID)+"/refusals"); err != nil {
		return err
	}
	return p.render(c, tenants.RefusalsPage(m), refusals.Rows(at(c).Say, m.List))
}

// refusalReader reads refused calls before one of them.
type refusalReader func(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]tenancy.Refusal, error)

// refusalList reads the refused calls before the one that the address names, or the newest, and where the next page is.
func (p *Panel) refusalList(c *fiber.Ctx, tenantID int64, read refusalReader, path string) (refusals.List, error) {
	before := uuid.Nil
	if text := c.Query("before"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return refusals.List{}, fault.New(fault.NotFound, "problem.no_page").Because(err)
		}
		before = id
	}
	rows, err := read(c.UserContext(), tenantID, before, refusalsPage+1)
	if err != nil {
		return refusals.List{}, err
	}
	say := at(c).Say
	m := refusals.List{Now: p.Now(), Empty: ui.EmptyModel{Icon: "circle-check", Title: say.T("refusals.none"), Text: say.T("refusals.none_text")}}
	if len(rows) > refusalsPage {
		rows = rows[:refusalsPage]
		m.More = path + "?" + url.Values{"before": {rows[refusalsPage-1].ID.String()}}.Encode()
	}
	side := "/refusals/"
	if strings.HasPrefix(path, "/portal") {
		side = "/portal/refusals/"
	}
	for _, r := range rows {
		m.Rows = append(m.Rows, refusalRow(say, r, side))
	}
	return m, nil
}

func refusalRow(say i18n.Printer, r tenancy.Refusal, side string) refusals.Row {
	kind := refusalKind(r)
	return refusals.Row{
		Href: side + requestID(r.ID), At: r.At, Tenant: r.TenantName, TenantHref: tenantPath(r.TenantID) + "/refusals", Key: r.KeyName, Model: r.Model,
		Title: say.T("refusals.kind." + kind), Why: refusalWhy(say, r), Tone: refusalTone(kind), HTTPStatus: strconv.Itoa(r.HTTPStatus),
	}
}

func (p *Panel) showRefusal(c *fiber.Ctx) error {
	v := at(c)
	list := ui.Link{Label: v.Say.T("refusals.title"), Href: "/refusals"}
	r, err := p.findRefusal(c, p.Dashboard.Refusal)
	if fault.Is(err, fault.NotFound) {
		c.Status(fiber.StatusNotFound)
		frame := p.frame(c, v.Say.T("refusals.unknown.title"), "refusals")
		return p.render(c, refusals.UnknownPage(frame, refusals.UnknownModel{Crumbs: []ui.Link{list}, List: list.Href}), nil)
	}
	if err != nil {
		return err
	}
	m := refusalModel(v.Say, r, p.Now())
	m.Crumbs = []ui.Link{list, {Label: r.TenantName, Href: tenantPath(r.TenantID) + "/refusals"}}
	m.Facts = append([]ui.Fact{{Label: v.Say.T("refusals.col.tenant"), Text: r.TenantName}}, m.Facts...)
	m.Steps = teamSteps(v.Say, r, p.Now(), v.User.Role.MayEdit())
	return p.render(c, refusals.Page(p.frame(c, m.Title, "refusals"), m), nil)
}

// findRefusal reads the one that the address names by its request's id, as callers are told it.
func (p *Panel) findRefusal(c *fiber.Ctx, find func(context.Context, uuid.UUID) (tenancy.Refusal, error)) (tenancy.Refusal, error) {
	digits, _ := strings.CutPrefix(c.Params("id"), requestPrefix)
	bytes, err := hex.DecodeString(digits)
	if err != nil {
		return tenancy.Refusal{}, fault.New(fault.NotFound, "problem.no_page").Because(err)
	}
	id, err := uuid.FromBytes(bytes)
	if err != nil {
		return tenancy.Refusal{}, fault.New(fault.NotFound, "problem.no_page").Because(err)
	}
	return find(c.UserContext(), id)
}

// requestPrefix begins the id of a request, as in x-request-id.
const requestPrefix = "req_"

func requestID(id uuid.UUID) string { return requestPrefix + hex.EncodeToString(id[:]) }
