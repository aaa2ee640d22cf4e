package handlers

import "github.com/gofiber/fiber/v2"

// AlertStore reads what was raised and how it was delivered.
type AlertStore interface{}

// alertHistory serves what was raised to the team.
func (p *Panel) alertHistory(r fiber.Router) {}

// portalAlertHistory serves a customer what was raised for it.
func (p *Panel) portalAlertHistory(r fiber.Router) {}
