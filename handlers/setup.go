package handlers

import "github.com/gofiber/fiber/v2"

func (p *Panel) setup(r fiber.Router) {}
