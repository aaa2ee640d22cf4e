package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/refusals"
	"github.com/fila-ia/filaia/views/ui"
)

// OwnRefusals reads why a customer's own calls were refused.
type OwnRefusals interface {
	OwnRefusal(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error)
	OwnRefusals(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]tenancy.Refusal, error)
}

func (p *Panel) portalRefusals(c *fiber.Ctx) error {
	if _, err := p.ownZone(c); err != nil {
		return err
	}
	v := at(c)
	m := refusals.ListModel{Crumbs: []ui.Link{{Label: v.Say.T("portal.title"), Href: "/portal"}}}
	var err error
	if m.List, err = p.refusalList(c, v.User.TenantID, p.Portal.OwnRefusals, "/portal/refusals"); err != nil {
		return err
	}
	return p.render(c, refusals.PortalListPage(p.frame(c, v.Say.T("refusals.title"), "refusals"), m), refusals.Rows(v.Say, m.List))
}

// portalRefusal is where the message of a refused call leads to.
func (p *Panel) portalRefusal(c *fiber.Ctx) error {
	if _, err := p.ownZone(c); err != nil {
		return err
	}
	v := at(c)
	crumbs := []ui.Link{{Label: v.Say.T("refusals.title"), Href: "/portal/refusals"}}
	r, err := p.findRefusal(c, func(ctx context.Context, id uuid.UUID) (tenancy.Refusal, error) {
		return p.Portal.OwnRefusal(ctx, v.User.TenantID, id)
	})
	if fault.Is(err, fault.NotFound) {
		c.Status(fiber.StatusNotFound)
		frame := p.frame(c, v.Say.T("refusals.unknown.title"), "refusals")
		return p.render(c, refusals.PortalUnknownPage(frame, refusals.UnknownModel{Crumbs: crumbs, List: "/portal/refusals"}), nil)
	}
	if err != nil {
		return err
	}
	m := refusalModel(v.Say, r, p.Now())
	m.Crumbs, m.Steps = crumbs, customerSteps(v.Say, r, p.Now())
	return p.render(c, refusals.PortalPage(p.frame(c, m.Title, "refusals"), m), nil)
}
