package v1

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/ratelimit"
)

// problem is an error as OpenAI's SDKs read it.
type problem struct {
	status  int
	kind    string
	code    string // empty: null
	param   string // empty: null
	message string
	retry   time.Duration // above 0: retry-after
	final   bool          // the SDK must not try again
	cause   error         // for the log
}

// Error is for the log. The message stays out of it: it may repeat what the caller sent.
func (p *problem) Error() string {
	text := cmp.Or(p.code, p.kind)
	if p.param != "" {
		text += " in " + p.param
	}
	if p.cause != nil {
		text += ": " + p.cause.Error()
	}
	return text
}

// invalid rejects a body; param names the field.
func invalid(param, format string, args ...any) *problem {
	return &problem{status: fiber.StatusBadRequest, kind: "invalid_request_error", param: param, message: fmt.Sprintf(format, args...)}
}

// detail is what SDKs read of an error; all four keys are always there.
type detail struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   any    `json:"param"`
	Code    any    `json:"code"`
}

func (p *problem) detail() detail {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return detail{p.message, p.kind, orNull(p.param), orNull(p.code)}
}

// body is the error's JSON.
func (p *problem) body() []byte {
	b, err := json.Marshal(map[string]detail{"error": p.detail()})
	if err != nil {
		return []byte(`{"error":{"message":"Internal error.","type":"server_error","param":null,"code":null}}`)
	}
	return b
}

// failure is an error after the first byte: an event, then the end, never a false finish_reason. next is its number
// where events are numbered.
func (w *wire) failure(p *problem, next int64) []byte {
	if w.endpoint != "responses" {
		return slices.Concat([]byte("data: "), p.body(), []byte("\n\n"))
	}
	// These events are known by their type, and SDKs read the error's members flat or nested.
	d := p.detail()
	data, err := json.Marshal(struct {
		Kind    string `json:"type"`
		Number  int64  `json:"sequence_number"`
		Code    any    `json:"code"`
		Message string `json:"message"`
		Param   any    `json:"param"`
		Error   detail `json:"error"`
	}{"error", next, d.Code, d.Message, d.Param, d})
	if err != nil {
		data = p.body()
	}
	return slices.Concat([]byte("event: error\ndata: "), data, []byte("\n\n"))
}

// raising gives a provider's error event of a stream of responses as one that every SDK raises: OpenAI documents its
// members flat, but several of its SDKs only look for "error", and take the stream for one that has ended well.
func (w *wire) raising(event []byte) []byte {
	data, ok := eventData(event)
	e := parsed(data)
	if !ok || w.endpoint != "responses" || e.Get("type").Str != "error" || e.Get("error").IsObject() {
		return event
	}
	p := &problem{kind: "server_error", code: e.Get("code").String(), param: e.Get("param").String(), message: e.Get("message").String()}
	return w.failure(p, e.Get("sequence_number").Int())
}

// answerError writes any error in OpenAI's shape; what is no problem and no refusal is a 500 without its text.
func (a *API) answerError(r *request, err error) {
	p := asProblem(err)
	a.tellWhy(r, err, p)
	res := &r.Response
	res.ResetBody()
	if r.caller != nil {
		setStanding(&res.Header, a.standing(r))
	}
	setProcessing(&res.Header, a.gate.Now().Sub(r.line.start))
	res.SetStatusCode(p.status)
	res.Header.SetContentType(fiber.MIMEApplicationJSON)
	if p.retry > 0 {
		res.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retry.Seconds()))))
		res.Header.Set("Retry-After-Ms", strconv.FormatInt(max(p.retry.Milliseconds(), 1), 10))
	}
	if p.final {
		res.Header.Set("X-Should-Retry", "false")
	}
	res.SetBody(p.body())
}

func asProblem(err error) *problem {
	var p *problem
	var refusal *gateway.Refusal
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refusal):
		return refused(refusal)
	}
	return &problem{
		status: fiber.StatusInternalServerError, kind: "server_error", cause: err,
		message: "The server had an error while processing your request. Please retry, and contact us with the request id if it persists.",
	}
}

// refused gives each refusal its status, type and code.
func refused(r *gateway.Refusal) *problem {
	p := &problem{status: fiber.StatusUnauthorized, kind: "invalid_request_error", code: "invalid_api_key", cause: r.Cause}
	switch r.Reason {
	case gateway.NoKey:
		p.message = "You didn't provide an API key. Send it in the Authorization header as: Authorization: Bearer fia_live_..."
	case gateway.UnknownKey:
		p.message = "Incorrect API key provided, or it has been revoked."
	case gateway.ExpiredKey:
		p.message = "This API key has expired."
	case gateway.TenantInactive:
		p.code, p.message = "account_deactivated", "The account of this API key is "+r.Subject+". Contact your provider to reactivate it."
	case gateway.UnknownModel:
		p.status, p.code, p.param = fiber.StatusNotFound, "model_not_found", "model"
		p.message = fmt.Sprintf("The model `%s` does not exist or your plan does not include it. GET /v1/models lists those you can use.", shortened(r.Subject))
	case gateway.RateLimited:
		rateRefused(p, r.Rate)
	case gateway.QuotaExhausted, gateway.QuotaBusy:
		quotaRefused(p, r)
	case gateway.ProviderTimeout:
		p.status, p.kind, p.code = fiber.StatusGatewayTimeout, "server_error", "request_timeout"
		p.message = "The model's provider took too long to answer."
	case gateway.UnknownResponse:
		p.status, p.code = fiber.StatusNotFound, ""
		p.message = fmt.Sprintf("Response with id '%s' not found.", shortened(r.Subject))
	default: // NotRecordable, DatabaseAway, ProviderAway, ProviderBusy
		p.status, p.kind, p.code, p.retry = fiber.StatusServiceUnavailable, "service_unavailable_error", "server_is_overloaded", max(r.RetryAfter, time.Second)
		p.message = "The service is temporarily unavailable. Please retry."
	}
	return p
}

func rateRefused(p *problem, r *ratelimit.Refused) {
	p.status, p.code, p.retry = fiber.StatusTooManyRequests, "rate_limit_exceeded", r.RetryAfter
	p.kind = "requests"
	unit := "requests per minute"
	switch r.Kind {
	case ratelimit.Tokens:
		p.kind, unit = "tokens", "tokens per minute"
	case ratelimit.Parallel:
		unit = "parallel calls"
	}
	p.message = fmt.Sprintf("Rate limit reached: your %s allows %d %s. Please try again in %s.", holder(r.Scope), r.Limit, unit,
		r.RetryAfter.Round(time.Millisecond))
}

// holder names who a limit belongs to.
func holder(scope ratelimit.ScopeKind) string {
	switch scope {
	case ratelimit.Key:
		return "API key"
	case ratelimit.Tenant:
		return "account"
	}
	return "plan"
}

func quotaRefused(p *problem, r *gateway.Refusal) {
	q := r.Quota
	p.status = fiber.StatusTooManyRequests
	if r.Reason == gateway.QuotaBusy {
		p.kind, p.code, p.retry = "tokens", "rate_limit_exceeded", time.Second
		p.message = "The tokens that remain of your plan are held by calls in progress. Please try again in a moment."
		return
	}
	p.kind, p.code, p.final = "insufficient_quota", "insufficient_quota", true
	if c := r.Cap; c != nil {
		p.message = fmt.Sprintf("You reached your account's spend cap: R$ %s may be charged above your plan's included tokens in this period, R$ %s of it is left, "+
			"and this call could be charged up to R$ %s. The period ends at %s. An administrator of your account can raise the cap in the portal, or your provider can.",
			c.Amount.Plain(), c.Left.Plain(), c.Asked.Plain(), r.Resets.UTC().Format(time.RFC3339))
		return
	}
	p.message = fmt.Sprintf("You exceeded your plan's included tokens: this call needs up to %d input and %d output tokens, "+
		"and %d input and %d output tokens remain until %s.",
		q.Asked.In, q.Asked.Out, q.Remaining.In, q.Remaining.Out, r.Resets.UTC().Format(time.RFC3339))
}

// FiberError answers what Fiber itself refuses below Prefix: a body that is too large, a request it cannot read.
func (a *API) FiberError(c *fiber.Ctx, err error) error {
	r := a.newRequest(c)
	var fe *fiber.Error
	if errors.Is(err, fiber.ErrServiceUnavailable) { // there are too many large bodies
		return a.refuse(r, &gateway.Refusal{Reason: gateway.ProviderBusy})
	}
	if errors.As(err, &fe) && fe.Code < fiber.StatusInternalServerError {
		p := &problem{status: fe.Code, kind: "invalid_request_error", message: fe.Message}
		if fe.Code == fiber.StatusRequestEntityTooLarge {
			// A stranger's body is cut short: then the key is what is wrong.
			caller, refusal := a.gate.Callers.Authenticate(c.UserContext(), bearer(&r.Request.Header))
			if refusal != nil {
				return a.refuse(r, refusal)
			}
			r.caller, r.line.caller = caller, caller
			limit := c.App().Config().BodyLimit
			p.code, p.message = "request_too_large", fmt.Sprintf("The request body is larger than the %d MiB accepted.", limit>>20)
		}
		err = p
	}
	return a.refuse(r, err)
}

func (a *API) refuse(r *request, err error) error {
	r.line.err = err
	a.answerError(r, err)
	a.write(r.line, r.Response.StatusCode())
	return nil
}
