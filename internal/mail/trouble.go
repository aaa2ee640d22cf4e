package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/fila-ia/filaia/internal/alert"
)

// The steps of a conversation.
const (
	stepToken   = "token"
	stepResolve = "resolve"
	stepConnect = "connect"
	stepTLS     = "tls"
	stepSignIn  = "sign_in"
	stepFrom    = "from"
	stepTo      = "to"
	stepData    = "data"
)

// trouble is what went wrong, at which step and, for those who set up e-mail, in which words.
type trouble struct {
	Step  string
	Key   string // message
	Args  []any
	cause error
}

// Error is for the log of deliveries.
func (t *trouble) Error() string { return saidAt[t.Step] + ": " + t.text() }

// text is the server's words, or what happened instead of any.
func (t *trouble) text() string {
	if said := words(t.cause); said != "" {
		return said
	}
	return t.cause.Error()
}

// Unwrap gives the cause.
func (t *trouble) Unwrap() error { return t.cause }

var saidAt = map[string]string{
	stepToken: "access token", stepResolve: "name of the server", stepConnect: "connection", stepTLS: "encryption",
	stepSignIn: "sign-in", stepFrom: "sender", stepTo: "recipient", stepData: "message",
}

// trouble wraps what went wrong; when the time of the caller is over, it is that.
func (c *conversation) trouble(step, key string, err error, args ...any) error {
	if over := c.ctx.Err(); over != nil {
		err = over
	}
	return &trouble{Step: step, Key: key, Args: args, cause: err}
}

func (c *conversation) tlsTrouble(r route, err error) error {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	key := "mail.problem.tls"
	switch {
	case errors.As(err, &name):
		key = "mail.problem.tls_name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		key = "mail.problem.tls_expired"
	case errors.As(err, &authority):
		key = "mail.problem.tls_authority"
	case errors.As(err, &record):
		key = "mail.problem.tls_none"
	case timeout(err):
		key = "mail.problem.tls_timeout"
	}
	return c.trouble(stepTLS, key, err, "host", r.Host, "port", strconv.Itoa(r.Port))
}

// signInKey says in which words a refused sign-in is told.
func signInKey(r route, err error) string {
	var said *textproto.Error
	switch {
	case !errors.As(err, &said):
		return "mail.problem.sign_in_broken"
	case said.Code/100 == 4:
		return "mail.problem.sign_in_later"
	case r.Way == alert.MailGmail:
		return "mail.problem.gmail"
	case r.Way == alert.MailGoogleOAuth:
		return "mail.problem.google"
	}
	return "mail.problem.sign_in"
}

// refusedKey says in which words a refusal of the sender, the recipient or the message is told.
var refusedKey = map[string]string{stepFrom: "mail.problem.from", stepTo: "mail.problem.to", stepData: "mail.problem.data"}

// settingsToBlame are refusals that no other message would escape: the operator will mend the settings, and then it goes.
var settingsToBlame = []int{500, 502, 503, 504, 523, 530, 534, 535, 538}

// forGood tells whether a refusal of the sender, the recipient or the message stands whatever is done.
func forGood(said *textproto.Error) bool {
	enhanced, _, _ := strings.Cut(said.Msg, " ")
	switch {
	case said.Code/100 != 5 || slices.Contains(settingsToBlame, said.Code):
		return false
	case said.Code == 501: // a syntax error, but of an address
		return strings.HasPrefix(enhanced, "5.1.")
	}
	return enhanced != "5.4.5" // Google: sent as many as it takes in a day
}

// words are what the server said, where the error holds any.
func words(err error) string {
	var said *textproto.Error
	if errors.As(err, &said) {
		return alert.Answer(fmt.Sprintf("%d %s", said.Code, said.Msg))
	}
	return ""
}

func timeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func noSuchHost(err error) error {
	if err == nil {
		return errors.New("it has no address")
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Errorf("there is no %s", dns.Name)
	}
	return err
}
