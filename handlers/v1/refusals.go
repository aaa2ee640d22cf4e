package v1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// tellWhy keeps why a call was refused, and adds to the error where people can read it. Strangers' calls are not kept:
// nobody could read why.
func (a *API) tellWhy(r *request, err error, p *problem) {
	var refusal *gateway.Refusal
	if a.gate.Refusals == nil || !errors.As(err, &refusal) || refusal.Reason == gateway.UnknownResponse {
		return
	}
	caller := r.caller
	if caller == nil {
		caller = refusal.Caller
	}
	if caller == nil {
		return
	}
	row := tenancy.Refusal{
		ID: r.id.UUID, At: r.line.start.UTC(), TenantID: caller.TenantID, KeyID: caller.KeyID, Endpoint: r.endpoint, Model: nameOnly(r.model),
		HTTPStatus: p.status, Reason: string(refusal.Reason),
	}
	switch {
	case refusal.Rate != nil:
		rateRow(&row, refusal.Rate)
	case refusal.Quota != nil:
		quotaRow(&row, refusal, caller)
	case p.retry > 0:
		row.ResetsAt = row.At.Add(p.retry)
	}
	if a.gate.Refusals.Add(row) {
		p.message += " Details: " + a.portal + r.line.id
	}
}

// nameOnly gives a model's name to be kept, and nothing where it may be a prompt or a key that was put in its place.
func nameOnly(model string) string {
	odd := func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-._:/@", c)
	}
	if len(model) > maxModelName || strings.ContainsFunc(model, odd) || strings.Contains(model, tenancy.KeyPrefix) {
		return ""
	}
	return model
}

// maxModelName is longer than any model's.
const maxModelName = 100

// shortened bounds a name that the caller made up.
func shortened(name string) string {
	const most = 200
	if len(name) > most {
		name = name[:most]
	}
	return strings.ToValidUTF8(name, "")
}

func rateRow(row *tenancy.Refusal, r *ratelimit.Refused) {
	row.Scope, row.LimitValue, row.Asked = r.Scope.String(), int64(r.Limit), r.Asked
	row.ResetsAt = row.At.Add(r.RetryAfter)
	switch r.Kind {
	case ratelimit.Requests:
		row.Limit = "requests_per_minute"
	case ratelimit.Tokens:
		row.Limit = "tokens_per_minute"
	case ratelimit.Parallel:
		row.Limit = "parallel_calls"
	}
}

// quotaRow tells of the kind of token that does not fit; of output where both do not.
func quotaRow(row *tenancy.Refusal, r *gateway.Refusal, caller *tenancy.Caller) {
	q := r.Quota
	row.Scope, row.ResetsAt = "plan", r.Resets
	if c := r.Cap; c != nil {
		row.Scope, row.Limit = "tenant", tenancy.LimitSpendCap
		row.LimitValue, row.Asked, row.Remaining = int64(c.Amount), int64(c.Asked), int64(c.Left)
		return
	}
	row.Limit, row.LimitValue, row.Asked, row.Remaining = "output_tokens", caller.Terms.OutputTokens, q.Asked.Out, q.Remaining.Out
	if q.Asked.In > q.Remaining.In && q.Asked.Out <= q.Remaining.Out {
		row.Limit, row.LimitValue, row.Asked, row.Remaining = "input_tokens", caller.Terms.InputTokens, q.Asked.In, q.Remaining.In
	}
}

// refusalObject is a refusal as programs read it.
type refusalObject struct {
	ID         string  `json:"id"` // the request's
	Object     string  `json:"object"`
	CreatedAt  int64   `json:"created_at"`
	Reason     string  `json:"reason"`
	HTTPStatus int     `json:"http_status"`
	Endpoint   string  `json:"endpoint"`
	Model      string  `json:"model"`
	Scope      *string `json:"scope"`
	Limit      *string `json:"limit"`
	LimitValue int64   `json:"limit_value"`
	Asked      int64   `json:"asked"`
	Remaining  int64   `json:"remaining"`
	ResetsAt   *int64  `json:"resets_at"`
	URL        string  `json:"url"`
}

// getRefusal tells why one of the caller's calls was refused.
func (a *API) getRefusal(c *fiber.Ctx, r *request) error {
	text := c.Params("id")
	id, err := parseID(text)
	if err != nil {
		return invalid("request_id", "Invalid request id '%s': expected one such as %s.", shortened(text), r.line.id)
	}
	if a.gate.Refusals == nil {
		return noRefusal(text)
	}
	row, err := a.gate.Refusals.Find(c.UserContext(), r.caller.TenantID, id)
	if fault.Is(err, fault.NotFound) {
		return noRefusal(text)
	}
	if err != nil {
		return &gateway.Refusal{Reason: gateway.DatabaseAway, Cause: err}
	}
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	object := refusalObject{
		ID: text, Object: "refusal", CreatedAt: row.At.Unix(), Reason: row.Reason, HTTPStatus: row.HTTPStatus, Endpoint: row.Endpoint, Model: row.Model,
		Scope: orNull(row.Scope), Limit: orNull(row.Limit), LimitValue: row.LimitValue, Asked: row.Asked, Remaining: row.Remaining, URL: a.portal + text,
	}
	if at := row.ResetsAt; !at.IsZero() {
		seconds := at.Add(time.Second - 1).Unix() // the second after which it holds
		object.ResetsAt = &seconds
	}
	return a.answerJSON(r, object)
}

func noRefusal(id string) error {
	return &problem{
		status: fiber.StatusNotFound, kind: "invalid_request_error",
		message: fmt.Sprintf("No refused request with id '%s' was found. They are kept for 90 days.", shortened(id)),
	}
}

// parseID reads a request id as x-request-id tells it.
func parseID(text string) (uuid.UUID, error) {
	digits, ok := strings.CutPrefix(text, "req_")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return uuid.Nil, errors.New("no request id")
	}
	return uuid.FromBytes(b)
}
