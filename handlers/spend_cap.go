package handlers

import "github.com/gofiber/fiber/v2"

// SpendCapStore keeps how much a customer may be charged above its plan.
type SpendCapStore interface{}

// spendCap serves the team's form of a customer's cap.
func (p *Panel) spendCap(r fiber.Router) {}

// portalSpendCap serves the customer's own form.
func (p *Panel) portalSpendCap(r fiber.Router) {}
