// Package v1 speaks OpenAI's wire protocol: it reads the few fields that matter from the raw body, lets
// internal/gateway decide, and relays bytes. Errors, headers and streams follow what the official SDKs rely on.
package v1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// API serves /v1.
type API struct {
	gate     *gateway.Gateway
	log      *slog.Logger
	portal   string        // where people read why a call was refused; the request's id follows
	counting chan struct{} // a place for each text that may be counted at once
	polls    *polls        // of responses that are made in the background
	attrs    sync.Pool     // *[]slog.Attr of lines of the log
}

// New makes the API over a gateway. publicURL is where people reach the portal.
func New(gate *gateway.Gateway, publicURL string, log *slog.Logger) *API {
	return &API{
		gate: gate, log: log, portal: publicURL + "/portal/refusals/", counting: make(chan struct{}, 2), polls: newPolls(),
		attrs: sync.Pool{New: func() any { return new([]slog.Attr) }},
	}
}

// strangerLimit is the largest body that is read of somebody without a working key.
const strangerLimit = 64 << 10

// BodyLimit gives the largest body that is read of a request with this head, or 0 for the server's own limit: memory
// is for those who have a key.
func (a *API) BodyLimit(h *fasthttp.RequestHeader) int {
	if n := h.ContentLength(); n >= 0 && n <= strangerLimit {
		return strangerLimit
	}
	if _, err := a.gate.Callers.Authenticate(context.Background(), bearer(h)); err != nil {
		return strangerLimit
	}
	return 0
}

// Prefix is where the API lives; errors below it are in OpenAI's shape.
const Prefix = "/v1"

// Register adds the routes. They must come before the panel's middleware, which a call does not need.
func (a *API) Register(app *fiber.App) {
	for _, w := range wires() {
		app.Post(Prefix+w.path, a.handle(a.proxy(w)))
	}
	app.Get(Prefix+"/responses/:id", a.handle(a.getResponse))
	app.Delete(Prefix+"/responses/:id", a.handle(a.deleteResponse))
	app.Post(Prefix+"/responses/:id/cancel", a.handle(a.cancelResponse))
	app.Get(Prefix+"/responses/:id/input_items", a.handle(a.listInputItems))
	app.Get(Prefix+"/refusals/:id", a.handle(a.getRefusal))
	app.Get(Prefix+"/models", a.handle(a.listModels))
	app.Get(Prefix+"/models/*", a.handle(a.getModel)) // names may hold slashes
	app.Use(Prefix, a.handle(a.unknown))
}

// request is one HTTP request on its way.
type request struct {
	*fasthttp.RequestCtx
	id       gateway.ID
	caller   *tenancy.Caller
	endpoint string // of a call, and its model: what a refusal tells
	model    string
	line     *line
}

func (a *API) newRequest(c *fiber.Ctx) *request {
	id := gateway.NewID()
	r := &request{RequestCtx: c.Context(), id: id, line: &line{id: id.String(), method: c.Method(), path: safePath(c.Path()), start: a.gate.Now()}}
	setText(&r.Response.Header, "X-Request-Id", r.line.id)
	setText(&r.Response.Header, cacheHeader, usage.CacheBypass.String())
	return r
}

// safePath keeps a key out of the log that somebody took for a part of the address.
func safePath(path string) string {
	if at := strings.Index(path, tenancy.KeyPrefix); at >= 0 {
		return path[:at] + tenancy.KeyPrefix + "…"
	}
	return path
}

// handle authenticates, answers errors in OpenAI's shape and writes the log line of what is answered at once; a stream
// writes its own at its end.
func (a *API) handle(next func(*fiber.Ctx, *request) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r := a.newRequest(c)
		err := a.serve(c, r, next)
		if err != nil {
			r.line.err = err
			a.answerError(r, err)
		}
		if !r.line.deferred {
			a.write(r.line, r.Response.StatusCode())
		}
		return nil
	}
}

// serve authenticates and goes on. A panic of one call must not end all the others.
func (a *API) serve(c *fiber.Ctx, r *request, next func(*fiber.Ctx, *request) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v at %s", p, debug.Stack())
			if r.line.call != nil {
				err = errors.Join(err, r.line.call.Finish(gateway.Outcome{Status: usage.Failed, HTTPStatus: fiber.StatusInternalServerError}))
			}
		}
	}()
	caller, err := a.gate.Callers.Authenticate(c.UserContext(), bearer(&r.Request.Header))
	if err != nil {
		return err
	}
	r.caller, r.line.caller = caller, caller
	a.gate.Addresses.Add(caller, address(c), r.line.start)
	return next(c, r)
}

// address is the caller's, as Fiber gives it. Fiber is asked only where a proxy may stand between: none is trusted but on this
// machine, and to ask costs every call memory.
func address(c *fiber.Ctx) netip.Addr {
	remote, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	if remote = remote.Unmap(); !remote.IsLoopback() {
		return remote
	}
	if told, err := netip.ParseAddr(c.IP()); err == nil {
		return told
	}
	return remote
}

// bearer gives the secret of the Authorization header, or nothing.
func bearer(h *fasthttp.RequestHeader) string {
	scheme, secret, ok := strings.Cut(string(h.Peek(fasthttp.HeaderAuthorization)), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

func (a *API) unknown(c *fiber.Ctx, _ *request) error {
	return &problem{
		status: fiber.StatusNotFound, kind: "invalid_request_error", code: "unknown_url",
		message: "Unknown request URL: " + c.Method() + " " + c.Path() + ". Please check the URL for typos.",
	}
}

// line is what the log says of a request.
type line struct {
	id, method, path string
	start            time.Time
	caller           *tenancy.Caller
	call             *gateway.Call
	begun            *usage.Event // instead, of a call that goes on in the background
	err              error
	deferred         bool // a stream writes the line when it ends
}

// write puts one wide line into the log; never a key, a prompt or an answer.
func (a *API) write(l *line, status int) {
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	ctx, to := context.Background(), a.log.Handler()
	if !to.Enabled(ctx, level) {
		return
	}
	now := a.gate.Now()
	room := a.attrs.Get().(*[]slog.Attr)
	defer a.attrs.Put(room)
	attrs := (*room)[:0]
	attrs = append(attrs, slog.String("id", l.id), slog.String("method", l.method), slog.String("path", l.path),
		slog.Int("status", status), slog.Duration("took", now.Sub(l.start)))
	if l.caller != nil {
		attrs = append(attrs, slog.Int64("tenant", l.caller.TenantID), slog.Int64("key", l.caller.KeyID))
	}
	e := l.begun
	if l.call != nil {
		e = l.call.Event()
	}
	if e != nil {
		attrs = append(attrs, slog.String("model", e.Model), slog.String("outcome", e.Status.String()),
			slog.Int64("input", e.Tokens.Input), slog.Int64("output", e.Tokens.Output), slog.Bool("stream", e.Streamed))
	}
	if l.err != nil {
		attrs = append(attrs, slog.String("error", l.err.Error()))
	}
	*room = attrs
	if to, ok := to.(lines); ok {
		_ = to.HandleLine(ctx, now, level, "call", attrs) // a log that cannot be written has nowhere to say so
		return
	}
	// Past the Logger, which looks up for every line where it was called from.
	record := slog.NewRecord(now, level, "call", 0)
	record.AddAttrs(attrs...)
	_ = to.Handle(ctx, record)
}

// lines is a handler that can do without a slog.Record, which costs as much as the line itself. It keeps no attributes.
type lines interface {
	HandleLine(ctx context.Context, at time.Time, level slog.Level, message string, attrs []slog.Attr) error
}
