package handlers

import "github.com/gofiber/fiber/v2"

// PlanStore is what these pages need of the store.
type PlanStore interface{}

// plans serves plans, their versions and prices.
func (p *Panel) plans(r fiber.Router) {}
