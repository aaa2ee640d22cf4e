package handlers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// SessionStore keeps sessions. A session that has expired, was revoked or whose user is disabled is fault.NotFound.
type SessionStore interface {
	Session(ctx context.Context, id tenancy.SessionID) (tenancy.Session, error)
	OpenSession(ctx context.Context, d tenancy.SessionDraft) error
	KeepSessionData(ctx context.Context, id tenancy.SessionID, data []byte) error
	CloseSession(ctx context.Context, id tenancy.SessionID) error
}

// sessionCookies is a gorilla session store over PostgreSQL, and the bridge from Fiber to it; nothing else here knows
// gorilla or net/http. The cookie holds a random token under a signature; the table holds the token's SHA-256.
type sessionCookies struct {
	name   string
	codecs []securecookie.Codec
	keeper SessionStore
	secure bool
}

// Names of the values that live in a session for one request only; whatever else it holds is kept.
const (
	foundValue = "found" // tenancy.Session, as read
	draftValue = "draft" // tenancy.SessionDraft, to be opened at the first Save
)

var _ sessions.Store = (*sessionCookies)(nil)

func newSessionCookies(key []byte, keeper SessionStore, secure bool) *sessionCookies {
	s := &sessionCookies{name: "filaia_session", keeper: keeper, secure: secure}
	if secure {
		s.name = "__Host-" + s.name // the browser then refuses it from a subdomain or without TLS
	}
	codec := securecookie.New(key, nil)
	codec.MaxAge(int(tenancy.SessionLife.Seconds()))
	s.codecs = []securecookie.Codec{codec}
	return s
}

// Get gives the request's session, once read per request.
func (s *sessionCookies) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New reads the session of the request's cookie. A cookie that is missing, forged or no longer good is no error: it
// gives a new session, which exists nowhere until it is saved.
func (s *sessionCookies) New(r *http.Request, name string) (*sessions.Session, error) {
	fresh := s.empty(name)
	cookie, err := r.Cookie(name)
	if err != nil {
		return fresh, nil
	}
	var token string
	if securecookie.DecodeMulti(name, cookie.Value, &token, s.codecs...) != nil {
		return fresh, nil
	}
	found, err := s.keeper.Session(r.Context(), tokenID(token))
	if fault.Is(err, fault.NotFound) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("read session: %w", err)
	}
	session := s.empty(name)
	session.ID, session.IsNew = token, false
	if len(found.Data) > 0 {
		if err := (securecookie.GobEncoder{}).Deserialize(found.Data, &session.Values); err != nil {
			return fresh, fmt.Errorf("read session data: %w", err)
		}
	}
	session.Values[foundValue] = found
	return session, nil
}

func (s *sessionCookies) empty(name string) *sessions.Session {
	session := sessions.NewSession(s, name)
	session.IsNew = true
	session.Options = &sessions.Options{
		Path: "/", MaxAge: int(tenancy.SessionLife.Seconds()), HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
	return session
}

// Save opens a new session, keeps the data of a known one, or ends it where MaxAge is negative.
func (s *sessionCookies) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	ctx, name := r.Context(), session.Name()
	if session.Options.MaxAge < 0 {
		if !session.IsNew {
			if err := s.keeper.CloseSession(ctx, tokenID(session.ID)); err != nil {
				return err
			}
		}
		http.SetCookie(w, sessions.NewCookie(name, "", session.Options))
		return nil
	}
	if !session.IsNew {
		data, err := keptData(session)
		if err != nil {
			return err
		}
		return s.keeper.KeepSessionData(ctx, tokenID(session.ID), data)
	}
	draft, ok := session.Values[draftValue].(tenancy.SessionDraft)
	if !ok {
		return fmt.Errorf("save session: nobody signed in")
	}
	session.ID = newToken()
	draft.ID = tokenID(session.ID)
	if err := s.keeper.OpenSession(ctx, draft); err != nil {
		return err
	}
	value, err := securecookie.EncodeMulti(name, session.ID, s.codecs...)
	if err != nil {
		return fmt.Errorf("sign session cookie: %w", err)
	}
	session.IsNew = false
	http.SetCookie(w, sessions.NewCookie(name, value, session.Options))
	return nil
}

func keptData(session *sessions.Session) ([]byte, error) {
	kept := make(map[any]any, len(session.Values))
	for name, value := range session.Values {
		if name != foundValue && name != draftValue {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	data, err := securecookie.GobEncoder{}.Serialize(kept)
	if err != nil {
		return nil, fmt.Errorf("write session data: %w", err)
	}
	return data, nil
}

// of reads the session of a Fiber request.
func (s *sessionCookies) of(c *fiber.Ctx) (*sessions.Session, error) {
	return s.Get(bridge(c), s.name)
}

// open signs a user in under a new token; the session before, if any, ends.
func (s *sessionCookies) open(c *fiber.Ctx, old *sessions.Session, userID int64, passwordHash string) error {
	session := s.empty(s.name)
	session.Values[draftValue] = tenancy.SessionDraft{
		UserID: userID, PasswordHash: passwordHash, Address: c.IP(), Agent: short(c.Get(fiber.HeaderUserAgent), 300),
	}
	if err := s.save(c, session); err != nil {
		return err
	}
	if old.IsNew {
		return nil
	}
	return s.keeper.CloseSession(c.UserContext(), tokenID(old.ID))
}

// close signs out: the session ends on the server and the cookie leaves the browser.
func (s *sessionCookies) close(c *fiber.Ctx, session *sessions.Session) error {
	session.Options.MaxAge = -1
	return s.save(c, session)
}

func (s *sessionCookies) save(c *fiber.Ctx, session *sessions.Session) error {
	w := cookieWriter{}
	if err := s.Save(bridge(c), w, session); err != nil {
		return err
	}
	for _, cookie := range http.Header(w)[fiber.HeaderSetCookie] {
		c.Append(fiber.HeaderSetCookie, cookie)
	}
	return nil
}

// bridge shows gorilla what it reads of a request: its cookies and its context.
func bridge(c *fiber.Ctx) *http.Request {
	r := &http.Request{Header: http.Header{"Cookie": {c.Get(fiber.HeaderCookie)}}}
	return r.WithContext(c.UserContext())
}

// cookieWriter catches the headers that gorilla sets.
type cookieWriter http.Header

func (w cookieWriter) Header() http.Header         { return http.Header(w) }
func (w cookieWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w cookieWriter) WriteHeader(int)             {}

func sessionOf(session *sessions.Session) (tenancy.Session, bool) {
	found, ok := session.Values[foundValue].(tenancy.Session)
	return found, ok
}

// newToken draws 32 random bytes, as text.
func newToken() string {
	b := make([]byte, 32)
	rand.Read(b) //nolint:errcheck // it never fails; the system without randomness ends the program
	return base64.RawURLEncoding.EncodeToString(b)
}

func tokenID(token string) tenancy.SessionID { return sha256.Sum256([]byte(token)) }

func short(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most])
	}
	return text
}
