package openaitest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// call is one request being answered.
type call struct {
	*Server
	ctx       *fasthttp.RequestCtx
	behaviour Behaviour
	count     tallies
	started   time.Time
}

// handle answers one request: counts it, checks its key, applies its behaviour and gives it to its endpoint.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	request := &Request{ctx}
	c := &call{Server: s, ctx: ctx, count: s.tallies(request), started: time.Now()}
	defer func() {
		// The simulator runs inside the product: a mistake here must cost one answer, not the process.
		if recover() != nil {
			ctx.Response.Reset()
			c.fail(serverError())
		}
	}()
	c.count.each(func(t *tally) { t.requests.Add(1) })
	if s.opts.Record {
		s.record.add(request)
	}
	if fail := s.authorize(request); fail != nil {
		c.fail(fail)
		return
	}
	c.behaviour = s.behaviour(request)
	if !s.wait(c.behaviour.Delay) {
		return
	}
	switch {
	case c.behaviour.Fault == FaultRefuse:
		reset(ctx.Conn())
	case c.behaviour.Status != 0:
		c.answerStatus()
	default:
		c.route()
	}
}

// route finds the endpoint.
func (c *call) route() {
	path := string(c.ctx.Path())
	method := string(c.ctx.Method())
	switch {
	case path == "/v1/chat/completions":
		c.only(fasthttp.MethodPost, c.chat)
	case path == "/v1/models":
		c.only(fasthttp.MethodGet, c.listModels)
	case strings.HasPrefix(path, "/v1/models/"):
		c.only(fasthttp.MethodGet, func() { c.getModel(strings.TrimPrefix(path, "/v1/models/")) })
	default:
		c.fail(&apiError{status: 404, message: "Invalid URL (" + method + " " + path + ")"})
	}
}

// only runs the endpoint when the method is right.
func (c *call) only(method string, endpoint func()) {
	if string(c.ctx.Method()) != method {
		c.fail(&apiError{status: 405, message: "Only " + method + " requests are accepted.", code: "method_not_supported"})
		return
	}
	endpoint()
}

// authorize wants a bearer key, and one of Options.Keys where there are any.
func (s *Server) authorize(r *Request) *apiError {
	key, ok := strings.CutPrefix(r.Header("Authorization"), "Bearer ")
	switch {
	case !ok || key == "":
		return &apiError{status: 401, message: "You didn't provide an API key. You need to provide your API key in an " +
			"Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."}
	case len(s.opts.Keys) > 0 && !slices.Contains(s.opts.Keys, key):
		return &apiError{status: 401, message: "Incorrect API key provided.", code: "invalid_api_key"}
	}
	return nil
}

// head sets the headers that every answer of OpenAI's carries.
func (c *call) head(contentType string) {
	h := &c.ctx.Response.Header
	h.SetContentType(contentType)
	h.Set("x-request-id", c.ids.hex("req_"))
	h.Set("openai-version", "2020-10-01")
	h.Set("openai-organization", "org-simulator")
	h.Set("openai-processing-ms", strconv.FormatInt(time.Since(c.started).Milliseconds(), 10))
	h.Set("x-ratelimit-limit-requests", "10000")
	h.Set("x-ratelimit-remaining-requests", "9999")
	h.Set("x-ratelimit-reset-requests", "6ms")
	h.Set("x-ratelimit-limit-tokens", "2000000")
	h.Set("x-ratelimit-remaining-tokens", "1999000")
	h.Set("x-ratelimit-reset-tokens", "30ms")
	for name, value := range c.behaviour.Header {
		h.Set(name, value)
	}
}

// answerJSON answers 200 with a document.
func (c *call) answerJSON(document any) {
	c.head("application/json")
	c.ctx.Response.SetBodyRaw(indented(document))
}

// answerStatus does what Behaviour.Status asks for.
func (c *call) answerStatus() {
	b := c.behaviour
	fail := errorOf(b.Status)
	if b.Body == "" {
		c.fail(fail)
		return
	}
	c.fail(fail)
	c.ctx.Response.SetBodyString(b.Body)
}

// handleBroken answers what is no HTTP request, or too large a one.
func (s *Server) handleBroken(ctx *fasthttp.RequestCtx, err error) {
	c := &call{Server: s, ctx: ctx, count: tallies{total: &s.stats.total}, started: time.Now()}
	if err == fasthttp.ErrBodyTooLarge {
		c.fail(&apiError{status: 413, message: "Maximum request size exceeded.", code: "request_too_large"})
		return
	}
	c.fail(&apiError{status: 400, message: "The request could not be read."})
}
