// Package upstream speaks HTTP to one provider: OpenAI, a house that is compatible with it, or Azure.
//
// Whole answers go through fasthttp, which costs a quarter of net/http per call; streams go through net/http, whose
// cancellation and connection reuse are safe when a stream is left half-read.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Options say where the provider is, who we are to it, and how long we wait for it.
type Options struct {
	Kind       tenancy.ProviderKind // empty: OpenAI
	BaseURL    string               // such as https://api.openai.com/v1, or https://NAME.openai.azure.com
	APIKey     string               // the operator's credential; empty: none is sent
	APIVersion string               // Azure's; empty: its v1 API

	// Time limits; 0: 10 seconds, 5 minutes, 2 minutes and 10 minutes. A call that passes one fails as
	// gateway.ProviderTimeout, with a cause that names it.
	Connect   time.Duration // TCP and TLS together
	FirstByte time.Duration // of a stream: from the request, once it is written, to the answer's head
	Idle      time.Duration // of a stream: for the next piece, while one is waited for
	Total     time.Duration // the whole call
}

const (
	maxAnswer = 64 << 20         // bytes of a whole answer; what may be larger is streamed
	maxConns  = 10_000           // connections for whole answers
	keepAlive = 30 * time.Second // an idle connection; providers close theirs after a minute or more
	userAgent = "filaia"
)

// Client sends calls to one provider. It is safe for concurrent use.
type Client struct {
	address    address
	key        string // the credential as it is; never told
	authHeader string // that carries the credential; empty where there is none
	authValue  string
	limits     limits
	dialer     *dialer
	unary      *fasthttp.HostClient
	stream     *http.Transport
	life       context.Context // the client's, not a call's: ends with Abort
	abort      context.CancelFunc
}

// New makes a client; it opens no connection yet. Its errors name no credential.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("provider address %q is not an http or https URL", o.BaseURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("provider address %q has a user, a query or a fragment", u.Redacted())
	}
	if !sendable(o.APIKey) {
		return nil, errors.New("the provider's credential has characters that no HTTP header can carry")
	}
	life, abort := context.WithCancel(context.Background())
	c := &Client{address: newAddress(o), key: o.APIKey, limits: o.limits(), life: life, abort: abort}
	switch {
	case o.APIKey == "":
	case o.Kind == tenancy.AzureProvider:
		c.authHeader, c.authValue = "Api-Key", o.APIKey
	default:
		c.authHeader, c.authValue = "Authorization", "Bearer "+o.APIKey
	}
	c.dialer = newDialer(life, c.limits.connect, u)
	secure := u.Scheme == "https"
	c.unary = &fasthttp.HostClient{
		Addr:                      fasthttp.AddMissingPort(u.Host, secure),
		IsTLS:                     secure,
		Name:                      userAgent,
		NoDefaultUserAgentHeader:  true,
		Dial:                      func(addr string) (net.Conn, error) { return c.dialer.dial(life, addr, true) },
		MaxConns:                  maxConns,
		MaxIdleConnDuration:       keepAlive,
		MaxIdemponentCallAttempts: 1, // a call is charged: never sent twice behind our back
		MaxResponseBodySize:       maxAnswer,
		ReadBufferSize:            16 << 10, // bounds the answer's head
		DisablePathNormalizing:    true,
	}
	c.stream = newTransport(c.dialer, c.limits.firstByte)
	return c, nil
}

// sendable tells whether text can be a header's value.
func sendable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Abort breaks off every call under way and refuses those to come; it does not wait for them. They fail at once as
// gateway.ProviderAway, with a cause that is context.Canceled. What a stream gave before stays given.
func (c *Client) Abort() { c.abort() }

// Close drops idle connections.
func (c *Client) Close() {
	c.unary.CloseIdleConnections()
	c.stream.CloseIdleConnections()
}

// Send gives the whole answer, whatever its bytes are. Ending ctx does not break it off, Abort does: to watch ctx, each
// call would need a goroutine, and the context of a request to fasthttp ends as soon as its server begins to stop, when
// calls under way still have time. An error is a *gateway.Refusal; Unsent tells whether the provider can know of it.
func (c *Client) Send(_ context.Context, m *gateway.Message) (gateway.Answer, error) {
	target, err := c.target(m)
	if err != nil {
		return nil, err
	}
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.SetRequestURI(target)
	c.fill(req, m)
	res := fasthttp.AcquireResponse()
	deadline := time.Now().Add(c.limits.total)
	err = errStale
	for n := 0; n <= maxConns && errors.Is(err, errStale); n++ { // each stale connection has left the pool
		err = c.unary.DoDeadline(req, res, deadline)
	}
	if err == nil {
		return answer{res}, nil
	}
	fasthttp.ReleaseResponse(res)
	if !Unsent(err) && !time.Now().Before(deadline) { // fasthttp has several errors for it
		err = &passed{"total", c.limits.total}
	}
	return nil, c.refusal(err)
}

func (c *Client) fill(req *fasthttp.Request, m *gateway.Message) {
	req.Header.SetMethod(method(m))
	req.Header.SetNoDefaultContentType(true)
	if m.Accept != "" {
		req.Header.Set("Accept", m.Accept)
	}
	if c.authHeader != "" {
		req.Header.Set(c.authHeader, c.authValue)
	}
	if len(m.Body) > 0 {
		req.Header.SetContentType(contentType(m))
		req.SetBodyRaw(m.Body)
	}
}

// target is the URL that a message goes to; an error is a refusal.
func (c *Client) target(m *gateway.Message) (string, error) {
	target, err := c.address.of(m)
	if err == nil {
		err = c.life.Err()
	}
	if err != nil {
		return "", c.refusal(&unsent{err})
	}
	return target, nil
}

func method(m *gateway.Message) string {
	if m.Method == "" {
		return http.MethodPost
	}
	return m.Method
}

func contentType(m *gateway.Message) string {
	if m.ContentType == "" {
		return "application/json"
	}
	return m.ContentType
}

// answer is a whole answer in fasthttp's pooled memory.
type answer struct{ res *fasthttp.Response }

func (a answer) Status() int               { return a.res.StatusCode() }
func (a answer) Header(name string) string { return string(a.res.Header.Peek(name)) }
func (a answer) Body() []byte              { return a.res.Body() }
func (a answer) Release()                  { fasthttp.ReleaseResponse(a.res) }
