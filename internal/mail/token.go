package mail

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// GoogleScope lets messages be sent for an account over SMTP.
const GoogleScope = "https://mail.google.com/"

// tokens keeps the newest access token while it holds.
type tokens struct {
	endpoint oauth2.Endpoint // Google's
	client   *http.Client

	mu      sync.Mutex
	of      string // what the newest was given for: the settings as a person sealed them last
	last    *oauth2.Token
	unsaved *renewal // nil: what is kept is the newest
}

// renewal is a refresh token that could not be kept yet.
type renewal struct {
	before alert.Mail // as it was read
	token  string
}

// token is what XOAUTH2 signs in with; other ways need none.
func (s *Sender) token(ctx context.Context, r route, note func(alert.MailStep)) (string, error) {
	if r.Auth != alert.MailAuthXOAUTH2 {
		return "", nil
	}
	if r.access.RefreshToken == "" {
		return r.access.Password, nil
	}
	t, err := s.accessToken(ctx, r)
	if err != nil {
		return "", tokenTrouble(r.Way, err)
	}
	note(alert.MailStep{Name: stepToken, OK: true})
	return t, nil
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

// accessToken is the newest while it holds, else another one. Replicas take turns to get one, since each may come with another refresh
// token, and whoever goes on with the one before may lose the account.
func (s *Sender) accessToken(ctx context.Context, r route) (string, error) {
	t := s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	s.keepRenewal(ctx)
	if t.of == string(r.Sealed) && t.last.Valid() {
		return t.last.AccessToken, nil
	}
	err := s.Settings.MailTurn(ctx, func(ctx context.Context) error {
		now, err := s.route(ctx) // another may have renewed it
		if err != nil {
			return err
		}
		if !bytes.Equal(now.Sealed, r.Sealed) {
			return errors.New("the settings have just been changed; trying again with the new ones")
		}
		refresh := now.access.RefreshToken
		if u := t.unsaved; u != nil && bytes.Equal(u.before.Sealed, now.Sealed) {
			refresh = u.token // keepRenewal has just failed to keep it
		}
		client := context.WithValue(ctx, oauth2.HTTPClient, t.client)
		fresh, err := t.config(now, "").TokenSource(client, &oauth2.Token{RefreshToken: refresh}).Token()
		if err != nil {
			return err
		}
		t.of, t.last = string(now.Sealed), fresh
		if fresh.RefreshToken != "" && fresh.RefreshToken != refresh {
			t.unsaved = &renewal{now.Mail, fresh.RefreshToken}
			s.keepRenewal(ctx)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return t.last.AccessToken, nil
}

// keepTime is for how long a message waits until its refresh token is kept.
const keepTime = 5 * time.Second

// keepRenewal keeps the newest refresh token, also while this process ends. While the database is away the token stays here, and the
// next message tries again.
func (s *Sender) keepRenewal(ctx context.Context) {
	u := s.tokens.unsaved
	if u == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	if err := s.Settings.RenewMail(ctx, u.before, s.Box.Seal([]byte(u.token), alert.MailRenewedAs)); err == nil {
		s.tokens.unsaved = nil // kept, or overtaken by what is kept
	}
}

func (t *tokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of, t.last = "", nil
}

// tokenTrouble tells nothing of the answer but its code and description: the rest may hold what is secret.
func tokenTrouble(way alert.MailWay, err error) error {
	t := &trouble{Step: stepToken, Key: "mail.problem.token", cause: err}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return t
	}
	t.cause = fmt.Errorf("%s %s", refused.ErrorCode, refused.ErrorDescription)
	switch refused.ErrorCode {
	case "invalid_grant": // alert.RevokedPrefix is how it begins
		t.Key, t.cause = "mail.problem.token_revoked", fmt.Errorf("invalid_grant: the consent was withdrawn or has expired; connect the account again (%s)", refused.ErrorDescription)
		if way == alert.MailServer {
			t.Key = "mail_consent.revoked.smtp"
		}
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
		if errors.As(tokenTrouble(m.Way, err), &told) && told.Key == "mail.problem.token_client" {
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
