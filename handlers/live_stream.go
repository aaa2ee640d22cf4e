package handlers

import (
	"bufio"
	"context"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const (
	heartbeatEvery = 5 * time.Second // a page that left is noticed by the second write after it, and keeps a place of its session until then
	sessionEvery   = 5 * time.Second // how soon a stream ends after its session
)

// stream answers with server-sent events (WHATWG HTML §9.2): one event a part that changed, until the page leaves, the
// session ends or the process stops. A session that ended gets the event signed-out, so that the page can say so. The bell's
// count comes on every stream, since a browser has few connections to a host: no page opens a second one for it.
func (p *Panel) stream(c *fiber.Ctx, s scope, load func(context.Context) (snapshot, error)) error {
	return p.streams(c, append([]watch{{s, load}}, p.bell(at(c))...)...)
}

func (p *Panel) streams(c *fiber.Ctx, watched ...watch) error {
	v := at(c)
	session, user := tokenID(v.session.ID), *v.User
	watcher, leave, err := p.hub.join(string(session[:]), v.Say.Lang(), watched...)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/event-stream; charset=utf-8")
	c.Set("X-Accel-Buffering", "no") // a proxy that collects the answer would show nothing
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer leave()
		e := events{w: w, sent: map[string]string{}}
		signedIn := func(ctx context.Context) bool { return p.stillSignedIn(ctx, session, user) }
		e.follow(watcher, signedIn)
	})
	return nil
}

// stillSignedIn tells whether the session goes on and its user may still see what it saw. With the database away the
// answer is yes: nothing can be read then anyway.
func (p *Panel) stillSignedIn(ctx context.Context, id tenancy.SessionID, user tenancy.User) bool {
	session, err := p.Sessions.Session(ctx, id)
	if err != nil {
		return !fault.Is(err, fault.NotFound)
	}
	return session.User.Role == user.Role && session.User.TenantID == user.TenantID
}

// events writes one stream.
type events struct {
	w    *bufio.Writer
	sent map[string]string // what the page shows, by part
}

func (e *events) follow(v *viewer, signedIn func(context.Context) bool) {
	ticker := time.NewTicker(sessionEvery)
	defer ticker.Stop()
	quiet := time.Duration(0)
	if e.comment("live") != nil {
		return
	}
	for {
		select {
		case <-v.gone:
			return
		case update := <-v.updates:
			written, err := e.update(update)
			if err != nil {
				return
			}
			if written {
				quiet = 0
			}
		case <-ticker.C:
			ctx, cancel := context.WithTimeout(context.Background(), sessionEvery)
			ok := signedIn(ctx)
			cancel()
			if !ok {
				e.event(part{name: "signed-out"}) //nolint:errcheck // the stream ends either way
				e.w.Flush()                       //nolint:errcheck
				return
			}
			if quiet += sessionEvery; quiet >= heartbeatEvery {
				if e.comment("") != nil {
					return
				}
				quiet = 0
			}
		}
	}
}

// update writes the parts that are not what the page shows already.
func (e *events) update(parts []part) (written bool, err error) {
	for _, p := range parts {
		if shown, ok := e.sent[p.name]; ok && shown == p.text {
			continue
		}
		e.sent[p.name], written = p.text, true
		if err := e.event(p); err != nil {
			return written, err
		}
	}
	return written, e.w.Flush()
}

func (e *events) event(p part) error {
	if _, err := e.w.WriteString("event: " + p.name + "\n"); err != nil {
		return err
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(p.text, "\r", ""), "\n") {
		if _, err := e.w.WriteString("data: " + line + "\n"); err != nil {
			return err
		}
	}
	return e.w.WriteByte('\n')
}

// comment writes a line that readers skip; it keeps connections from being cut as idle.
func (e *events) comment(text string) error {
	if _, err := e.w.WriteString(": " + text + "\n\n"); err != nil {
		return err
	}
	return e.w.Flush()
}
