package handlers

import "github.com/gofiber/fiber/v2"

// AlertRuleStore keeps what is watched and who is told.
type AlertRuleStore interface{}

// alertRules serves the rules of alerts.
func (p *Panel) alertRules(r fiber.Router) {}
