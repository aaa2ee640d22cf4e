package handlers

import "github.com/gofiber/fiber/v2"

// TenantAlertStore keeps what a customer wants to be told.
type TenantAlertStore interface{}

// portalAlerts serves a customer's own settings of alerts.
func (p *Panel) portalAlerts(r fiber.Router) {}

// tenantAlerts serves the same settings to the team.
func (p *Panel) tenantAlerts(r fiber.Router) {}

// unsubscribe serves the links at the end of e-mails; nobody need sign in for them.
func (p *Panel) unsubscribe(r fiber.Router) {}
