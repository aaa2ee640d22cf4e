package mail

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fila-ia/filaia/internal/alert"
)

// rotates has a place hand out another refresh token with every access token, each of which is good for one message. Whoever comes
// with one that was used already loses the account, as with the strictest.
func (p *tokenPlace) rotates(first string) (newest func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	token, n, lost := first, 0, false
	p.answer = func(form url.Values) (int, map[string]any) {
		if lost = lost || form.Get("refresh_token") != token; lost {
			return 400, map[string]any{"error": "invalid_grant", "error_description": "AADSTS700082: The refresh token has expired."}
		}
		n++
		token = fmt.Sprintf("%s.%d", first, n)
		return 200, map[string]any{"access_token": "ya29.fresh", "expires_in": 1, "token_type": "Bearer", "refresh_token": token}
	}
	return func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		return token
	}
}

func (s *stage) mustSend(t *testing.T) {
	t.Helper()
	if _, err := s.send(delivery()); err != nil {
		t.Fatal(err)
	}
}

func TestARefreshTokenThatComesWithAnAccessTokenIsKeptSealed(t *testing.T) {
	s := newStage(t, gmail)
	newest := newTokenPlace(t, s).rotates("1//canario")
	s.use(googleAccess, viaGoogle)
	sealed := string(s.settings.mail.Sealed)
	for range 3 {
		s.mustSend(t)
		if got := s.settings.refreshToken(t); got != newest() {
			t.Fatalf("%q is kept, the newest is %q", got, newest())
		}
	}
	m := s.settings.mail
	if newest() != "1//canario.3" || string(m.Sealed) != sealed || strings.Contains(string(m.Renewed), "canario") || !m.Connected {
		t.Errorf("kept: %+v", m)
	}
	m.Seal(box, alert.MailAccess{ClientSecret: "c", RefreshToken: "1//consented"}) // a person connects the account again
	if a, err := m.Open(box); err != nil || a.RefreshToken != "1//consented" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAPlaceThatHandsNoNewRefreshTokenChangesNothing(t *testing.T) {
	for _, same := range []string{"", "1//canario"} {
		s := newStage(t, gmail)
		newTokenPlace(t, s).answers(200, map[string]any{"access_token": "ya29.fresh", "expires_in": 1, "refresh_token": same})
		s.use(googleAccess, viaGoogle)
		s.mustSend(t)
		if m := s.settings.mail; len(m.Renewed) != 0 || s.settings.refreshToken(t) != "1//canario" {
			t.Errorf("after %q: %+v", same, m)
		}
	}
}

func TestReplicasThatRenewAtOnceLoseNoRefreshToken(t *testing.T) {
	s := newStage(t, gmail)
	place := newTokenPlace(t, s)
	newest := place.rotates("1//canario")
	s.use(googleAccess, viaGoogle)
	other := *s
	other.Sender = New(Config{Settings: s.settings, Box: box, DataDir: t.TempDir(), Roots: s.server.Roots})
	other.dial, other.resolve, other.tokens.endpoint = s.dial, s.resolve, s.tokens.endpoint
	var all sync.WaitGroup
	for _, one := range []*stage{s, &other, s, &other, s, &other} {
		all.Go(func() {
			for range 4 {
				if _, err := one.send(delivery()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := s.settings.refreshToken(t); got != newest() || place.times() != 24 {
		t.Errorf("%q is kept, the newest is %q, after %d tokens", got, newest(), place.times())
	}
}

func TestARefreshTokenOutlastsADatabaseThatIsAway(t *testing.T) {
	s := newStage(t, gmail)
	newest := newTokenPlace(t, s).rotates("1//canario")
	s.use(googleAccess, viaGoogle)
	s.settings.be(true)
	s.mustSend(t)
	s.mustSend(t) // with the newest, which is kept nowhere yet
	if got := s.settings.refreshToken(t); got != "1//canario" {
		t.Fatalf("%q was kept", got)
	}
	s.settings.be(false)
	s.mustSend(t)
	if got := s.settings.refreshToken(t); got != newest() || got != "1//canario.3" {
		t.Errorf("%q is kept, the newest is %q", got, newest())
	}
}

func TestAConsentThatIsNewerThanARefreshTokenStays(t *testing.T) {
	s := newStage(t, gmail)
	place := newTokenPlace(t, s)
	place.rotates("1//canario")
	s.use(googleAccess, viaGoogle)
	s.settings.be(true)
	s.mustSend(t)
	s.settings.be(false)
	newest := place.rotates("1//consented")
	s.use(alert.MailAccess{ClientSecret: "c", RefreshToken: "1//consented"}, viaGoogle)
	s.mustSend(t)
	if got := s.settings.refreshToken(t); got != newest() || got != "1//consented.1" {
		t.Errorf("%q is kept, the newest is %q", got, newest())
	}
}

func TestSettingsThatChangeWhileATokenIsAskedForAreReadAgain(t *testing.T) {
	s := newStage(t, gmail)
	place := newTokenPlace(t, s)
	s.use(googleAccess, viaGoogle)
	reads := 0
	s.settings.read = func() {
		if reads++; reads == 2 { // within the turn
			s.use(alert.MailAccess{ClientSecret: "c", RefreshToken: "1//consented"}, viaGoogle)
		}
	}
	if _, err := s.send(delivery()); err == nil || errors.Is(err, alert.ErrRefused) || place.times() != 0 {
		t.Fatalf("%v, after %d tokens", err, place.times())
	}
	s.mustSend(t)
	if got := place.asked[0].Get("refresh_token"); got != "1//consented" {
		t.Errorf("asked with %q", got)
	}
}

func TestWhatAWithdrawnConsentSaysIsKnownAgain(t *testing.T) {
	for _, c := range []struct {
		change func(*alert.Mail)
		key    string
	}{
		{viaGoogle, "mail.problem.token_revoked"},
		{func(m *alert.Mail) { viaGoogle(m); m.Way = alert.MailServer }, "mail_consent.revoked.smtp"},
	} {
		s := newStage(t, gmail)
		place := newTokenPlace(t, s)
		place.answers(400, map[string]any{"error": "invalid_grant", "error_description": "revoked"})
		s.use(googleAccess, func(m *alert.Mail) { c.change(m); m.TokenURL = place.URL })
		_, err := s.send(delivery())
		if err == nil || !strings.HasPrefix(err.Error(), alert.RevokedPrefix) || errors.Is(err, alert.ErrRefused) || s.Explain(err).Key != c.key {
			t.Errorf("%v, %+v", err, s.Explain(err))
		}
	}
}
