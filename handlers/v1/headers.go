package v1

import (
	"context"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// standing is how the caller of a request stands. The request itself must not be the context: a lease that is asked for
// in the background outlives it, and its memory is the next one's then.
func (a *API) standing(r *request) gateway.Standing {
	return a.gate.Standing(context.Background(), r.caller)
}

// setStanding tells how the caller's rates and quota stand.
func setStanding(h *fasthttp.ResponseHeader, s gateway.Standing) {
	setInt(h, "X-Ratelimit-Limit-Requests", int64(s.Rates.RequestLimit))
	setInt(h, "X-Ratelimit-Remaining-Requests", int64(s.Rates.RequestsLeft))
	setText(h, "X-Ratelimit-Reset-Requests", s.Rates.RequestReset.Round(time.Millisecond).String())
	setInt(h, "X-Ratelimit-Limit-Tokens", int64(s.Rates.TokenLimit))
	setInt(h, "X-Ratelimit-Remaining-Tokens", int64(s.Rates.TokensLeft))
	setText(h, "X-Ratelimit-Reset-Tokens", s.Rates.TokenReset.Round(time.Millisecond).String())
	setQuotaLeft(h, s.QuotaLeft)
	var b [len(time.RFC3339)]byte
	h.SetCanonical([]byte("X-Fila-Quota-Reset"), s.QuotaReset.UTC().AppendFormat(b[:0], time.RFC3339))
}

// setQuotaLeft tells what is left of the included tokens. What calls in flight hold still counts as left.
func setQuotaLeft(h *fasthttp.ResponseHeader, left quota.Pair) {
	setInt(h, "X-Fila-Quota-Remaining-Input", left.In)
	setInt(h, "X-Fila-Quota-Remaining-Output", left.Out)
}

// cacheHeader tells what the cache had to do with an answer.
const cacheHeader = "X-Fila-Cache"

// setCached tells it, and how old the answer is.
func setCached(h *fasthttp.ResponseHeader, call *gateway.Call) {
	how, age := call.Cached()
	if how == usage.CacheBypass {
		return
	}
	setText(h, cacheHeader, how.String())
	if how == usage.CacheHit {
		setInt(h, fasthttp.HeaderAge, int64(age.Seconds()))
	}
}

// setText sets a header whose name is written as it should be, such as X-Fila-Cache. That is not looked at again.
func setText(h *fasthttp.ResponseHeader, name, value string) {
	h.SetCanonical([]byte(name), []byte(value))
}

func setInt(h *fasthttp.ResponseHeader, name string, n int64) {
	var b [20]byte
	h.SetCanonical([]byte(name), strconv.AppendInt(b[:0], n, 10))
}

// passed are the provider's headers that are the caller's business. Its request id and its rate limits are not: they
// are the operator's account.
var passed = [...]string{"Openai-Processing-Ms", "Openai-Version", "Retry-After", "Retry-After-Ms", "X-Should-Retry"}

func passHeaders(h *fasthttp.ResponseHeader, get func(string) string) {
	for _, name := range passed {
		if value := get(name); value != "" {
			h.Set(name, value)
		}
	}
}

// setProcessing tells how long the provider took, where it does not tell itself.
func setProcessing(h *fasthttp.ResponseHeader, took time.Duration) {
	if len(h.Peek("Openai-Processing-Ms")) == 0 {
		setInt(h, "Openai-Processing-Ms", took.Milliseconds())
	}
}
