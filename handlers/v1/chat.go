package v1

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/gofiber/fiber/v2"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tokenizer"
	"github.com/fila-ia/filaia/internal/usage"
)

// chatBody is the little of a chat request that the gateway reads. The body itself stays raw.
type chatBody struct {
	raw          []byte
	model        string
	stream       bool
	includeUsage bool
	maxOutput    int64 // 0: the caller set none
	choices      int64
	seen         field // what is there, null included: an edit must replace it
}

// field marks the top-level fields that the gateway reads.
type field uint8

const (
	fieldModel field = 1 << iota
	fieldMessages
	fieldStream
	fieldStreamOptions
	fieldMaxCompletionTokens
	fieldMaxTokens
	fieldChoices
)

var fields = map[string]field{
	"model": fieldModel, "messages": fieldMessages, "stream": fieldStream, "stream_options": fieldStreamOptions,
	"max_completion_tokens": fieldMaxCompletionTokens, "max_tokens": fieldMaxTokens, "n": fieldChoices,
}

// maxChoices is OpenAI's own limit of n; maxOutputTokens is far above any model's.
const (
	maxChoices      = 128
	maxOutputTokens = 1 << 31
)

// readChat reads the fields in one pass. A field that is given twice is refused: parsers differ in which of the two
// they believe, and what we hold must be what the provider does.
func readChat(raw []byte) (*chatBody, error) {
	text := unsafe.String(unsafe.SliceData(raw), len(raw)) // nothing writes to the body while it is read
	if tooDeep(raw) {
		return nil, invalid("", "The JSON body of your request is nested more than %d levels deep.", maxDepth)
	}
	if !gjson.Valid(text) {
		return nil, invalid("", "We could not parse the JSON body of your request. The API expects a JSON object.")
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return nil, invalid("", "The request body must be a JSON object.")
	}
	b := &chatBody{raw: raw, choices: 1}
	var err error
	root.ForEach(func(key, value gjson.Result) bool {
		f := fields[key.Str]
		if f == 0 {
			err = lookalike(key.Str)
			return err == nil
		}
		if b.seen&f != 0 {
			err = invalid(key.Str, "'%s' is given more than once.", key.Str)
			return false
		}
		b.seen |= f
		err = b.read(f, key.Str, value)
		return err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case b.seen&fieldModel == 0:
		return nil, invalid("model", "You must provide a model parameter.")
	case b.seen&fieldMessages == 0:
		return nil, invalid("messages", "Missing required parameter: 'messages'.")
	}
	return b, nil
}

func (b *chatBody) read(f field, name string, value gjson.Result) (err error) {
	switch f {
	case fieldModel:
		if value.Type != gjson.String || value.Str == "" {
			return invalid("model", "Invalid type for 'model': expected the name of a model.")
		}
		b.model = strings.Clone(value.Str) // outlives the body
	case fieldMessages:
		if !value.IsArray() || !value.Get("0").Exists() {
			return invalid("messages", "Invalid 'messages': expected an array with at least one message.")
		}
	case fieldStream:
		b.stream, err = boolean(value, name)
	case fieldStreamOptions:
		b.includeUsage, err = readStreamOptions(value)
	case fieldMaxCompletionTokens, fieldMaxTokens:
		var limit int64
		limit, err = positive(value, name, maxOutputTokens)
		b.maxOutput = max(b.maxOutput, limit)
	case fieldChoices:
		b.choices, err = positive(value, name, maxChoices)
		b.choices = max(b.choices, 1)
	}
	return err
}

func readStreamOptions(options gjson.Result) (includeUsage bool, err error) {
	const param = "stream_options.include_usage"
	seen := false
	if !options.IsObject() && options.Type != gjson.Null {
		return false, invalid("stream_options", "Invalid type for 'stream_options': expected an object.")
	}
	options.ForEach(func(key, value gjson.Result) bool {
		if strings.EqualFold(key.Str, "include_usage") {
			if seen || key.Str != "include_usage" {
				err = invalid(param, "'%s' is given more than once, or in capitals.", param)
				return false
			}
			seen = true
			includeUsage, err = boolean(value, param)
		}
		return err == nil
	})
	return includeUsage, err
}

// lookalike refuses a name that differs from one we read in its case only: some parsers take the two for the same.
func lookalike(name string) error {
	for known := range fields {
		if len(name) == len(known) && strings.EqualFold(name, known) {
			return invalid(known, "Unknown parameter: '%s'. Did you mean '%s'?", name, known)
		}
	}
	return nil
}

// boolean reads true, false, null or nothing.
func boolean(v gjson.Result, param string) (bool, error) {
	if v.Exists() && v.Type != gjson.True && v.Type != gjson.False && v.Type != gjson.Null {
		return false, invalid(param, "Invalid type for '%s': expected a boolean.", param)
	}
	return v.Type == gjson.True, nil
}

// positive reads a whole number from 1 to limit; null or nothing gives 0.
func positive(v gjson.Result, param string, limit int64) (int64, error) {
	if !v.Exists() || v.Type == gjson.Null {
		return 0, nil
	}
	n := v.Int()
	if v.Type != gjson.Number || float64(n) != v.Num || n < 1 || n > limit {
		return 0, invalid(param, "Invalid value for '%s': expected an integer from 1 to %d, got %s.", param, limit, abbreviate(v.Raw))
	}
	return n, nil
}

func abbreviate(raw string) string {
	if len(raw) > 40 {
		return fmt.Sprintf("%q…", raw[:40])
	}
	return raw
}

// chat serves POST /v1/chat/completions.
func (a *API) chat(c *fiber.Ctx, r *request) error {
	body, err := readChat(r.Request.Body())
	if err != nil {
		return err
	}
	call, standing, err := a.gate.Admit(c.UserContext(), r.id, r.caller, gateway.Request{
		Endpoint: "chat.completions", Model: body.model, Stream: body.stream,
		InputBound: int64(tokenizer.UpperBoundChat(body.raw)),
		ExactInput: func() int64 { return a.countInput(body) },
		MaxOutput:  body.maxOutput, Choices: body.choices,
	})
	setStanding(&r.Response.Header, standing)
	if err != nil {
		return err
	}
	r.line.call = call
	if body.stream {
		return a.streamChat(r, call, body)
	}
	return a.wholeChat(r, call, body)
}

// countInput counts exactly, which is slow for large texts: few at once, so that other calls go on meanwhile.
func (a *API) countInput(body *chatBody) int64 {
	a.counting <- struct{}{}
	defer func() { <-a.counting }()
	return int64(tokenizer.CountChat(body.raw))
}

// wholeChat relays an answer that comes in one piece.
func (a *API) wholeChat(r *request, call *gateway.Call, body *chatBody) error {
	answer, err := a.gate.Upstream.Send(r, "/chat/completions", body.forProvider(call.MaxOutput))
	if err != nil {
		return a.failed(call, err)
	}
	defer answer.Release()
	return a.relayWhole(r, call, body, wholeAnswer{answer.Status(), answer.Header, answer.Body()})
}

// wholeAnswer is a provider's answer in one piece.
type wholeAnswer struct {
	status int
	header func(name string) string
	body   []byte
}

// relayWhole records the answer and passes it on.
func (a *API) relayWhole(r *request, call *gateway.Call, body *chatBody, answer wholeAnswer) error {
	if p := hidden(answer.status); p != nil {
		return a.failed(call, p)
	}
	if answer.status == fiber.StatusOK && (tooDeep(answer.body) || !gjson.ValidBytes(answer.body)) {
		return a.failed(call, &gateway.Refusal{Reason: gateway.ProviderAway, Cause: errNoJSON})
	}
	outcome := gateway.Outcome{HTTPStatus: answer.status, ProviderID: answer.header("X-Request-Id")}
	if answer.status >= fiber.StatusBadRequest {
		outcome.Status = usage.Failed
	} else {
		outcome.Tokens, outcome.Estimated = wholeUsage(answer.body, body)
	}
	if err := call.Finish(outcome); err != nil {
		return notRecorded(err)
	}
	setQuotaLeft(&r.Response.Header, call.QuotaLeft())
	passHeaders(&r.Response.Header, answer.header)
	setProcessing(&r.Response.Header, call.Elapsed())
	r.Response.SetStatusCode(answer.status)
	r.Response.Header.SetContentType(contentType(answer.header("Content-Type"), fiber.MIMEApplicationJSON))
	r.Response.SetBody(answer.body)
	return nil
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

// errCredentials is the operator's business, not the caller's.
var errCredentials = errors.New("the provider refused the operator's credentials")

// hidden gives the caller's error where the provider's own must not pass: its 401 and 403 speak of the operator's
// account, and a redirect leads nowhere.
func hidden(status int) error {
	switch {
	case status == fiber.StatusUnauthorized || status == fiber.StatusForbidden:
		return &gateway.Refusal{Reason: gateway.ProviderAway, Cause: errCredentials}
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
