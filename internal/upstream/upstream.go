// Package upstream speaks HTTP to the provider.
//
// Whole answers go through fasthttp, which costs a quarter of net/http per call; streams go through net/http, whose
// cancellation and connection reuse are safe when a stream is left half-read.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fila-ia/filaia/internal/gateway"
)

// Options say where the provider is and who we are to it.
type Options struct {
	BaseURL string // such as https://api.openai.com/v1, without a slash at the end
	APIKey  string // the operator's credential
}

// Times granted to the provider.
const (
	connectTimeout = 10 * time.Second
	answerTimeout  = 10 * time.Minute // OpenAI's SDKs wait as long
	idleTimeout    = 2 * time.Minute  // between two pieces of a stream
	keepAlive      = 30 * time.Second // an idle connection; providers close theirs after a minute or more
)

const (
	maxAnswer = 64 << 20 // bytes of a whole answer
	maxConns  = 10_000   // connections for whole answers
)

// Client sends calls to one provider. It is safe for concurrent use.
type Client struct {
	base   string
	auth   string
	unary  *fasthttp.Client
	stream *http.Client
	life   context.Context // the client's, not a call's: ends with Abort
	abort  context.CancelFunc
}

// New makes a client; it opens no connection yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("provider address %q is not an http or https URL", o.BaseURL)
	}
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive}
	life, abort := context.WithCancel(context.Background())
	return &Client{
		life: life, abort: abort,
		base: strings.TrimSuffix(o.BaseURL, "/"),
		auth: "Bearer " + o.APIKey,
		unary: &fasthttp.Client{
			Name:                     "filaia",
			NoDefaultUserAgentHeader: true,
			Dial: func(addr string) (net.Conn, error) {
				tcp, err := dialer.DialContext(life, "tcp", addr)
				if err != nil {
					return nil, err
				}
				return newConn(life, tcp.(*net.TCPConn))
			},
			TLSConfig:                 &tls.Config{MinVersion: tls.VersionTLS12},
			MaxConnsPerHost:           maxConns,
			MaxIdleConnDuration:       keepAlive,
			MaxIdemponentCallAttempts: 1, // a call is charged: never sent twice behind our back
			MaxResponseBodySize:       maxAnswer,
			ReadBufferSize:            16 << 10, // bounds the answer's head
			DisablePathNormalizing:    true,
		},
		stream: &http.Client{
			Transport: &http.Transport{
				DialContext:           dialer.DialContext,
				TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
				ForceAttemptHTTP2:     true,
				MaxIdleConnsPerHost:   512,
				IdleConnTimeout:       keepAlive,
				TLSHandshakeTimeout:   connectTimeout,
				ResponseHeaderTimeout: answerTimeout,
				DisableCompression:    true, // bytes pass unchanged
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Abort breaks off every call under way and refuses those to come; it does not wait for them. They fail at once as
// gateway.ProviderAway, with a cause that is context.Canceled. What a stream gave before stays given.
func (c *Client) Abort() { c.abort() }

// Close drops idle connections.
func (c *Client) Close() {
	c.unary.CloseIdleConnections()
	c.stream.CloseIdleConnections()
}

// Send posts a JSON body and gives the whole answer. Ending ctx does not break it off, Abort does: to watch ctx, each
// call would need a goroutine, and the context of a request to fasthttp ends as soon as its server begins to stop, when
// calls under way still have time.
func (c *Client) Send(_ context.Context, path string, body []byte) (gateway.Answer, error) {
	if err := c.life.Err(); err != nil {
		return nil, refusal(err)
	}
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.SetRequestURI(c.base + path)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	req.Header.Set("Authorization", c.auth)
	req.SetBodyRaw(body)
	res := fasthttp.AcquireResponse()
	err := errStale
	for n := 0; n <= maxConns && errors.Is(err, errStale); n++ { // each stale connection has left the pool
		err = c.unary.DoTimeout(req, res, answerTimeout)
	}
	if err != nil {
		fasthttp.ReleaseResponse(res)
		if aborted := c.life.Err(); aborted != nil {
			err = fmt.Errorf("%w: %v", aborted, err)
		}
		return nil, refusal(err)
	}
	return answer{res}, nil
}

// answer is a whole answer in fasthttp's pooled memory.
type answer struct{ res *fasthttp.Response }

func (a answer) Status() int               { return a.res.StatusCode() }
func (a answer) Header(name string) string { return string(a.res.Header.Peek(name)) }
func (a answer) Body() []byte              { return a.res.Body() }
func (a answer) Release()                  { fasthttp.ReleaseResponse(a.res) }

// refusal tells slowness from absence.
func refusal(err error) error {
	var netErr net.Error
	reason := gateway.ProviderAway
	if errors.Is(err, fasthttp.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout() {
		reason = gateway.ProviderTimeout
	}
	return &gateway.Refusal{Reason: reason, Cause: err}
}
