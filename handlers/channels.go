package handlers

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/channels"
	"github.com/fila-ia/filaia/views/ui"
)

// ChannelStore keeps where alerts go besides e-mail. An owner is a tenant, or 0 for the operator, and has its own only.
type ChannelStore interface {
	Channels(ctx context.Context, owner int64) ([]alert.Destination, error)
	Channel(ctx context.Context, owner, id int64) (alert.Destination, []alert.RuleUse, error)
	ChannelMessages(ctx context.Context, owner, id int64) ([]alert.Message, error)
	SendingChannel(ctx context.Context, id int64) (alert.Destination, error)
	CreateChannel(ctx context.Context, d alert.Destination) (alert.Destination, error)
	EditChannel(ctx context.Context, owner, id int64, action string, change func(*alert.Destination) error) (alert.Destination, error)
	DeleteChannel(ctx context.Context, owner, id int64) error
}

// ChannelSender sends through channels.
type ChannelSender interface {
	// Send tells what the other side answered, without secrets, also beside an error.
	Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (answer string, err error)
	// Check is an Invalid fault for an address that would be refused.
	Check(ctx context.Context, address string) error
	// Plain tells whether addresses without TLS are allowed.
	Plain() bool
}

// channelPages are the pages of one side: the operator's, or a customer's.
type channelPages struct {
	*Panel
	portal bool
}

// channels serves the operator's channels.
func (p *Panel) channels(r fiber.Router) { channelPages{p, false}.serve(r) }

// portalChannels serves a customer's channels.
func (p *Panel) portalChannels(r fiber.Router) { channelPages{p, true}.serve(r) }

func (h channelPages) serve(r fiber.Router) {
	const path = "/alerts/channels"
	r.Get(path, h.list)
	r.Post(path, h.create)
	r.Get(path+"/new", h.needOwnEditor, h.newOne)
	r.Get(path+"/:id", h.show)
	r.Post(path+"/:id", h.update)
	r.Get(path+"/:id/edit", h.needOwnEditor, h.edit)
	r.Post(path+"/:id/test", h.test)
	r.Post(path+"/:id/rotate", h.rotate)
	r.Post(path+"/:id/on", h.turn(true))
	r.Post(path+"/:id/off", h.turn(false))
	r.Post(path+"/:id/delete", h.remove)
}

// owner is whose channels the person may see.
func (h channelPages) owner(c *fiber.Ctx) int64 {
	if h.portal {
		return at(c).User.TenantID
	}
	return 0
}

func (h channelPages) base() string {
	if h.portal {
		return "/portal/alerts/channels"
	}
	return "/alerts/channels"
}

func (h channelPages) path(id int64) string { return h.base() + "/" + strconv.FormatInt(id, 10) }

func (h channelPages) mayEdit(c *fiber.Ctx) bool {
	role := at(c).User.Role
	return role.MayEdit() || h.portal && role == tenancy.TenantAdmin
}

// needOwnEditor keeps those who may only read away from forms.
func (h channelPages) needOwnEditor(c *fiber.Ctx) error {
	if !h.mayEdit(c) {
		return fault.New(fault.Forbidden, "problem.forbidden_edit")
	}
	return c.Next()
}

func (h channelPages) side(c *fiber.Ctx, title string) channels.Side {
	return channels.Side{Frame: h.frame(c, title, "alerts"), Portal: h.portal, Base: h.base(), MayEdit: h.mayEdit(c)}
}

// speak makes the portal's pages speak in the customer's zone.
func (h channelPages) speak(c *fiber.Ctx) error {
	if !h.portal {
		return nil
	}
	_, err := h.ownZone(c)
	return err
}

func (h channelPages) list(c *fiber.Ctx) error {
	found, err := h.Channels.Channels(c.UserContext(), h.owner(c))
	if err != nil {
		return err
	}
	say := at(c).Say
	title, uses := say.T("channels.title"), say.T("channels.col.rules")
	if h.portal { // one of the tabs of its alerts
		title, uses = say.T("alert_events.title"), say.T("channels.col.notices")
	}
	m := channels.ListModel{Side: h.side(c, title)}
	for _, d := range found {
		m.Rows = append(m.Rows, channelModel(d))
	}
	m.Table = ui.TableModel{
		ID: "channels-table", Path: h.base(), Query: queryValues(c), Label: say.T("channels.title"), CountKey: "channels.count", Total: int64(len(m.Rows)),
		Columns: []ui.Column{
			{Label: say.T("channels.col.name")}, {Label: say.T("channels.col.state")}, {Label: say.T("channels.col.kind")},
			{Label: say.T("channels.col.target")}, {Label: uses, Numeric: true}, {Label: say.T("operations.col.actions"), Hidden: true},
		},
		Empty: ui.EmptyModel{Icon: "bell", Title: say.T("channels.empty_title"), Text: say.T("channels.empty_text")},
	}
	if m.MayEdit {
		m.Table.Empty.Action = ui.LinkButton(ui.ButtonModel{Label: say.T("channels.new"), Icon: "plus", Kind: ui.Primary, Href: h.base() + "/new"})
	}
	m.Rows = window(m.Rows, ui.Page(m.Table.Query))
	return h.render(c, channels.ListPage(m), channels.Table(m))
}

func channelModel(d alert.Destination) channels.Channel {
	return channels.Channel{
		ID: strconv.FormatInt(d.ID, 10), Name: d.Name, Kind: string(d.Kind), Target: d.Target, Language: string(d.Language), Active: d.Active,
		Rules: d.Rules, CreatedAt: d.CreatedAt, Failing: d.Active && d.Failing,
	}
}

// channelNote tells channels of like names apart: Slack · hooks.slack.com.
func channelNote(say i18n.Printer, d alert.Destination) string {
	return say.T("alert_events.channel."+string(d.Kind)) + " · " + d.Target
}

// one gives the channel that the path names, if it is the owner's, and the rules that name it.
func (h channelPages) one(c *fiber.Ctx) (alert.Destination, []alert.RuleUse, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return alert.Destination{}, nil, err
	}
	return h.Channels.Channel(c.UserContext(), h.owner(c), id)
}

func (h channelPages) show(c *fiber.Ctx) error {
	if err := h.speak(c); err != nil {
		return err
	}
	d, rules, err := h.one(c)
	if err != nil {
		return err
	}
	m, err := h.shown(c, d, rules)
	if err != nil {
		return err
	}
	return h.render(c, channels.ShowPage(m), nil)
}

func (h channelPages) shown(c *fiber.Ctx, d alert.Destination, rules []alert.RuleUse) (channels.ShowModel, error) {
	m := channels.ShowModel{Side: h.side(c, d.Name), Channel: channelModel(d)}
	for _, r := range rules {
		m.Rules = append(m.Rules, h.ruleModel(at(c).Say, r))
	}
	sent, err := h.Channels.ChannelMessages(c.UserContext(), h.owner(c), d.ID)
	if err != nil {
		return m, err
	}
	for _, one := range sent {
		m.Sent = append(m.Sent, h.sentModel(c, one))
	}
	if d.Kind != alert.Webhook {
		return m, nil
	}
	a, err := h.open(c, d)
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return m, err
	}
	m.Signing = &channels.Signing{Sealed: err != nil}
	if len(a.Secrets) > 1 && h.Now().Before(a.Secrets[1].Until) {
		m.Signing.PreviousUntil = a.Secrets[1].Until
	}
	return m, nil
}

// sentModel is a message through a channel: how it stands, and what the other side answered last.
func (h channelPages) sentModel(c *fiber.Ctx, one alert.Message) channels.Sent {
	m := h.messageModel(at(c).Say, one, "", h.Now(), h.portal, false)
	sent := channels.Sent{State: ui.StatusDot(m.State.Tone, m.State.Word), At: one.CreatedAt, Kind: m.Kind, Due: m.Due, Tries: len(m.Tries)}
	if len(m.Tries) > 0 {
		last := m.Tries[len(m.Tries)-1]
		sent.Answer, sent.TriedAt, sent.Arrived = last.Answer, last.At, one.Tries[len(m.Tries)-1].Outcome == alert.OutcomeDelivered
	}
	if len(one.EventIDs) > 0 {
		history := "/alerts/"
		if h.portal {
			history = "/portal/alerts/"
		}
		sent.Href = history + strconv.FormatInt(one.EventIDs[0], 10)
	}
	return sent
}

// ruleModel calls a rule by its name, or by what it watches. A customer changes its own among its settings; names are the team's.
func (h channelPages) ruleModel(say i18n.Printer, r alert.RuleUse) channels.Rule {
	m := channels.Rule{Name: r.Name, Enabled: r.Enabled}
	if m.Name == "" || h.portal {
		m.Name = say.T("alerts.metric." + string(r.Metric))
	}
	m.Href = "/portal/alerts/settings"
	if !h.portal {
		m.Href, m.Audience = rulePath(r.ID), say.T("channels.audience."+string(r.Audience))
	}
	return m
}

// turn switches a channel on or off.
func (h channelPages) turn(on bool) fiber.Handler {
	key := "channels.turned_off"
	if on {
		key = "channels.turned_on"
	}
	return func(c *fiber.Ctx) error {
		id, err := idParam(c, "id")
		if err != nil {
			return err
		}
		d, err := h.Channels.EditChannel(c.UserContext(), h.owner(c), id, "channel.edit", func(d *alert.Destination) error {
			d.Active = on
			return nil
		})
		if err != nil {
			return err
		}
		return h.done(c, h.path(id), key, "name", d.Name)
	}
}

func (h channelPages) remove(c *fiber.Ctx) error {
	d, _, err := h.one(c)
	if err != nil {
		return err
	}
	if err := h.Channels.DeleteChannel(c.UserContext(), h.owner(c), d.ID); err != nil {
		return err
	}
	return h.done(c, h.base(), "channels.deleted", "name", d.Name)
}
