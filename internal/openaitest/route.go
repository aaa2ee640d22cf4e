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
	ctx *fasthttp.RequestCtx
	place
	body      []byte // as OpenAI would get it
	behaviour Behaviour
	count     tallies
	started   time.Time
	answered  bool // its head is made
}

// handle answers one request: counts it, checks its key, applies its behaviour and gives it to its endpoint.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	request := &Request{ctx}
	c := &call{Server: s, ctx: ctx, place: placeOf(ctx), body: ctx.PostBody(), count: s.tallies(request), started: time.Now()}
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
	if fail := s.authorize(request, c.place); fail != nil {
		c.fail(fail)
		return
	}
	c.behaviour = s.behaviour(request)
	if c.behaviour.Fault == FaultFailed && c.path != "/v1/responses" {
		c.behaviour.Fault = FaultErrorEvent
	}
	defer c.unlessAnswered()
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

// unlessAnswered breaks off what Close has cut short: left alone, it would be answered with an empty 200.
func (c *call) unlessAnswered() {
	select {
	case <-c.done:
		if !c.answered {
			reset(c.ctx.Conn())
		}
	default:
	}
}

// route finds the endpoint.
func (c *call) route() {
	if fail := c.enterAzure(); fail != nil {
		c.fail(fail)
		return
	}
	path, id := c.path, ""
	if rest, ok := strings.CutPrefix(path, "/v1/models/"); ok {
		path, id = "/v1/models/", rest // ids may hold slashes
	}
	if endpoint := c.generating(path); endpoint != nil {
		c.only(fasthttp.MethodPost, endpoint)
		return
	}
	switch {
	case path == "/v1/models":
		c.only(fasthttp.MethodGet, c.listModels)
	case path == "/v1/models/":
		c.only(fasthttp.MethodGet, func() { c.getModel(id) })
	case strings.HasPrefix(path, "/v1/responses/"):
		c.storedResponse(strings.TrimPrefix(path, "/v1/responses/"))
	default:
		c.fail(c.unknownAddress())
	}
}

func (c *call) unknownAddress() *apiError {
	return &apiError{status: 404, message: "Invalid URL (" + string(c.ctx.Method()) + " " + string(c.ctx.Path()) + ")"}
}

// generating returns the endpoint of a path that something is posted to, or nil.
func (c *call) generating(path string) func() {
	switch path {
	case "/v1/chat/completions":
		return c.chat
	case "/v1/completions":
		return c.complete
	case "/v1/responses":
		return c.respond
	case "/v1/responses/input_tokens":
		return c.countResponse
	case "/v1/embeddings":
		return c.embed
	case "/v1/moderations":
		return c.moderate
	case "/v1/images/generations":
		return c.generateImages
	case "/v1/images/edits":
		return c.editImages
	case "/v1/images/variations":
		return c.varyImages
	case "/v1/audio/transcriptions":
		return c.transcribe
	case "/v1/audio/translations":
		return c.translate
	case "/v1/audio/speech":
		return c.speak
	}
	return nil
}

// only runs the endpoint when the method is right.
func (c *call) only(method string, endpoint func()) {
	if string(c.ctx.Method()) != method {
		c.fail(&apiError{status: 405, message: "Only " + method + " requests are accepted.", code: "method_not_supported"})
		return
	}
	endpoint()
}

// authorize wants a bearer key, and one of Options.Keys where there are any. At Azure the key comes as "api-key"; its address
// without deployments takes either.
func (s *Server) authorize(r *Request, at place) *apiError {
	key, ok := strings.CutPrefix(r.Header("Authorization"), "Bearer ")
	if own := r.Header("api-key"); at.azure && (own != "" || !at.v1) {
		key, ok = own, true
	}
	known := len(s.opts.Keys) == 0 || slices.Contains(s.opts.Keys, key)
	switch {
	case at.azure && (!ok || key == "" || !known):
		return &apiError{status: 401, azure: true, code: "401", message: "Access denied due to invalid subscription key or wrong API " +
			"endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}
	case !ok || key == "":
		return &apiError{status: 401, message: "You didn't provide an API key. You need to provide your API key in an " +
			"Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."}
	case !known:
		return &apiError{status: 401, message: "Incorrect API key provided.", code: "invalid_api_key"}
	}
	return nil
}

// head sets the headers that every answer of OpenAI's carries.
func (c *call) head(contentType string) {
	c.answered = true
	h := &c.ctx.Response.Header
	h.SetContentType(contentType)
	h.Set("x-request-id", c.count.entry.ID)
	h.Set("openai-version", "2020-10-01")
	h.Set("openai-organization", "org-simulator")
	h.Set("openai-processing-ms", strconv.FormatInt(time.Since(c.started).Milliseconds(), 10))
	h.Set("x-ratelimit-limit-requests", "10000")
	h.Set("x-ratelimit-remaining-requests", "9999")
	h.Set("x-ratelimit-reset-requests", "6ms")
	h.Set("x-ratelimit-limit-tokens", "2000000")
	h.Set("x-ratelimit-remaining-tokens", "1999000")
	h.Set("x-ratelimit-reset-tokens", "30ms")
	if c.azure {
		h.Set("apim-request-id", c.ids.word("", 32))
		h.Set("x-ms-region", "Brazil South")
	}
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
	if c.azure {
		fail.azure, fail.code = true, strconv.Itoa(b.Status)
	}
	c.fail(fail)
	if b.Body == "" {
		return
	}
	c.ctx.Response.SetBodyString(b.Body)
}

// handleBroken answers what is no HTTP request, or too large a one.
func (s *Server) handleBroken(ctx *fasthttp.RequestCtx, err error) {
	c := &call{Server: s, ctx: ctx, count: tallies{total: &s.stats.total, entry: Entry{ID: s.ids.hex("req_")}}, started: time.Now()}
	if err == fasthttp.ErrBodyTooLarge {
		c.fail(&apiError{status: 413, message: "Maximum request size exceeded.", code: "request_too_large"})
		return
	}
	c.fail(&apiError{status: 400, message: "The request could not be read."})
}
