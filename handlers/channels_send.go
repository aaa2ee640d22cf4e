package handlers

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/views/channels"
)

// secretOverlap is for how long the signing secret that was replaced goes on beside the new one.
const secretOverlap = 24 * time.Hour

// unseal opens what the channel's row holds; a fault of kind Unavailable where it does not open.
func (h channelPages) unseal(d alert.Destination) (alert.Access, error) {
	sealed := fault.New(fault.Unavailable, "channels.answer.sealed")
	plain, err := h.Credentials.Open(d.Sealed, d.SealedAs())
	if err != nil {
		return alert.Access{}, sealed.Because(err)
	}
	a, err := alert.ReadAccess(plain)
	if err != nil {
		return alert.Access{}, sealed // the cause would show what was read
	}
	return a, nil
}

// open reads and unseals an owner's channel, which must have been found to be the owner's.
func (h channelPages) open(c *fiber.Ctx, d alert.Destination) (alert.Access, error) {
	whole, err := h.Channels.SendingChannel(c.UserContext(), d.ID)
	if err != nil {
		return alert.Access{}, err
	}
	return h.unseal(whole)
}

// signed gives a webhook that has none a signing secret, which is to be shown.
func (h channelPages) signed(kind alert.Channel, a alert.Access) (_ alert.Access, fresh string) {
	if kind != alert.Webhook || len(a.Secrets) > 0 {
		return a, ""
	}
	fresh = newSigningSecret()
	return a.Rotate(fresh, h.Now(), 0), fresh
}

func newSigningSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	return alert.NewSigningSecret(random)
}

// rotate replaces a webhook's signing secret; the old one goes on for a day.
func (h channelPages) rotate(c *fiber.Ctx) error {
	d, _, err := h.one(c)
	if err != nil {
		return err
	}
	if d.Kind != alert.Webhook {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	if err := h.speak(c); err != nil {
		return err
	}
	fresh, until := newSigningSecret(), time.Time{}
	d, err = h.Channels.EditChannel(c.UserContext(), h.owner(c), d.ID, "channel.rotate", func(d *alert.Destination) error {
		a, err := h.unseal(*d)
		if err != nil {
			return err
		}
		if a = a.Rotate(fresh, h.Now(), secretOverlap); len(a.Secrets) > 1 {
			until = a.Secrets[1].Until
		}
		d.Sealed = h.Credentials.Seal(a.Bytes(), d.SealedAs())
		return nil
	})
	if err != nil {
		return err
	}
	say := at(c).Say
	text := say.T("channels.secret_text")
	if !until.IsZero() {
		text = say.T("channels.secret_rotated_text", "until", say.DateTime(until))
	}
	return h.showSigningSecret(c, d, fresh, say.T("channels.secret_rotated"), text)
}

// showSigningSecret is the only page that ever holds one. It must not be kept anywhere.
func (h channelPages) showSigningSecret(c *fiber.Ctx, d alert.Destination, secret, title, text string) error {
	m := channels.SecretModel{Side: h.side(c, d.Name), Channel: channelModel(d), Title: title, Text: text, Secret: secret}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return h.render(c, channels.SecretPage(m), nil)
}

// test sends a message through the channel now and shows what the other side answered.
func (h channelPages) test(c *fiber.Ctx) error {
	d, _, err := h.one(c)
	if err != nil {
		return err
	}
	result, say := h.admitted(c, d), at(c).Say
	if isHTMX(c) {
		return h.render(c, channels.Result(say, result), nil)
	}
	tell := h.flash // without scripts there is no place on the page for the result
	if !result.OK {
		tell = h.flashFailed
	}
	if err := tell(c, result.Text); err != nil {
		return err
	}
	return h.redirect(c, h.path(d.ID))
}

// maxTests is how many tests an owner may send from a server in a minute: customers choose where they go.
const maxTests = 10

// admitted is try, unless there were many just now.
func (h channelPages) admitted(c *fiber.Ctx, d alert.Destination) channels.Tested {
	claim := ratelimit.Claim{Tenant: d.TenantID}
	claim.Scopes[0] = ratelimit.Scope{Kind: ratelimit.Tenant, ID: d.TenantID, Limits: ratelimit.Limits{Requests: maxTests}}
	ticket, _, err := h.tests.Acquire(c.UserContext(), claim)
	if err != nil {
		return channels.Tested{Done: true, Text: at(c).Say.T("channels.test_wait")}
	}
	defer ticket.Done(0)
	return h.try(c, d)
}

// try sends a test in the channel's language; the answer is told in the reader's.
func (h channelPages) try(c *fiber.Ctx, d alert.Destination) channels.Tested {
	say := at(c).Say
	if h.ChannelSender == nil {
		return channels.Tested{Done: true, Text: say.T("channels.test_unavailable")}
	}
	theirs := i18n.NewPrinter(d.Language, say.Zone())
	n := alert.Notice{
		MessageID: uuid.New(), Kind: alert.TestNotice, Audience: h.audience(), Channel: d.Kind, Language: d.Language, Zone: say.Zone(),
		PublicURL: h.PublicURL.String(), SentAt: h.Now(),
	}
	message := alert.Delivery{
		MessageID: n.MessageID, Kind: n.Kind, Audience: n.Audience, TenantID: d.TenantID, Channel: d.Kind, ChannelID: d.ID, Language: say.Lang(), CreatedAt: n.SentAt,
	}
	text := alert.Text{
		Subject: theirs.T("channels.test_subject", "name", d.Name), Short: theirs.T("channels.test_text"), Link: n.PublicURL + h.path(d.ID),
	}
	start := time.Now()
	answer, err := h.ChannelSender.Send(c.UserContext(), message, n, text)
	switch {
	case err == nil:
		return channels.Tested{Done: true, OK: true, Text: say.T("channels.test_ok", "time", say.Duration(time.Since(start)), "answer", answer)}
	case answer == "":
		h.Log.WarnContext(c.UserContext(), "test of a channel failed", "request_id", at(c).RequestID, "channel", d.ID, "error", err)
		return channels.Tested{Done: true, Text: say.T("channels.test_unavailable")}
	}
	failed := say.T("channels.test_failed", "answer", answer)
	if errors.Is(err, alert.ErrRefused) {
		failed += " " + say.T("channels.test_hint")
	}
	return channels.Tested{Done: true, Text: failed}
}

func (h channelPages) audience() alert.Audience {
	if h.portal {
		return alert.Customer
	}
	return alert.Operator
}
