package handlers

import "github.com/gofiber/fiber/v2"

// KeyStore is what these pages need of the store.
type KeyStore interface{}

// keys serves API keys.
func (p *Panel) keys(r fiber.Router) {}
