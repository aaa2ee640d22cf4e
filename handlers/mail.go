package handlers

import "github.com/gofiber/fiber/v2"

// MailStore keeps how e-mail is sent.
type MailStore interface{}

// mail serves the set-up of e-mail, to owners, and the outbox.
func (p *Panel) mail(r fiber.Router) {}
