package handlers

import "github.com/gofiber/fiber/v2"

// ChannelStore keeps where alerts go besides e-mail.
type ChannelStore interface{}

// channels serves the operator's channels.
func (p *Panel) channels(r fiber.Router) {}

// portalChannels serves a customer's channels.
func (p *Panel) portalChannels(r fiber.Router) {}
