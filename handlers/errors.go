package handlers

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
)

// Error answers a failed request: a page in the visitor's language, or a toast where htmx asked. The cause never
// leaves the log. It fits fiber.Config.ErrorHandler, for what fails before any route.
func (p *Panel) Error(c *fiber.Ctx, err error) error {
	status, key, args := explain(err)
	c.Status(status)
	return p.renderError(c, status, key, args...)
}

// explain chooses the status and the text of an error.
func explain(err error) (status int, key string, args []any) {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind != fault.Internal {
		return statusOf(f.Kind), f.Key, f.Args
	}
	var web *fiber.Error
	switch {
	case errors.As(err, &web) && web.Code == fiber.StatusNotFound:
		return web.Code, "problem.no_page", nil
	case errors.As(err, &web) && web.Code == fiber.StatusMethodNotAllowed:
		return web.Code, "problem.no_page", nil
	case errors.As(err, &web) && web.Code == fiber.StatusRequestEntityTooLarge:
		return web.Code, "problem.too_large", nil
	case errors.As(err, &web) && web.Code < 500:
		return web.Code, "problem.bad_request", nil
	case errors.Is(err, context.DeadlineExceeded):
		return fiber.StatusServiceUnavailable, "problem.unavailable", nil
	}
	return fiber.StatusInternalServerError, "problem.internal", nil
}

func statusOf(kind fault.Kind) int {
	switch kind {
	case fault.Invalid:
		return fiber.StatusUnprocessableEntity
	case fault.Unauthenticated:
		return fiber.StatusUnauthorized
	case fault.Forbidden:
		return fiber.StatusForbidden
	case fault.NotFound:
		return fiber.StatusNotFound
	case fault.Conflict:
		return fiber.StatusConflict
	case fault.Unavailable:
		return fiber.StatusServiceUnavailable
	}
	return fiber.StatusInternalServerError
}
