package handlers

import "github.com/gofiber/fiber/v2"

// PortalStore is what these pages need of the store.
type PortalStore interface{}

// portal serves the customers' side, below /portal.
func (p *Panel) portal(r fiber.Router) {}
