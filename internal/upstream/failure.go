package upstream

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"

	"github.com/fila-ia/filaia/internal/gateway"
)

// unsent is a failure before a byte of the call was written.
type unsent struct{ err error }

func (u *unsent) Error() string { return u.err.Error() }
func (u *unsent) Unwrap() error { return u.err }

// Unsent tells whether nothing of a call was written when it failed, so that the provider cannot have charged it.
// Where that is not certain it is false.
func Unsent(err error) bool {
	var u *unsent
	return errors.As(err, &u) || errors.Is(err, errStale)
}

// refusal tells slowness from absence. What Abort broke off is away.
func (c *Client) refusal(err error) error {
	if c.life.Err() != nil && !errors.Is(err, context.Canceled) {
		err = errors.Join(c.life.Err(), err)
	}
	var timeout interface{ Timeout() bool }
	reason := gateway.ProviderAway
	if c.life.Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
		reason = gateway.ProviderTimeout
	}
	return &gateway.Refusal{Reason: reason, Cause: c.discreet(err)}
}

// quoted is what libraries tell of the bytes that they could not read.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// discreet leaves out of an error's text what a broken provider, or one that is none, may have sent back: the prompt,
// or the credential.
func (c *Client) discreet(err error) error {
	text := quoted.ReplaceAllLiteralString(err.Error(), `"…"`)
	if len(c.key) > 7 { // a shorter one is no secret, but a word that compatible houses ask for
		text = strings.ReplaceAll(text, c.key, "…")
	}
	if text == err.Error() {
		return err
	}
	return &discreet{text, err}
}

type discreet struct {
	text string
	err  error
}

func (d *discreet) Error() string { return d.text }
func (d *discreet) Unwrap() error { return d.err }

// isTimeout tells whether the error is of a timer; a TCP connection that gave up is not.
func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
