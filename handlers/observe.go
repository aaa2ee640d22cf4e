package handlers

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/layout"
)

// observe is the edge: it names the request, turns errors and panics into pages, and writes the one line that a
// request leaves in the log. Addresses are logged as their pattern: a path or query may hold a secret.
func (p *Panel) observe(c *fiber.Ctx) error {
	began := p.Now()
	id := make([]byte, 8)
	rand.Read(id) //nolint:errcheck // it never fails
	v := at(c)
	v.RequestID = hex.EncodeToString(id)
	c.Set(fiber.HeaderXRequestID, v.RequestID)

	err := guarded(c)
	if err != nil {
		if failed := p.Error(c, err); failed != nil {
			err = fmt.Errorf("%w; and showing it: %w", err, failed)
			c.Status(fiber.StatusInternalServerError)
		}
	}
	p.logRequest(c, v, p.Now().Sub(began), err)
	return nil
}

// guarded runs the rest of the chain and makes a panic an error.
func guarded(c *fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return c.Next()
}

func (p *Panel) logRequest(c *fiber.Ctx, v *visitor, took time.Duration, err error) {
	status := c.Response().StatusCode()
	attrs := []slog.Attr{
		slog.String("request_id", v.RequestID),
		slog.String("method", c.Method()),
		slog.String("route", c.Route().Path),
		slog.Int("status", status),
		slog.Int64("duration_ms", took.Milliseconds()),
	}
	if v.User != nil {
		attrs = append(attrs, slog.Int64("user_id", v.User.ID))
	}
	level := slog.LevelInfo
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
		if fault.KindOf(err) == fault.Internal && status >= fiber.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	p.Log.LogAttrs(c.UserContext(), level, "page", attrs...)
}

// secureHeaders tells the browser to load nothing from elsewhere, run no inline script and show us in no frame.
func (p *Panel) secureHeaders(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, layout.ContentSecurityPolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	if p.secure() {
		c.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
	}
	return c.Next()
}
