package handlers

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/mail"
	"github.com/fila-ia/filaia/views/ui"
)

// AlertStore reads what was raised and how it was delivered.
type AlertStore interface {
	Alerts(ctx context.Context, q alert.HistoryQuery) ([]alert.Entry, error)
	AlertCounts(ctx context.Context, q alert.HistoryQuery) (alert.HistoryCounts, error)
	Alert(ctx context.Context, id int64) (alert.Case, error)
	AcknowledgeAlerts(ctx context.Context, ids []int64) (int, error)
	SnoozeAlert(ctx context.Context, id int64, until time.Time) error
	UnsnoozeAlert(ctx context.Context, id int64) error
	ResendDelivery(ctx context.Context, id int64) error
	KeptDeliveries(ctx context.Context) (int, error)
	KeptList(ctx context.Context) ([]alert.KeptMessage, error)
	SendKeptDeliveries(ctx context.Context, chosen []int64) (int, error)
	LettersSent(ctx context.Context, files []string) (map[string]alert.DeliveryState, error)
	UnseenAlerts(ctx context.Context, userID int64) (n int, upTo int64, err error)
	SeenAlerts(ctx context.Context, userID, upTo int64) error
}

// OwnAlerts is a customer's side of that. As with PortalStore, the database holds it to that tenant.
type OwnAlerts interface {
	OwnAlerts(ctx context.Context, tenantID int64, q alert.HistoryQuery) ([]alert.Entry, error)
	OwnAlertCounts(ctx context.Context, tenantID int64, q alert.HistoryQuery) (alert.HistoryCounts, error)
	OwnAlert(ctx context.Context, tenantID, id int64) (alert.Case, error)
	AcknowledgeOwnAlerts(ctx context.Context, tenantID int64, ids []int64) (int, error)
	UnseenOwnAlerts(ctx context.Context, tenantID, userID int64) (n int, upTo int64, err error)
}

const alertsPage = 50

// alertHistory serves what was raised to the team.
func (p *Panel) alertHistory(r fiber.Router) {
	r.Get("/alerts", p.alertsList)
	r.Get("/alerts/live", p.alertsLive)
	r.Post("/alerts/acknowledge", p.acknowledgeAlerts)
	r.Get(keptPath, p.needEditor, p.showKept)
	r.Post(keptPath, p.sendKept)
	r.Get("/alerts/:id<int>", p.alertEvent)
	r.Get("/alerts/:id<int>/live", p.alertEventLive)
	r.Post("/alerts/:id<int>/acknowledge", p.acknowledgeAlert)
	r.Post("/alerts/:id<int>/snooze", p.snoozeAlert)
	r.Post("/alerts/:id<int>/unsnooze", p.unsnoozeAlert)
	r.Post("/alerts/:id<int>/deliveries/:delivery<int>/resend", p.resendDelivery)
}

// historyReader is how one side reads its history.
type historyReader struct {
	path     string
	tenantID int64 // of the customer who asks; 0: the team does
	list     func(context.Context, alert.HistoryQuery) ([]alert.Entry, error)
	counts   func(context.Context, alert.HistoryQuery) (alert.HistoryCounts, error)
	one      func(context.Context, int64) (alert.Case, error)
}

// scope is of the streams that tell when its pages are old.
func (h historyReader) scope() scope {
	return scope{view: alertsView, portal: h.tenantID != 0, tenantID: h.tenantID}
}

func (p *Panel) teamHistory() historyReader {
	return historyReader{path: "/alerts", list: p.Alerts.Alerts, counts: p.Alerts.AlertCounts, one: p.Alerts.Alert}
}

func (p *Panel) alertsList(c *fiber.Ctx) error {
	v := at(c)
	q := historyQuery(c)
	if q.Audience == "" {
		q.Audience = alert.Operator
	}
	m, err := p.historyModel(c, p.teamHistory(), q)
	if err != nil {
		return err
	}
	if v.User.Role.MayEdit() {
		m.Acknowledge = "/alerts/acknowledge"
	}
	if m.Mail = p.mailMissing(c); len(m.Mail) > 0 && !v.User.Role.MayManageUsers() {
		m.MailNote = v.Say.T("mail_access.ask")
	}
	if m.Unsent, err = p.keptMessages(c); err != nil {
		return err
	}
	return p.renderHistory(c, alerts.HistoryPage(p.frame(c, v.Say.T("alert_events.title"), "alerts"), m), m)
}

// renderHistory answers with the page, with its region, or with the rows after those that are shown.
func (p *Panel) renderHistory(c *fiber.Ctx, page templ.Component, m alerts.HistoryModel) error {
	if c.Query("before") != "" {
		return p.render(c, page, alerts.HistoryRows(at(c).Say, m))
	}
	return p.render(c, page, alerts.HistoryRegion(at(c).Say, m))
}

// mailMissing leads to the messages that are kept while e-mail is not set up, and owners to where it is; nil: it is, or nothing
// is known of it.
func (p *Panel) mailMissing(c *fiber.Ctx) []ui.Link {
	if wantsPartial(c) || p.mailReady(c.UserContext()) {
		return nil
	}
	v := at(c)
	links := []ui.Link{{Label: v.Say.T("mail.outbox_open"), Href: mail.Path + "/outbox"}}
	if v.User.Role.MayManageUsers() {
		links = append([]ui.Link{{Label: v.Say.T("alert_events.mail.action"), Href: mail.Path}}, links...)
	}
	return links
}

// historyQuery reads which alerts are asked for: to, part, metric, tenant, before. What is unknown narrows nothing.
func historyQuery(c *fiber.Ctx) alert.HistoryQuery {
	q := alert.HistoryQuery{Limit: alertsPage + 1, TenantID: tenantParam(c)}
	if c.Query("to") == "customers" {
		q.Audience = alert.Customer
	}
	if _, ok := alert.Metric(c.Query("metric")).Kind(); ok {
		q.Metric = alert.Metric(c.Query("metric"))
	}
	for _, part := range historyParts {
		if c.Query("part") == string(part) {
			q.Part = part
		}
	}
	if before, err := strconv.ParseInt(c.Query("before"), 10, 64); err == nil && before > 0 {
		q.Before = before
	}
	return q
}

var historyParts = []alert.HistoryPart{alert.WholeHistory, alert.OpenAlerts, alert.FailedAlerts, alert.AcknowledgedAlerts, alert.ResolvedAlerts}

func (p *Panel) historyModel(c *fiber.Ctx, h historyReader, q alert.HistoryQuery) (alerts.HistoryModel, error) {
	ctx, v := c.UserContext(), at(c)
	m := alerts.HistoryModel{Portal: h.tenantID != 0, Path: h.path, Stream: h.path + "/live", Now: p.Now(), CSRF: p.formToken(c)}
	unseen, upTo, err := p.unseen(ctx, v.User)
	if err != nil {
		return m, err
	}
	entries, err := h.list(ctx, q)
	if err != nil {
		return m, err
	}
	counts, err := h.counts(ctx, q)
	if err != nil {
		return m, err
	}
	if m.Mark, err = historyMark(ctx, h); err != nil {
		return m, err
	}
	f := historyFilters{say: v.Say, path: h.path, q: q}
	if len(entries) > alertsPage {
		entries = entries[:alertsPage]
		m.More = f.href("before", strconv.FormatInt(entries[alertsPage-1].ID, 10))
	}
	for _, e := range entries {
		if q.Audience == alert.Customer && h.tenantID == 0 {
			m.Rows = append(m.Rows, historyRow(v.Say, e, h.path, e.ID)) // what customers were told is not news to the team
		} else {
			m.Rows = append(m.Rows, historyRow(v.Say, e, h.path, upTo))
		}
		m.UpTo = max(m.UpTo, e.ID)
	}
	f.into(&m, counts)
	if !m.Narrowed && q.Before == 0 {
		m.Unseen = unseen
	}
	return m, nil
}

// historyMark tells how the newest alerts stand: another mark, and a page that shows them is old.
func historyMark(ctx context.Context, h historyReader) (string, error) {
	entries, err := h.list(ctx, alert.HistoryQuery{Limit: alertsPage})
	if err != nil {
		return "", err
	}
	sum := fnv.New64a()
	for _, e := range entries {
		fmt.Fprintln(sum, e.ID, e.Progress(), e.Told)
	}
	return strconv.FormatUint(sum.Sum64(), 36), nil
}

// marked is a snapshot that only tells whether a page is old.
type marked struct{ part }

func (m marked) parts(context.Context, i18n.Lang) ([]part, error) { return []part{m.part}, nil }

func (p *Panel) alertsLive(c *fiber.Ctx) error { return p.historyLive(c, p.teamHistory()) }

func (p *Panel) historyLive(c *fiber.Ctx, h historyReader) error {
	return p.stream(c, h.scope(), func(ctx context.Context) (snapshot, error) {
		mark, err := historyMark(ctx, h)
		return marked{part{"alerts", mark}}, err
	})
}

func (p *Panel) acknowledgeAlerts(c *fiber.Ctx) error {
	return p.acknowledgeChosen(c, "/alerts", p.Alerts.AcknowledgeAlerts)
}

// acknowledgeChosen acknowledges what was ticked in the list.
func (p *Panel) acknowledgeChosen(c *fiber.Ctx, path string, acknowledge func(context.Context, []int64) (int, error)) error {
	var ids []int64
	for _, text := range readForm(c).All("alert") {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || len(ids) >= 10*alertsPage {
			return fault.New(fault.NotFound, "problem.no_page")
		}
		ids = append(ids, id)
	}
	say := at(c).Say
	told := say.T("alert_events.acknowledged.none")
	if len(ids) > 0 {
		n, err := acknowledge(c.UserContext(), ids)
		if err != nil {
			return err
		}
		if told = say.T("alert_events.acknowledged.already"); n > 0 {
			told = say.T("alert_events.acknowledged.done", "n", n)
		}
		p.NotifyInbox()
	}
	if err := p.flash(c, told); err != nil {
		return err
	}
	return p.redirect(c, backTo(c, path))
}

// historyFilters writes the addresses that narrow the history.
type historyFilters struct {
	say  i18n.Printer
	path string
	q    alert.HistoryQuery
}

// values are the present filters as they stand in the address.
func (f historyFilters) values() url.Values {
	v := url.Values{}
	if f.path == "/alerts" {
		if f.q.Audience == alert.Customer {
			v.Set("to", "customers")
		}
		if f.q.TenantID != 0 {
			v.Set("tenant", strconv.FormatInt(f.q.TenantID, 10))
		}
	}
	if f.q.Part != "" {
		v.Set("part", string(f.q.Part))
	}
	if f.q.Metric != "" {
		v.Set("metric", string(f.q.Metric))
	}
	return v
}

// href is the page with one filter changed; "" removes it.
func (f historyFilters) href(name, value string) string {
	v := f.values()
	if v.Set(name, value); value == "" {
		v.Del(name)
	}
	if len(v) == 0 {
		return f.path
	}
	return f.path + "?" + v.Encode()
}

func (f historyFilters) into(m *alerts.HistoryModel, counts alert.HistoryCounts) {
	say, now := f.say, f.values()
	m.Here = f.href("", "")
	m.Total = counts.Of(f.q.Part)
	m.Narrowed = len(now) > 0 && !(len(now) == 1 && now.Has("to") && counts.All == 0)
	if !m.Portal {
		team := alerts.Chip{Label: say.T("alert_events.to.team"), Href: f.href("to", ""), Count: -1, Active: f.q.Audience != alert.Customer}
		customers := alerts.Chip{Label: say.T("alert_events.to.customers"), Href: f.href("to", "customers"), Count: -1, Active: f.q.Audience == alert.Customer}
		m.Filters = append(m.Filters, alerts.Chips{Label: say.T("alert_events.to"), Chips: []alerts.Chip{team, customers}})
	}
	parts := alerts.Chips{Label: say.T("alert_events.part")}
	for _, part := range historyParts {
		if m.Portal && counts.Of(part) == 0 && part != f.q.Part && part != alert.WholeHistory {
			continue // customers have few
		}
		word := string(part)
		if part == alert.WholeHistory {
			word = "all"
		}
		parts.Chips = append(parts.Chips, alerts.Chip{
			Label: say.T("alert_events.part." + word), Href: f.href("part", string(part)), Count: counts.Of(part), Active: f.q.Part == part,
		})
	}
	m.Filters = append(m.Filters, parts)
	m.Metric = string(f.q.Metric)
	m.Metrics = []ui.Option{{Label: say.T("alert_events.metric.all")}}
	for _, kind := range alert.Kinds() {
		if !m.Portal && f.q.Audience != alert.Customer || slices.Contains(kind.Audiences, alert.Customer) {
			m.Metrics = append(m.Metrics, ui.Option{Value: string(kind.Metric), Label: say.T("alerts.metric." + string(kind.Metric))})
		}
	}
	for name := range now {
		if name != "metric" {
			m.Kept = append(m.Kept, ui.Link{Label: name, Href: now.Get(name)})
		}
	}
	if f.q.TenantID != 0 && !m.Portal {
		name := "#" + strconv.FormatInt(f.q.TenantID, 10)
		for _, r := range m.Rows {
			name = r.Tenant
		}
		m.Tenant = &alerts.Chip{Label: say.T("alert_events.only_tenant", "tenant", name), Href: f.href("tenant", "")}
	}
}

// mayAcknowledge tells whether the person may take care of what was raised on their side.
func mayAcknowledge(u *tenancy.User) bool { return u.Role.MayEdit() || u.Role == tenancy.TenantAdmin }
