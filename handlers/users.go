package handlers

import "github.com/gofiber/fiber/v2"

// UserStore is what these pages need of the store.
type UserStore interface{}

func (p *Panel) users(r fiber.Router) {}
