package handlers

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
)

// pinger tells whether the database answers.
type pinger interface {
	Ping(ctx context.Context) error
}

// pingTime is how long the database may take before it counts as away.
const pingTime = 2 * time.Second

func (p *Panel) health(r fiber.Router) {
	r.Get("/healthz", p.healthz)
	r.Get("/readyz", p.readyz)
}

// healthz says that the process is up, whatever it depends on: restarting it would mend nothing else.
func (p *Panel) healthz(c *fiber.Ctx) error {
	return c.JSON(fiber.Map{"status": "ok"})
}

// readyz says whether calls can be served here: the database answers.
func (p *Panel) readyz(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	ctx, cancel := context.WithTimeout(c.UserContext(), pingTime)
	defer cancel()
	if err := p.Ping.Ping(ctx); err != nil {
		p.Log.WarnContext(c.UserContext(), "not ready", "error", err)
		return c.Status(fiber.StatusServiceUnavailable).JSON(fiber.Map{"status": "unavailable", "database": "unreachable"})
	}
	return c.JSON(fiber.Map{"status": "ok", "database": "ok"})
}
