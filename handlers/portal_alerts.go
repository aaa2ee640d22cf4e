package handlers

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/tenants"
	"github.com/fila-ia/filaia/views/ui"
)

// TenantAlertStore keeps what a customer wants to be told. What it reads of a customer, the customer may see.
type TenantAlertStore interface {
	TenantAlertRules(ctx context.Context, tenantID int64) ([]alert.Rule, alert.Covered, error)
	AlertRulesFor(ctx context.Context, tenantID int64) ([]alert.Rule, alert.Covered, error) // the team's too
	SaveTenantAlerts(ctx context.Context, tenantID int64, rules ...alert.Rule) error
	DropTenantAlert(ctx context.Context, tenantID int64, topic alert.Topic) error
	TenantMailing(ctx context.Context, tenantID int64) (alert.Mailing, error)
	SetTenantLanguage(ctx context.Context, tenantID int64, lang i18n.Lang) error
	Channels(ctx context.Context, owner int64) ([]alert.Destination, error)
	unsubscribeStore
	outsideStore
}

// alertSettings are the pages of one side: the customer's own, or the team's about a customer.
type alertSettings struct {
	*Panel
	portal bool
}

// portalAlerts serves a customer's own settings of alerts.
func (p *Panel) portalAlerts(r fiber.Router) { alertSettings{p, true}.serve(r, "/alerts/settings") }

// tenantAlerts serves the same settings to the team, and what the team itself is told about a customer.
func (p *Panel) tenantAlerts(r fiber.Router) { alertSettings{p, false}.serve(r, "/tenants/:id/alerts") }

func (h alertSettings) serve(r fiber.Router, path string) {
	r.Get(path, h.show)
	r.Post(path+"/language", h.speakTo)
	r.Post(path+"/back", h.bringBack)
	r.Post(path+"/ask", h.askAgain)
	h.topics(r, path, alert.Customer)
	if !h.portal {
		h.topics(r, path+"/team", alert.Operator)
	}
}

// topics serves what an audience is told. The audience is the route's: no form can name another.
func (h alertSettings) topics(r fiber.Router, path string, a alert.Audience) {
	on := func(serve func(*fiber.Ctx, settled) error) fiber.Handler {
		return func(c *fiber.Ctx) error {
			s, err := h.settled(c, a)
			if err != nil {
				return err
			}
			return serve(c, s)
		}
	}
	r.Get(path+"/:metric", h.needOwnEditor, on(h.edit))
	r.Post(path+"/:metric", on(h.save))
	r.Post(path+"/:metric/on", on(h.turn(true)))
	r.Post(path+"/:metric/off", on(h.turn(false)))
	r.Post(path+"/:metric/default", on(h.restore))
}

func (h alertSettings) mayEdit(c *fiber.Ctx) bool {
	role := at(c).User.Role
	return role.MayEdit() || h.portal && role == tenancy.TenantAdmin
}

// needOwnEditor keeps those who may only read away from forms.
func (h alertSettings) needOwnEditor(c *fiber.Ctx) error {
	if !h.mayEdit(c) {
		return fault.New(fault.Forbidden, "problem.forbidden_edit")
	}
	return c.Next()
}

// tenant is whose settings are meant: in the portal always that of the person signed in.
func (h alertSettings) tenant(c *fiber.Ctx) (int64, error) {
	if h.portal {
		return at(c).User.TenantID, nil
	}
	return idParam(c, "id")
}

func (h alertSettings) base(tenantID int64) string {
	if h.portal {
		return "/portal/alerts/settings"
	}
	return tenantPath(tenantID) + "/alerts"
}

// read gives the rules that may cover a customer: in the portal, what the customer may see.
func (h alertSettings) read(ctx context.Context, tenantID int64) ([]alert.Rule, alert.Covered, error) {
	if h.portal {
		return h.TenantAlerts.TenantAlertRules(ctx, tenantID)
	}
	return h.TenantAlerts.AlertRulesFor(ctx, tenantID)
}

// settled is one topic as it is decided, with what its page needs.
type settled struct {
	alert.Setting
	tenantID int64
	rules    []alert.Rule
	covered  alert.Covered
}

func (h alertSettings) settled(c *fiber.Ctx, a alert.Audience) (s settled, err error) {
	if s.tenantID, err = h.tenant(c); err != nil {
		return s, err
	}
	topic := alert.Topic{Audience: a, Metric: alert.Metric(c.Params("metric"))}
	known := false
	for _, t := range alert.Topics(a) {
		known = known || t == topic
	}
	if !known {
		return s, fault.New(fault.NotFound, "problem.no_page")
	}
	key := c.Query("key")
	if !safeMethod(c) {
		key = posted(c, "key")
	}
	if key != "" {
		if topic.KeyID, err = strconv.ParseInt(key, 10, 64); err != nil || topic.KeyID < 0 {
			return s, fault.New(fault.NotFound, "problem.no_page")
		}
	}
	if s.rules, s.covered, err = h.read(c.UserContext(), s.tenantID); err != nil {
		return s, err
	}
	s.Setting = alert.Deciding(s.rules, s.covered, topic)
	if topic.KeyID != 0 && !s.Own { // only a key that has rules of its own has settings of its own
		return s, fault.New(fault.NotFound, "problem.no_page")
	}
	return s, nil
}

func (h alertSettings) show(c *fiber.Ctx) error {
	tenantID, err := h.tenant(c)
	if err != nil {
		return err
	}
	if h.portal {
		if _, err := h.ownZone(c); err != nil {
			return err
		}
		m, err := h.model(c, tenantID)
		if err != nil {
			return err
		}
		return h.render(c, alerts.PortalSettingsPage(h.frame(c, at(c).Say.T("tenant_alerts.title"), "alerts"), m), nil)
	}
	page, t, err := h.tenantPage(c, tenants.Alerts)
	if err != nil {
		return err
	}
	m, err := h.model(c, t.ID)
	if err != nil {
		return err
	}
	m.MayEdit = m.MayEdit && t.Status != tenancy.TenantClosed
	return h.render(c, tenants.AlertsPage(page, m), nil)
}

func (h alertSettings) speakTo(c *fiber.Ctx) error {
	tenantID, err := h.tenant(c)
	if err != nil {
		return err
	}
	if err := h.TenantAlerts.SetTenantLanguage(c.UserContext(), tenantID, i18n.Lang(posted(c, "language"))); err != nil {
		return err
	}
	return h.done(c, h.base(tenantID), "tenant_alerts.language_saved")
}

// maySpeakFor tells whether a person may have an address written to again that asked for no more: a customer's its own and the
// company's, while everybody else has the link of their e-mails; the team whoever asks it to, which the audit log holds.
func (h alertSettings) maySpeakFor(c *fiber.Ctx, m alert.Mailing, address string) bool {
	return !h.portal || strings.EqualFold(address, at(c).User.Email) || strings.EqualFold(address, m.Email)
}

// bringBack undoes an unsubscription.
func (h alertSettings) bringBack(c *fiber.Ctx) error {
	tenantID, err := h.tenant(c)
	if err != nil {
		return err
	}
	link := alert.Subscription{TenantID: tenantID, Address: posted(c, "address"), Metric: alert.Metric(posted(c, "metric"))}
	mailing, err := h.TenantAlerts.TenantMailing(c.UserContext(), tenantID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(mailing.Silent, func(s alert.Silenced) bool {
		return strings.EqualFold(s.Address, link.Address) && s.Metric == link.Metric
	}) {
		return h.redirect(c, h.base(tenantID)) // somebody was faster
	}
	if !h.maySpeakFor(c, mailing, link.Address) {
		return fault.New(fault.Forbidden, "tenant_alerts.error.not_theirs")
	}
	if err := h.TenantAlerts.Resubscribe(c.UserContext(), link); err != nil {
		return err
	}
	return h.done(c, h.base(tenantID), "tenant_alerts.silent.is_back", "address", short(link.Address, 80))
}

// turn switches a topic on or off; htmx gets its row back.
func (h alertSettings) turn(on bool) func(*fiber.Ctx, settled) error {
	return func(c *fiber.Ctx, s settled) error {
		r := s.Draft()
		if r.Enabled = on; s.Enabled() != on {
			err := h.TenantAlerts.SaveTenantAlerts(c.UserContext(), s.tenantID, r)
			if fault.Is(err, fault.Invalid) { // what was off may tell nobody: the form asks whom
				return h.redirect(c, topicPath(h.base(s.tenantID), s.Topic)+"?key="+keyText(s.KeyID))
			}
			if err != nil {
				return err
			}
		}
		if !wantsPartial(c) {
			return h.done(c, h.base(s.tenantID), map[bool]string{true: "tenant_alerts.turned_on", false: "tenant_alerts.turned_off"}[on])
		}
		m, err := h.model(c, s.tenantID)
		if err != nil {
			return err
		}
		row := alerts.SettingRow(at(c).Say, m, rowOf(m, s))
		return h.render(c, row, row)
	}
}

// rowOf finds the topic among the page's rows.
func rowOf(m alerts.SettingsModel, s settled) alerts.Setting {
	for _, groups := range [][]alerts.SettingGroup{m.Groups, m.Team} {
		for _, g := range groups {
			for _, row := range g.Rows {
				if row.Audience == string(s.Audience) && row.Metric == string(s.Metric) && row.KeyID == keyText(s.KeyID) {
					return row
				}
			}
		}
	}
	return alerts.Setting{}
}

// topicPath is where a topic is changed; its key is the query's.
func topicPath(base string, t alert.Topic) string {
	if t.Audience == alert.Operator {
		base += "/team"
	}
	return base + "/" + string(t.Metric)
}

func keyText(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

func (h alertSettings) restore(c *fiber.Ctx, s settled) error {
	if err := h.TenantAlerts.DropTenantAlert(c.UserContext(), s.tenantID, s.Topic); err != nil {
		return err
	}
	return h.done(c, h.base(s.tenantID), "tenant_alerts.restored", "topic", at(c).Say.T("tenant_alerts.topic."+string(s.Metric)))
}

// settingCrumbs lead back from a topic's form.
func (h alertSettings) settingCrumbs(c *fiber.Ctx, tenantID int64, company string) []ui.Link {
	say := at(c).Say
	if h.portal {
		return []ui.Link{{Label: say.T("alert_events.title"), Href: "/portal/alerts"}, {Label: say.T("alert_events.tab.settings"), Href: h.base(tenantID)}}
	}
	return []ui.Link{
		{Label: say.T("nav.tenants"), Href: "/tenants"}, {Label: company, Href: tenantPath(tenantID)},
		{Label: say.T("tenant_alerts.tab"), Href: h.base(tenantID)},
	}
}
