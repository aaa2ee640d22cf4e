package handlers

import "github.com/gofiber/fiber/v2"

// SignInStore is what sign-in needs of the store.
type SignInStore interface{}

func (p *Panel) auth(r fiber.Router) {}
