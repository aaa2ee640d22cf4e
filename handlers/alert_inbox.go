package handlers

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/layout"
)

// inboxRows is how many alerts the bell opens.
const inboxRows = 8

// alertInbox serves the bell of everyone who is signed in.
func (p *Panel) alertInbox(r fiber.Router) {
	r.Get("/", p.inbox)
	r.Get("/live", p.inboxLive)
	r.Post("/seen", p.inboxSeen)
}

// historyPath is where a person's history of alerts is.
func historyPath(u *tenancy.User) string {
	if u.Role.OfTenant() {
		return "/portal/alerts"
	}
	return "/alerts"
}

// hears tells whether there is a bell to show.
func (p *Panel) hears(u *tenancy.User) bool {
	return u != nil && p.Alerts != nil && p.OwnAlerts != nil
}

// unseen counts what a person has not seen, and gives the id up to which they have.
func (p *Panel) unseen(ctx context.Context, u *tenancy.User) (n int, upTo int64, err error) {
	if u.Role.OfTenant() {
		return p.OwnAlerts.UnseenOwnAlerts(ctx, u.TenantID, u.ID)
	}
	return p.Alerts.UnseenAlerts(ctx, u.ID)
}

// frameBell is the bell of a page. A page is worth showing without one.
func (p *Panel) frameBell(c *fiber.Ctx) *layout.Bell {
	v := at(c)
	if !p.hears(v.User) {
		return nil
	}
	n, _, err := p.unseen(c.UserContext(), v.User)
	if err != nil {
		p.Log.WarnContext(c.UserContext(), "bell not counted", "request_id", v.RequestID, "error", err)
	}
	return &layout.Bell{Unseen: n, Href: historyPath(v.User)}
}

// bellSnapshot is a person's number at one moment.
type bellSnapshot int

func (n bellSnapshot) parts(ctx context.Context, lang i18n.Lang) ([]part, error) {
	return rendered(ctx, []component{{"bell", layout.BellCount(i18n.NewPrinter(lang, nil), int(n))}})
}

// bell is what every stream of a person carries; nothing where there is no bell.
func (p *Panel) bell(v *visitor) []watch {
	if !p.hears(v.User) {
		return nil
	}
	u := *v.User
	return []watch{{scope{inbox: u.ID}, func(ctx context.Context) (snapshot, error) {
		n, _, err := p.unseen(ctx, &u)
		return bellSnapshot(n), err
	}}}
}

// inboxLive is the stream of pages that have none of their own.
func (p *Panel) inboxLive(c *fiber.Ctx) error {
	watched := p.bell(at(c))
	if watched == nil {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	return p.streams(c, watched...)
}

// inbox is what opens at the bell.
func (p *Panel) inbox(c *fiber.Ctx) error {
	u := at(c).User
	if !p.hears(u) {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	if !wantsPartial(c) {
		return c.Redirect(historyPath(u), fiber.StatusSeeOther)
	}
	m, err := p.inboxModel(c)
	if err != nil {
		return err
	}
	return p.render(c, alerts.Inbox(at(c).Say, m), nil)
}

func (p *Panel) inboxModel(c *fiber.Ctx) (alerts.InboxModel, error) {
	ctx, u := c.UserContext(), at(c).User
	h := p.teamHistory()
	if u.Role.OfTenant() {
		h = p.ownHistory(u.TenantID)
		if _, err := p.ownZone(c); err != nil {
			return alerts.InboxModel{}, err
		}
	}
	m := alerts.InboxModel{Now: p.Now(), All: h.path, CSRF: p.formToken(c), Back: h.path}
	n, upTo, err := p.unseen(ctx, u)
	if err != nil {
		return m, err
	}
	m.Unseen = n
	entries, err := h.list(ctx, alert.HistoryQuery{Audience: alert.Operator, Limit: inboxRows})
	if err != nil {
		return m, err
	}
	for _, e := range entries {
		m.Rows = append(m.Rows, historyRow(at(c).Say, e, h.path, upTo))
		m.UpTo = max(m.UpTo, e.ID)
	}
	return m, nil
}

// inboxSeen notes up to which alert a person has seen their inbox.
func (p *Panel) inboxSeen(c *fiber.Ctx) error {
	u := at(c).User
	if !p.hears(u) {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	upTo, err := strconv.ParseInt(posted(c, "up_to"), 10, 64)
	if err != nil || upTo < 0 {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	if err := p.Alerts.SeenAlerts(c.UserContext(), u.ID, upTo); err != nil {
		return err
	}
	p.NotifyInbox() // at once for this person's other pages here; other replicas hear it from the database
	if !wantsPartial(c) {
		return c.Redirect(backTo(c, historyPath(u)), fiber.StatusSeeOther)
	}
	m, err := p.inboxModel(c)
	if err != nil {
		return err
	}
	return p.render(c, alerts.Inbox(at(c).Say, m), nil)
}

// backTo is the page that a form says it stood on, or else another.
func backTo(c *fiber.Ctx, otherwise string) string {
	if back := posted(c, "back"); localPath(back) {
		return back
	}
	return otherwise
}
