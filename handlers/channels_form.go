package handlers

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/channels"
)

// newOne asks for the kind, then shows its form.
func (h channelPages) newOne(c *fiber.Ctx) error {
	say, kind := at(c).Say, alert.Channel(c.Query("kind"))
	if !slices.Contains(alert.DestinationKinds(), kind) {
		m := channels.PickModel{Side: h.side(c, say.T("channels.new"))}
		for _, k := range alert.DestinationKinds() {
			m.Kinds = append(m.Kinds, string(k))
		}
		return h.render(c, channels.PickPage(m), nil)
	}
	m := h.form(c, alert.Destination{Kind: kind}, false)
	m.Values = map[string]string{"language": string(say.Lang()), "active": "on"}
	return h.render(c, channels.FormPage(m), nil)
}

// form is the form's page without its values. kept tells whether there is an access that empty fields keep.
func (h channelPages) form(c *fiber.Ctx, d alert.Destination, kept bool) channels.FormModel {
	say := at(c).Say
	title := say.T("channels.new_title", "kind", say.T("channels.kind."+string(d.Kind)))
	if d.ID != 0 {
		title = say.T("channels.edit_title", "name", d.Name)
	}
	m := channels.FormModel{Side: h.side(c, title), Kind: string(d.Kind), Values: map[string]string{}}
	if d.ID != 0 {
		m.ID, m.Title, m.Host, m.Kept = strconv.FormatInt(d.ID, 10), d.Name, d.Target, kept
	}
	return m
}

func (h channelPages) edit(c *fiber.Ctx) error {
	d, _, err := h.one(c)
	if err != nil {
		return err
	}
	a, err := h.open(c, d)
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	m := h.form(c, d, err == nil)
	m.Values = map[string]string{"name": d.Name, "language": string(d.Language), "chat": a.Chat}
	if d.Active {
		m.Values["active"] = "on"
	}
	return h.render(c, channels.FormPage(m), nil)
}

func readChannel(f *form, kind alert.Channel) alert.DestinationDraft {
	return alert.DestinationDraft{
		Kind: kind, Name: f.Text("name"), Language: i18n.Lang(f.Text("language")), Active: f.Checked("active"),
		URL: f.Text("url"), Token: f.Text("token"), Chat: f.Text("chat"),
	}
}

// refused shows the form again with what was typed and what is wrong with it.
func (h channelPages) refused(c *fiber.Ctx, f *form, m channels.FormModel, err error) error {
	if !rejected(err) {
		return err
	}
	for _, name := range []string{"name", "language", "active", "url", "token", "chat"} {
		m.Values[name] = f.Text(name)
	}
	m.Errors, m.Error = fieldErrors(at(c).Say, err)
	return h.invalid(c, channels.FormPage(m), nil)
}

func (h channelPages) create(c *fiber.Ctx) error {
	f := readForm(c)
	draft := readChannel(f, alert.Channel(f.Text("kind")))
	d := alert.Destination{TenantID: h.owner(c), Kind: draft.Kind, Name: draft.Name, Language: draft.Language, Active: draft.Active}
	if !slices.Contains(alert.DestinationKinds(), d.Kind) {
		return fault.New(fault.Invalid, "channels.error.kind")
	}
	err := h.free(c, draft.Name, 0)
	if err == nil {
		err = h.reachable(c, draft)
	}
	var a alert.Access
	var fresh string
	if err == nil {
		if a, d.Target, err = draft.Apply(a, h.plain()); err == nil {
			a, fresh = h.signed(d.Kind, a)
			d.Sealed = h.Credentials.Seal(a.Bytes(), d.SealedAs())
			d, err = h.Channels.CreateChannel(c.UserContext(), d)
		}
	}
	if err != nil {
		return h.refused(c, f, h.form(c, alert.Destination{Kind: draft.Kind}, false), err)
	}
	if fresh != "" {
		say := at(c).Say
		return h.showSigningSecret(c, d, fresh, say.T("channels.secret_created"), say.T("channels.secret_text"))
	}
	return h.done(c, h.path(d.ID), "channels.created", "name", d.Name)
}

func (h channelPages) update(c *fiber.Ctx) error {
	before, _, err := h.one(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	draft := readChannel(f, before.Kind)
	fresh, kept := "", false
	after := before
	if err = h.free(c, draft.Name, before.ID); err == nil {
		err = h.reachable(c, draft)
	}
	if err == nil {
		after, err = h.Channels.EditChannel(c.UserContext(), h.owner(c), before.ID, "channel.edit", func(d *alert.Destination) error {
			a, _ := h.unseal(*d) // what does not open has to be typed again
			kept = a.URL != "" || a.Token != ""
			a, target, err := draft.Apply(a, h.plain())
			if err != nil {
				return err
			}
			a, fresh = h.signed(d.Kind, a)
			d.Name, d.Language, d.Active, d.Target = draft.Name, draft.Language, draft.Active, target
			if draft.URL != "" || draft.Token != "" || draft.Chat != "" || fresh != "" {
				d.Sealed = h.Credentials.Seal(a.Bytes(), d.SealedAs())
			}
			return nil
		})
	} else {
		_, openErr := h.open(c, before)
		kept = openErr == nil
	}
	if err != nil {
		return h.refused(c, f, h.form(c, before, kept), err)
	}
	if fresh != "" {
		say := at(c).Say
		return h.showSigningSecret(c, after, fresh, say.T("channels.secret_rotated"), say.T("channels.secret_text"))
	}
	return h.done(c, h.path(after.ID), "channels.saved", "name", after.Name)
}

// free tells of a name that another of the owner's channels has: rules would offer the two side by side.
func (h channelPages) free(c *fiber.Ctx, name string, own int64) error {
	list, err := h.Channels.Channels(c.UserContext(), h.owner(c))
	if err != nil {
		return err
	}
	var f fault.Form
	f.Check(!slices.ContainsFunc(list, func(d alert.Destination) bool { return d.ID != own && strings.EqualFold(d.Name, name) }), "name", "channels.error.name_taken")
	return f.Err()
}

// plain tells whether addresses without TLS are allowed.
func (h channelPages) plain() bool { return h.ChannelSender != nil && h.ChannelSender.Plain() }

// reachable tells of a typed address that nothing would be sent to. What is wrong with how it is written, the draft says.
func (h channelPages) reachable(c *fiber.Ctx, d alert.DestinationDraft) error {
	if h.ChannelSender == nil || d.URL == "" {
		return nil
	}
	if _, _, err := d.Apply(alert.Access{}, h.plain()); err != nil {
		return nil
	}
	return h.ChannelSender.Check(c.UserContext(), d.URL)
}
