package handlers

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
)

// Where a form token travels: a hidden field, or a header that the page's script adds to htmx requests.
const (
	csrfField  = "csrf"
	csrfHeader = "X-CSRF-Token"
	// visitorCookie stands in for the session before sign-in: form tokens are bound to it.
	visitorCookie = "filaia_visitor"
)

const csrfNonce = 16

// checkCSRF refuses unsafe requests that another site sent, or that carry no token of this very browser.
func (p *Panel) checkCSRF(c *fiber.Ctx) error {
	v := at(c)
	if safeMethod(c) {
		return c.Next()
	}
	token := c.Get(csrfHeader)
	if token == "" {
		token = posted(c, csrfField)
	}
	if !p.ownOrigin(c) {
		return fault.New(fault.Forbidden, "problem.csrf")
	}
	if v.bound == "" || !p.goodFormToken(v.bound, token) {
		return p.staleForm(c)
	}
	return c.Next()
}

// formToken makes the token of a page's forms. Each has a nonce of its own, so that compression leaks nothing about it.
func (p *Panel) formToken(c *fiber.Ctx) string {
	v := at(c)
	if v.bound == "" {
		v.bound = newToken()
		c.Cookie(&fiber.Cookie{
			Name: visitorCookie, Value: v.bound, Path: "/", HTTPOnly: true, Secure: p.secure(), SameSite: fiber.CookieSameSiteLaxMode,
		})
	}
	nonce := make([]byte, csrfNonce)
	rand.Read(nonce) //nolint:errcheck // it never fails
	return base64.RawURLEncoding.EncodeToString(append(nonce, p.formMAC(v.bound, nonce)...))
}

// goodFormToken compares in constant time.
func (p *Panel) goodFormToken(bound, token string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != csrfNonce+sha256.Size {
		return false
	}
	return hmac.Equal(raw[csrfNonce:], p.formMAC(bound, raw[:csrfNonce]))
}

func (p *Panel) formMAC(bound string, nonce []byte) []byte {
	mac := hmac.New(sha256.New, p.csrfKey)
	mac.Write(nonce)
	mac.Write([]byte(bound))
	return mac.Sum(nil)
}

// ownOrigin believes what browsers say of a request's sender; whoever says nothing is judged by the token alone.
func (p *Panel) ownOrigin(c *fiber.Ctx) bool {
	if site := c.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false // "null" too: a sandboxed frame, or a page that hides where it comes from
	}
	return strings.EqualFold(u.Host, string(c.Context().Host())) || strings.EqualFold(origin, p.origin())
}

// origin is the public address's scheme, host and port.
func (p *Panel) origin() string { return p.PublicURL.Scheme + "://" + p.PublicURL.Host }
