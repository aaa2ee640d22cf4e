package handlers

import "github.com/gofiber/fiber/v2"

// alertInbox serves the bell of everyone who is signed in.
func (p *Panel) alertInbox(r fiber.Router) {}
