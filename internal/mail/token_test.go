package mail

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
)

// tokenPlace stands in for where Google gives tokens.
type tokenPlace struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []url.Values
	answer func(form url.Values) (status int, body map[string]any)
}

func newTokenPlace(t *testing.T, s *stage) *tokenPlace {
	t.Helper()
	p := &tokenPlace{answer: func(url.Values) (int, map[string]any) {
		return 200, map[string]any{"access_token": "ya29.fresh", "expires_in": 3600, "token_type": "Bearer"}
	}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = r.ParseForm()
		p.asked = append(p.asked, r.PostForm)
		status, body := p.answer(r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(p.Close)
	s.tokens.endpoint = oauth2.Endpoint{AuthURL: "https://accounts.google.example/auth", TokenURL: p.URL, AuthStyle: oauth2.AuthStyleInParams}
	return p
}

func (p *tokenPlace) answers(status int, body map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = func(url.Values) (int, map[string]any) { return status, body }
}

func (p *tokenPlace) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

var googleAccess = alert.MailAccess{ClientSecret: "GOCSPX-canario", RefreshToken: "1//canario"}

func viaGoogle(m *alert.Mail) {
	*m = alert.Mail{Way: alert.MailGoogleOAuth, Host: alert.GmailHost, Port: alert.GmailPort, Security: alert.MailSTARTTLS, Auth: alert.MailAuthXOAUTH2,
		User: "alertas@gmail.example", From: "alertas@gmail.example", ClientID: "123.apps.googleusercontent.com"}
}

func gmail(c *mailtest.Config) {
	c.Names, c.Tokens = []string{alert.GmailHost}, map[string]string{"alertas@gmail.example": "ya29.fresh"}
}

func TestARefreshTokenSignsInAtGoogle(t *testing.T) {
	s := newStage(t, gmail)
	place := newTokenPlace(t, s)
	s.use(googleAccess, viaGoogle)
	for range 3 {
		if _, err := s.send(delivery()); err != nil {
			t.Fatal(err)
		}
	}
	got := s.server.Messages()
	if len(got) != 3 || got[0].Mechanism != "XOAUTH2" || got[0].User != "alertas@gmail.example" || !got[0].TLS {
		t.Errorf("%+v", got)
	}
	if n := place.times(); n != 1 {
		t.Errorf("%d tokens for three messages", n)
	}
	form := place.asked[0]
	for name, want := range map[string]string{"grant_type": "refresh_token", "refresh_token": "1//canario", "client_id": "123.apps.googleusercontent.com", "client_secret": "GOCSPX-canario"} {
		if form.Get(name) != want {
			t.Errorf("%s: %q", name, form.Get(name))
		}
	}
}

func TestATokenThatHasExpiredIsRenewed(t *testing.T) {
	s := newStage(t, gmail)
	place := newTokenPlace(t, s)
	place.answers(200, map[string]any{"access_token": "ya29.fresh", "expires_in": 1, "token_type": "Bearer"}) // less than is kept back for the way
	s.use(googleAccess, viaGoogle)
	for range 2 {
		if _, err := s.send(delivery()); err != nil {
			t.Fatal(err)
		}
	}
	if n := place.times(); n != 2 {
		t.Errorf("%d tokens", n)
	}
}

func TestATokenThatIsRefusedIsNotKept(t *testing.T) {
	s := newStage(t, gmail)
	place := newTokenPlace(t, s)
	place.answers(200, map[string]any{"access_token": "ya29.withdrawn", "expires_in": 3600})
	s.use(googleAccess, viaGoogle)
	answer, err := s.send(delivery())
	if step := s.Explain(err); err == nil || errors.Is(err, alert.ErrRefused) || step.Key != "mail.problem.google" || !strings.HasPrefix(answer, "535 5.7.8 ") {
		t.Fatalf("%q, %v, %+v", answer, err, step)
	}
	place.answers(200, map[string]any{"access_token": "ya29.fresh", "expires_in": 3600})
	if _, err := s.send(delivery()); err != nil {
		t.Error(err)
	}
}

func TestWhatTheTokenPlaceRefusesIsSaidClearlyWithoutSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   map[string]any
		key    string
		said   string
	}{
		"revoked":       {400, map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked.", "echo": "1//canario"}, "mail.problem.token_revoked", "connect the account again"},
		"a wrong id":    {401, map[string]any{"error": "invalid_client", "error_description": "The OAuth client was not found.", "echo": "GOCSPX-canario"}, "mail.problem.token_client", "id or secret"},
		"out of order":  {500, map[string]any{"echo": "1//canario"}, "mail.problem.token", "500"},
		"without token": {200, map[string]any{}, "mail.problem.token", "token"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, gmail)
			newTokenPlace(t, s).answers(c.status, c.body)
			s.use(googleAccess, viaGoogle)
			_, err := s.send(delivery())
			if err == nil || errors.Is(err, alert.ErrRefused) || strings.Contains(err.Error(), "canario") || !strings.Contains(err.Error(), c.said) {
				t.Fatal(err)
			}
			if step := s.Explain(err); step.Key != c.key || step.Name != stepToken {
				t.Errorf("%+v", step)
			}
		})
	}
}

func TestATokenPlaceThatIsAwayIsTriedAgain(t *testing.T) {
	s := newStage(t, gmail)
	newTokenPlace(t, s).Close()
	s.use(googleAccess, viaGoogle)
	if _, err := s.send(delivery()); err == nil || errors.Is(err, alert.ErrRefused) || s.Explain(err).Key != "mail.problem.token" {
		t.Error(err)
	}
}

func TestAnAccountThatIsNotConnectedYetLosesNothing(t *testing.T) {
	s := newStage(t, gmail)
	s.use(alert.MailAccess{ClientSecret: "x"}, viaGoogle)
	if ready, _ := s.MailReady(s.ctx); ready {
		t.Error("ready")
	}
	if _, err := s.send(delivery()); err == nil || errors.Is(err, alert.ErrRefused) {
		t.Error(err)
	}
}

func TestNoTokenPlaceLeadsTheSecretsElsewhere(t *testing.T) {
	s := newStage(t, gmail)
	elsewhere := newTokenPlace(t, s)
	place := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(place.Close)
	s.tokens.endpoint.TokenURL = place.URL
	s.use(googleAccess, viaGoogle)
	if _, err := s.send(delivery()); err == nil || errors.Is(err, alert.ErrRefused) || elsewhere.times() != 0 {
		t.Errorf("%v, and %d secrets went on", err, elsewhere.times())
	}
}

func TestAServersOwnTokenPlaceIsAsked(t *testing.T) {
	s := newStage(t, func(c *mailtest.Config) { c.Tokens = map[string]string{"ana": "fresh"} })
	place := newTokenPlace(t, s)
	place.answers(200, map[string]any{"access_token": "fresh", "expires_in": 3600})
	s.tokens.endpoint.TokenURL = "http://127.0.0.1:1/" // Google's is not asked
	s.use(alert.MailAccess{RefreshToken: "r", ClientSecret: "c"}, func(m *alert.Mail) {
		m.User, m.Auth, m.TokenURL, m.ClientID = "ana", alert.MailAuthXOAUTH2, place.URL, "id"
	})
	if _, err := s.send(delivery()); err != nil {
		t.Error(err)
	}
}

func TestConsentAsksForWhatMailNeedsAndComesBackToUs(t *testing.T) {
	s := newStage(t)
	newTokenPlace(t, s)
	var m alert.Mail
	viaGoogle(&m)
	u, err := url.Parse(s.Consent(m, "https://painel.example/settings/mail/google", "state-1", oauth2.GenerateVerifier()))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"state": "state-1", "redirect_uri": "https://painel.example/settings/mail/google", "access_type": "offline", "prompt": "consent",
		"scope": "openid email https://mail.google.com/", "login_hint": "alertas@gmail.example", "code_challenge_method": "S256", "response_type": "code",
	} {
		if q.Get(name) != want {
			t.Errorf("%s: %q", name, q.Get(name))
		}
	}
	if u.Host != "accounts.google.example" || q.Get("client_secret") != "" || q.Get("code_challenge") == "" {
		t.Error(u)
	}
}

func idToken(email string) string {
	claims := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"email":%q}`, email)))
	return "e30." + claims + ".x"
}

func TestAConnectedAccountIsTheOneThatSends(t *testing.T) {
	s := newStage(t)
	place := newTokenPlace(t, s)
	var m alert.Mail
	viaGoogle(&m)
	connect := func() (string, error) {
		return s.Connect(s.ctx, m, alert.MailAccess{ClientSecret: "c"}, "https://painel.example/back", "code-1", "verifier-1")
	}
	place.answers(200, map[string]any{"access_token": "a", "refresh_token": "1//new", "id_token": idToken("Alertas@gmail.example"), "scope": "openid " + GoogleScope})
	if refresh, err := connect(); err != nil || refresh != "1//new" {
		t.Fatal(refresh, err)
	}
	form := place.asked[0]
	if form.Get("code") != "code-1" || form.Get("code_verifier") != "verifier-1" || form.Get("redirect_uri") != "https://painel.example/back" {
		t.Error(form)
	}
	for key, body := range map[string]map[string]any{
		"mail.problem.other_account":    {"access_token": "a", "refresh_token": "r", "id_token": idToken("outra@gmail.example")},
		"mail.problem.no_refresh_token": {"access_token": "a", "id_token": idToken("alertas@gmail.example")},
		"mail.problem.scope":            {"access_token": "a", "refresh_token": "r", "scope": "openid email"},
	} {
		place.answers(200, body)
		_, err := connect()
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Key != key {
			t.Errorf("%s: %v", key, err)
		}
	}
	place.answers(400, map[string]any{"error": "invalid_grant"})
	if _, err := connect(); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), "mail.problem.exchange") {
		t.Error(err)
	}
}
