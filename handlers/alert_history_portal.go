package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

// portalAlertHistory serves a customer what was raised for it.
func (p *Panel) portalAlertHistory(r fiber.Router) {
	r.Get("/alerts", p.portalAlertsList)
	r.Get("/alerts/live", p.portalAlertsLive)
	r.Post("/alerts/acknowledge", p.portalAcknowledgeAlerts)
	r.Get("/alerts/:id<int>", p.portalAlertEvent)
	r.Get("/alerts/:id<int>/live", p.portalAlertEventLive)
	r.Post("/alerts/:id<int>/acknowledge", p.portalAcknowledgeAlert)
}

// ownHistory reads a customer's own.
func (p *Panel) ownHistory(tenantID int64) historyReader {
	return historyReader{
		path: "/portal/alerts", tenantID: tenantID,
		list: func(ctx context.Context, q alert.HistoryQuery) ([]alert.Entry, error) {
			return p.OwnAlerts.OwnAlerts(ctx, tenantID, q)
		},
		counts: func(ctx context.Context, q alert.HistoryQuery) (alert.HistoryCounts, error) {
			return p.OwnAlerts.OwnAlertCounts(ctx, tenantID, q)
		},
		one: func(ctx context.Context, id int64) (alert.Case, error) {
			return p.OwnAlerts.OwnAlert(ctx, tenantID, id)
		},
	}
}

func (p *Panel) portalAlertsList(c *fiber.Ctx) error {
	if _, err := p.ownZone(c); err != nil {
		return err
	}
	v := at(c)
	q := historyQuery(c)
	q.Audience, q.TenantID = alert.Customer, v.User.TenantID
	m, err := p.historyModel(c, p.ownHistory(v.User.TenantID), q)
	if err != nil {
		return err
	}
	if mayAcknowledge(v.User) {
		m.Acknowledge = "/portal/alerts/acknowledge"
	}
	m.Reader = v.User.Role != tenancy.TenantAdmin
	return p.renderHistory(c, alerts.PortalHistoryPage(p.frame(c, v.Say.T("alert_events.title"), "alerts"), m), m)
}

func (p *Panel) portalAlertsLive(c *fiber.Ctx) error {
	return p.historyLive(c, p.ownHistory(at(c).User.TenantID))
}

func (p *Panel) portalAcknowledgeAlerts(c *fiber.Ctx) error {
	return p.acknowledgeChosen(c, "/portal/alerts", p.acknowledgeOwn(c))
}

func (p *Panel) acknowledgeOwn(c *fiber.Ctx) func(context.Context, []int64) (int, error) {
	tenantID := at(c).User.TenantID
	return func(ctx context.Context, ids []int64) (int, error) {
		return p.OwnAlerts.AcknowledgeOwnAlerts(ctx, tenantID, ids)
	}
}

func (p *Panel) portalAlertEvent(c *fiber.Ctx) error {
	if _, err := p.ownZone(c); err != nil {
		return err
	}
	v := at(c)
	m, err := p.eventModel(c, p.ownHistory(v.User.TenantID))
	if err != nil {
		return err
	}
	if !mayAcknowledge(v.User) {
		m.Acknowledge, m.Links = "", nil
	}
	return p.render(c, alerts.PortalEventPage(p.frame(c, m.Title, "alerts"), m), alerts.Event(v.Say, m))
}

func (p *Panel) portalAlertEventLive(c *fiber.Ctx) error {
	return p.eventLive(c, p.ownHistory(at(c).User.TenantID))
}

func (p *Panel) portalAcknowledgeAlert(c *fiber.Ctx) error {
	return p.acknowledgeOne(c, "/portal/alerts", p.acknowledgeOwn(c))
}

// ownTodo is what a customer can do about an alert.
func ownTodo(say i18n.Printer, e alert.Event, mayEdit bool) *ui.Link {
	switch e.Metric {
	case alert.SpendCap, alert.Overage:
		if mayEdit {
			return &ui.Link{Label: say.T("alert_events.todo.cap"), Href: "/portal/spend-cap"}
		}
		return &ui.Link{Label: say.T("alert_events.todo.usage"), Href: "/portal"}
	case alert.KeyUnused, alert.KeyAddress:
		return &ui.Link{Label: say.T("alert_events.todo.keys"), Href: "/portal/keys"}
	case alert.ErrorRate:
		return &ui.Link{Label: say.T("alert_events.todo.refusals"), Href: "/portal/refusals"}
	case alert.SuddenChange, alert.LatencyP95, alert.InputQuota, alert.OutputQuota, alert.Forecast:
		return &ui.Link{Label: say.T("alert_events.todo.usage"), Href: "/portal"}
	}
	return nil
}

// teamTodo is where the team does something about an alert.
func teamTodo(say i18n.Printer, e alert.Event, mayEdit bool) *ui.Link {
	link := func(key, href string) *ui.Link { return &ui.Link{Label: say.T("alert_events.todo." + key), Href: href} }
	switch e.Metric {
	case alert.InputQuota, alert.OutputQuota, alert.Overage, alert.SpendCap, alert.Forecast:
		if e.Subject.TenantID == 0 {
			return nil
		}
		if mayEdit {
			return link("plan", tenantPath(e.Subject.TenantID)+"/plan")
		}
		return link("tenant", tenantPath(e.Subject.TenantID))
	case alert.KeyUnused, alert.KeyAddress:
		if e.Subject.KeyID != 0 {
			return link("key", keyPath(e.Subject.KeyID))
		}
	case alert.SuddenChange, alert.ErrorRate, alert.LatencyP95:
		if e.Subject.TenantID != 0 {
			return link("usage", tenantPath(e.Subject.TenantID)+"/usage")
		}
		return link("usage", "/")
	case alert.BreakerOpen, alert.SpoolLag, alert.QueueAge:
		return link("operations", "/operations")
	case alert.Provider429:
		return link("providers", "/providers")
	case alert.RateStale:
		return link("rate", "/models")
	case alert.ProviderCost:
		return link("usage", "/")
	}
	return nil
}
