package v1

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/usage"
)

// proxy serves the calls of one endpoint.
func (a *API) proxy(w *wire) func(*fiber.Ctx, *request) error {
	return func(c *fiber.Ctx, r *request) error {
		r.endpoint = w.endpoint
		b, err := w.readBody(r.Request.Header.ContentType(), r.Request.Body())
		if err != nil {
			return err
		}
		r.model = b.model
		call, standing, err := a.gate.Admit(c.UserContext(), r.id, r.caller, a.claim(r, b))
		setStanding(&r.Response.Header, standing)
		if err != nil {
			return noPrevious(b, err)
		}
		r.line.call = call
		if b.stream || w.endpoint == "audio.speech" {
			return a.stream(r, call, b)
		}
		return a.whole(r, call, b)
	}
}

// claim tells the policy what it needs to know of a call.
func (a *API) claim(r *request, b *body) gateway.Request {
	w := b.wire
	claim := gateway.Request{
		Endpoint: w.endpoint, Model: b.model, Stream: b.stream, ByRequest: w.byRequest,
		InputBound: b.inputBound, ExactInput: func() int64 { return a.count(b) }, MaxOutput: b.maxOutput, Choices: b.choices, LeastOutput: w.least,
	}
	if w.output != nil && b.maxOutput == 0 {
		most := int64(math.MaxInt64)
		if model, err := a.gate.Models.Find(r.caller, b.model); err == nil { // else the call is refused anyway
			most = model.MaxOutputTokens
		}
		claim.OutputBound = w.output(b, most)
	}
	if b.previous != "" {
		claim.Previous = a.previous(r, b)
	}
	if r.caller.Cached() && b.boundary == "" {
		claim.Question = a.gate.Ask(r.caller, w.endpoint, b.raw, wishes(string(r.Request.Header.Peek(fiber.HeaderCacheControl))), w.forms)
	}
	return claim
}

// limit is the output per choice that the provider is told, where the caller did not; 0: none. What is usual is told,
// too, where the hold relies on it: not every provider keeps to it by itself.
func (r *request) limit(call *gateway.Call, b *body) int64 {
	if w := b.wire; call.MaxOutput == 0 && w.usual > 0 && b.maxOutput == 0 && !b.mute && r.caller.Hard() {
		return w.usual
	}
	return call.MaxOutput
}

// wishes reads cache-control as far as it is about answers of a cache (RFC 9111 §5.2.1).
func wishes(control string) gateway.Wishes {
	w := gateway.Wishes{MaxAge: -1}
	for directive := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache":
			w.NoCache = true
		case "no-store":
			w.NoStore = true
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				w.MaxAge = time.Duration(seconds) * time.Second
			}
		}
	}
	return w
}

// count counts the input exactly, which is slow for large texts: few at once, so that other calls go on meanwhile.
func (a *API) count(b *body) int64 {
	a.counting <- struct{}{}
	defer func() { <-a.counting }()
	return b.wire.count(b)
}

// whole relays an answer that comes in one piece.
func (a *API) whole(r *request, call *gateway.Call, b *body) error {
	answer, err := call.Send(context.Background(), b.message(r.limit(call, b)))
	if err != nil {
		return a.failed(call, err)
	}
	defer answer.Release()
	whole := wholeAnswer{answer.Status(), answer.Header, answer.Body()}
	if tokens, ok := call.Found(); ok {
		if err := call.Finish(gateway.Outcome{HTTPStatus: fiber.StatusOK, Tokens: tokens}); err != nil {
			return notRecorded(err)
		}
		passWhole(r, call, whole)
		return nil
	}
	return a.relayWhole(r, call, b, whole)
}

// wholeAnswer is a provider's answer in one piece.
type wholeAnswer struct {
	status int
	header func(name string) string
	body   []byte
}

func (w *wholeAnswer) isJSON() bool {
	kind := w.header("Content-Type")
	return kind == "" || strings.Contains(kind, "json")
}

// relayWhole records the answer and passes it on.
func (a *API) relayWhole(r *request, call *gateway.Call, b *body, answer wholeAnswer) error {
	if p := hidden(answer.status, answer.body); p != nil {
		return a.failed(call, p)
	}
	isText := b.boundary != "" && !answer.isJSON() // what was said, which is no report
	m, failed := newMeter(b), answer.status >= fiber.StatusBadRequest
	if isJSON := isText || failed || m.whole(answer.body); answer.status == fiber.StatusOK && !isJSON {
		return a.failed(call, &gateway.Refusal{Reason: gateway.ProviderAway, Cause: errNoJSON})
	}
	outcome := gateway.Outcome{HTTPStatus: answer.status, ProviderID: answer.header("X-Request-Id")}
	if failed {
		outcome.Status = usage.Failed
	} else {
		if b.background && m.pending {
			return a.background(r, call, m, answer)
		}
		outcome.Tokens, outcome.Estimated = m.used()
		outcome.Object, outcome.Complete = m.object, m.sound()
		if m.failed {
			outcome.Status = usage.Failed
		}
	}
	if err := call.Finish(outcome); err != nil {
		return notRecorded(err)
	}
	passWhole(r, call, answer)
	return nil
}

// passWhole gives the provider's answer to the client.
func passWhole(r *request, call *gateway.Call, answer wholeAnswer) {
	h := &r.Response.Header
	setQuotaLeft(h, call.QuotaLeft())
	setCached(h, call)
	passHeaders(h, answer.header)
	setProcessing(h, call.Elapsed())
	r.Response.SetStatusCode(answer.status)
	h.SetContentType(contentType(answer.header("Content-Type"), fiber.MIMEApplicationJSON))
	r.Response.SetBody(answer.body)
}

// failed records a call that the provider did not answer, and gives the error for the caller.
func (a *API) failed(call *gateway.Call, err error) error {
	if err := call.Finish(gateway.Outcome{Status: usage.Failed, HTTPStatus: asProblem(err).status}); err != nil {
		return notRecorded(err)
	}
	return err
}

// notRecorded refuses to answer what could not be recorded.
func notRecorded(err error) error {
	return &gateway.Refusal{Reason: gateway.NotRecordable, Cause: err}
}

// errNoJSON is an answer cut short, or a page of something between us and the provider.
var errNoJSON = errors.New("the provider's answer is no JSON")

// errCredentials and errNoCredit are the operator's business, not the caller's.
var (
	errCredentials = errors.New("the provider refused the operator's credentials")
	errNoCredit    = errors.New("the operator's account at the provider has no credit left")
)

// hidden gives the caller's error where the provider's own must not pass: its 401 and 403 and a quota that is used up speak
// of the operator's account, and a redirect leads nowhere.
func hidden(status int, body []byte) error {
	switch {
	case status == fiber.StatusUnauthorized || status == fiber.StatusForbidden:
		return &gateway.Refusal{Reason: gateway.ProviderAway, Cause: errCredentials}
	case status == fiber.StatusTooManyRequests && gjson.GetBytes(body, "error.code").Str == "insufficient_quota":
		return &gateway.Refusal{Reason: gateway.ProviderAway, Cause: errNoCredit}
	case status >= 300 && status < 400:
		return &gateway.Refusal{Reason: gateway.ProviderAway, Cause: fmt.Errorf("the provider answered with redirect %d", status)}
	}
	return nil
}

func contentType(given, otherwise string) string {
	if given == "" {
		return otherwise
	}
	return given
}
