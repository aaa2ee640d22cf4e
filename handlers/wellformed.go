package handlers

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
)

// wellFormed turns away what no browser's form sends and no column holds: zero bytes and broken UTF-8 in the address or
// in a form. Behind it every page may hand what it reads to the database.
func (p *Panel) wellFormed(c *fiber.Ctx) error {
	path, err := url.PathUnescape(c.Path())
	if err != nil || !cleanText(path) {
		return fault.New(fault.NotFound, "problem.no_page")
	}
	clean := true
	check := func(name, value []byte) { clean = clean && cleanText(string(name)) && cleanText(string(value)) }
	c.Context().QueryArgs().VisitAll(check)
	if !safeMethod(c) {
		c.Context().PostArgs().VisitAll(check)
	}
	if !clean {
		return fiber.ErrBadRequest
	}
	return c.Next()
}

func cleanText(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }
