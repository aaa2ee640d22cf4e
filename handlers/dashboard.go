package handlers

import "github.com/gofiber/fiber/v2"

// DashboardStore is what these pages need of the store.
type DashboardStore interface{}

// dashboard serves the start page of the panel.
func (p *Panel) dashboard(r fiber.Router) {}
