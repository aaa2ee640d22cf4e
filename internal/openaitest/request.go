package openaitest

import (
	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"
)

// Request is what Script and Group see of a request. It is valid during their call only.
type Request struct{ ctx *fasthttp.RequestCtx }

// Method returns the HTTP method.
func (r *Request) Method() string { return string(r.ctx.Method()) }

// Path returns the URL's path, such as /v1/chat/completions.
func (r *Request) Path() string { return string(r.ctx.Path()) }

// Header returns a header's value, or "".
func (r *Request) Header(name string) string { return string(r.ctx.Request.Header.Peek(name)) }

// Body returns the raw body; it must be copied to be kept.
func (r *Request) Body() []byte { return r.ctx.PostBody() }

// ByUser groups by the request body's "user".
func ByUser(r *Request) string { return gjson.GetBytes(r.Body(), "user").String() }

// ByKey groups by the Authorization header's whole value.
func ByKey(r *Request) string { return r.Header("Authorization") }

// ByHeader groups by a header's value.
func ByHeader(name string) func(*Request) string {
	return func(r *Request) string { return r.Header(name) }
}
