package v1

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Requests about a stored response go to the provider that made it, and only for the tenant that it was made for.

func (a *API) getResponse(c *fiber.Ctx, r *request) error {
	if asksForStream(r.QueryArgs().PeekMulti("stream")) {
		return invalid("stream", "A stored response cannot be streamed here. Ask without 'stream', or set it when the response is made.")
	}
	_, err := a.aboutResponse(c, r, fiber.MethodGet, "")
	return err
}

// asksForStream reads a query's values as the provider may: whatever is not plainly a no.
func asksForStream(values [][]byte) bool {
	return len(values) > 1 || len(values) == 1 && string(values[0]) != "false" && string(values[0]) != "0"
}

func (a *API) deleteResponse(c *fiber.Ctx, r *request) error {
	status, err := a.aboutResponse(c, r, fiber.MethodDelete, "")
	if err == nil && status == fiber.StatusOK {
		err = a.gate.ForgetResponse(c.UserContext(), r.caller, c.Params("id"))
	}
	return err
}

func (a *API) cancelResponse(c *fiber.Ctx, r *request) error {
	_, err := a.aboutResponse(c, r, fiber.MethodPost, "/cancel")
	return err
}

func (a *API) listInputItems(c *fiber.Ctx, r *request) error {
	_, err := a.aboutResponse(c, r, fiber.MethodGet, "/input_items")
	return err
}

// aboutResponse passes a request on, and its answer back.
func (a *API) aboutResponse(c *fiber.Ctx, r *request, method, below string) (status int, err error) {
	r.endpoint = "responses"
	id := c.Params("id")
	if err := a.gate.TakeRequest(c.UserContext(), r.caller); err != nil {
		return 0, err
	}
	stored, err := a.ownResponse(c.UserContext(), r.caller, id)
	if err != nil {
		return 0, err
	}
	if method == fiber.MethodDelete {
		a.polls.end(id) // what it used cannot be asked for once it is gone
	}
	m := &gateway.Message{Method: method, Path: responsePath(id, below), Query: string(r.URI().QueryString())}
	answer, err := a.gate.SendTo(context.Background(), stored, m)
	if err != nil {
		return 0, err
	}
	defer answer.Release()
	if p := hidden(answer.Status(), answer.Body()); p != nil {
		return 0, p
	}
	if status := gjson.GetBytes(answer.Body(), "status").Str; status != "" && !unfinished(status) {
		a.polls.end(id) // answered means recorded
	}
	setStanding(&r.Response.Header, a.gate.Standing(c.UserContext(), r.caller))
	passHeaders(&r.Response.Header, answer.Header)
	setProcessing(&r.Response.Header, a.gate.Now().Sub(r.line.start))
	r.Response.SetStatusCode(answer.Status())
	r.Response.Header.SetContentType(contentType(answer.Header("Content-Type"), fiber.MIMEApplicationJSON))
	r.Response.SetBody(answer.Body())
	return answer.Status(), nil
}

// unfinished tells whether a response is still being made.
func unfinished(status string) bool { return status == "queued" || status == "in_progress" }

// maxResponseID is longer than any provider's.
const maxResponseID = 500

// mayBeID tells whether a provider could have called a response so.
func mayBeID(id string) bool {
	odd := func(c rune) bool { return c <= ' ' || c > '~' }
	return len(id) <= maxResponseID && !strings.ContainsFunc(id, odd)
}

// ownResponse finds a response of the caller's tenant. What cannot be an id is not looked for.
func (a *API) ownResponse(ctx context.Context, caller *tenancy.Caller, id string) (gateway.StoredResponse, error) {
	if !mayBeID(id) {
		return gateway.StoredResponse{}, &gateway.Refusal{Reason: gateway.UnknownResponse, Subject: shortened(id)}
	}
	return a.gate.FindResponse(ctx, caller, id)
}

// previous gives what finds the response that a call continues: somebody else's must not be, and its tokens are put in
// again. Where this replica knows them, the rates reserve them, too.
func (a *API) previous(r *request, b *body) func(context.Context) (gateway.StoredResponse, error) {
	if recent, ok := a.gate.RecentResponse(r.caller, b.previous); ok {
		b.before = recent.Tokens
	}
	return func(ctx context.Context) (gateway.StoredResponse, error) {
		stored, err := a.ownResponse(ctx, r.caller, b.previous)
		b.before = stored.Tokens
		return stored, err
	}
}

// noPrevious tells in OpenAI's words that there is nothing to continue: clients then send the whole conversation.
func noPrevious(b *body, err error) error {
	var refusal *gateway.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	var p *problem
	switch refusal.Reason {
	case gateway.UnknownResponse:
		p = invalid("previous_response_id", "Previous response with id '%s' not found.", refusal.Subject)
	case gateway.KeptElsewhere:
		p = invalid("previous_response_id", "Previous response with id '%s' is kept by a provider that does not serve the model `%s` now. "+
			"Continue it with the model that made it, or send the whole conversation as 'input'.", refusal.Subject, shortened(b.model))
	default:
		return err
	}
	p.code = "previous_response_not_found"
	return p
}

func responsePath(id, below string) string { return "/responses/" + url.PathEscape(id) + below }
