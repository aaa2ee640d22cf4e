package mail

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/oauth2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// GoogleScope lets messages be sent for an account over SMTP.
const GoogleScope = "https://mail.google.com/"

// tokens gets access tokens, and keeps the newest while it holds.
type tokens struct {
	endpoint oauth2.Endpoint // Google's
	client   *http.Client

	mu   sync.Mutex
	of   string // what the newest was given for
	last *oauth2.Token
}

// token is what XOAUTH2 signs in with; other ways need none.
func (s *Sender) token(ctx context.Context, r route, note func(alert.MailStep)) (string, error) {
	if r.Auth != alert.MailAuthXOAUTH2 {
		return "", nil
	}
	if r.access.RefreshToken == "" {
		return r.access.Password, nil
	}
	t, err := s.tokens.refresh(ctx, r)
	if err != nil {
		return "", tokenTrouble(err)
	}
	note(alert.MailStep{Name: stepToken, OK: true})
	return t.AccessToken, nil
}

func (t *tokens) config(r route, redirect string) *oauth2.Config {
	c := &oauth2.Config{ClientID: r.ClientID, ClientSecret: r.access.ClientSecret, Endpoint: t.endpoint, RedirectURL: redirect}
	if r.Way == alert.MailServer {
		c.Endpoint = oauth2.Endpoint{TokenURL: r.TokenURL, AuthStyle: oauth2.AuthStyleInParams}
	} else {
		c.Scopes = []string{"openid", "email", GoogleScope} // the first two tell which account it is
	}
	return c
}

func (t *tokens) refresh(ctx context.Context, r route) (*oauth2.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := r.ClientID + "\x00" + r.access.ClientSecret + "\x00" + r.access.RefreshToken + "\x00" + r.TokenURL
	if t.of == of && t.last.Valid() {
		return t.last, nil
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, t.client)
	fresh, err := t.config(r, "").TokenSource(ctx, &oauth2.Token{RefreshToken: r.access.RefreshToken}).Token()
	if err != nil {
		return nil, err
	}
	t.of, t.last = of, fresh
	return fresh, nil
}

func (t *tokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of, t.last = "", nil
}

// tokenTrouble tells nothing of the answer but its code and description: the rest may hold what is secret.
func tokenTrouble(err error) error {
	t := &trouble{Step: stepToken, Key: "mail.problem.token", cause: err}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return t
	}
	t.cause = fmt.Errorf("%s %s", refused.ErrorCode, refused.ErrorDescription)
	switch refused.ErrorCode {
	case "invalid_grant":
		t.Key, t.cause = "mail.problem.token_revoked", fmt.Errorf("the consent was withdrawn or has expired; connect the account again (%w)", t.cause)
	case "invalid_client", "unauthorized_client":
		t.Key, t.cause = "mail.problem.token_client", fmt.Errorf("the client's id or secret is not accepted (%w)", t.cause)
	case "":
		t.cause = fmt.Errorf("the place that gives tokens answered %s", refused.Response.Status)
	}
	return t
}

// Consent is the page at Google where the account's owner consents; it leads back to redirect with state. verifier is kept for
// Connect (RFC 7636).
func (s *Sender) Consent(m alert.Mail, redirect, state, verifier string) string {
	return s.tokens.config(route{Mail: m}, redirect).AuthCodeURL(state, oauth2.AccessTypeOffline, oauth2.ApprovalForce,
		oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("login_hint", m.User))
}

// Connect trades the code that came back for a refresh token. What a person can mend is an Invalid error.
func (s *Sender) Connect(ctx context.Context, m alert.Mail, a alert.MailAccess, redirect, code, verifier string) (refresh string, err error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.tokens.client)
	t, err := s.tokens.config(route{m, a}, redirect).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		var told *trouble
		if errors.As(tokenTrouble(err), &told) && told.Key == "mail.problem.token_client" {
			return "", fault.New(fault.Invalid, told.Key).Because(told)
		}
		return "", fault.New(fault.Invalid, "mail.problem.exchange").Because(told)
	}
	if t.RefreshToken == "" {
		return "", fault.New(fault.Invalid, "mail.problem.no_refresh_token")
	}
	if account := accountOf(t); account != "" && !strings.EqualFold(account, m.User) {
		return "", fault.New(fault.Invalid, "mail.problem.other_account", "account", account, "user", m.User)
	}
	if scope, _ := t.Extra("scope").(string); scope != "" && !strings.Contains(scope, GoogleScope) {
		return "", fault.New(fault.Invalid, "mail.problem.scope")
	}
	return t.RefreshToken, nil
}

// accountOf reads the address in the id token. It came from Google itself over TLS, so its signature needs no look
// (OpenID Connect Core, 3.1.3.7).
func accountOf(t *oauth2.Token) string {
	raw, _ := t.Extra("id_token").(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Email string `json:"email"`
	}
	_ = json.Unmarshal(b, &claims)
	return claims.Email
}
