package handlers

import "github.com/gofiber/fiber/v2"

// TenantStore is what these pages need of the store.
type TenantStore interface{}

// tenants serves customers.
func (p *Panel) tenants(r fiber.Router) {}
