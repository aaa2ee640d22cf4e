package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
)

// ending is what a client saw of a call's end.
type ending int

const (
	complete ending = iota // the whole answer
	denied                 // an error instead of an answer
	spoilt                 // an error within the stream
	left                   // the client went away itself
	broken                 // the connection broke
	unsent                 // nobody took the connection
	endings
)

func (e ending) String() string {
	return [...]string{"answered", "refused", "error in the stream", "left by the client", "broken off", "not sent: no connection"}[e]
}

// tokens are figures of a usage.
type tokens struct{ In, Cached, Out int64 }

func (t tokens) plus(o tokens) tokens { return tokens{t.In + o.In, t.Cached + o.Cached, t.Out + o.Out} }

func (t tokens) String() string { return fmt.Sprintf("%d + %d", t.In, t.Out) }

// call is what a client knows of one call.
type call struct {
	marker
	customer *customer
	key      *key
	replica  int
	request  request
	began    time.Time
	ended    time.Time

	end    ending
	status int
	id     string // 32 hex digits of x-request-id; empty where no head came
	cache  string
	code   string // of an error
	told   bool
	usage  tokens
	err    error
}

func (c *call) String() string {
	return fmt.Sprintf("call %s of %s %d to replica %d, %s: %s %d %s", c.marker, c.customer.kind, c.customer.number, c.replica, c.request.endpoint, c.end, c.status, c.code)
}

// patience is how long a client waits; a call that takes longer than slowest is an error of the product.
const (
	patience = 150 * time.Second
	slowest  = 120 * time.Second
)

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}}

// make makes the call at an address and notes what came.
func (c *call) make(address string) {
	c.began = time.Now()
	defer func() { c.ended = time.Now() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/"+c.request.endpoint, bytes.NewReader(c.request.body))
	if err != nil {
		c.end, c.err = unsent, err
		return
	}
	req.GetBody = nil // a call that may have been sent is not sent again
	req.Header.Set("Authorization", "Bearer "+c.key.secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		c.end, c.err = broken, err
		if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED) {
			c.end = unsent
		}
		return
	}
	defer res.Body.Close()
	c.status, c.cache = res.StatusCode, res.Header.Get("X-Fila-Cache")
	c.id = strings.TrimPrefix(res.Header.Get("X-Request-Id"), "req_")
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		c.readStream(res.Body)
		return
	}
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		c.end, c.err = broken, err
	case c.status != http.StatusOK:
		c.end, c.code = denied, gjson.GetBytes(text, "error.code").String()
	case !gjson.ValidBytes(text):
		c.end, c.err = broken, fmt.Errorf("an answer that is no JSON")
	default:
		c.end = complete
		c.note(gjson.GetBytes(text, "usage"))
	}
}

// readStream reads events to the end, or until the client leaves.
func (c *call) readStream(body io.Reader) {
	c.end = broken
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	events := 0
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		events++
		kind := gjson.Get(data, "type").String()
		switch {
		case c.end == spoilt:
		case gjson.Get(data, "error.message").Exists() || kind == "error" || kind == "response.failed":
			c.end, c.code = spoilt, gjson.Get(data, "error.code").String()
		case data == "[DONE]":
			c.end = complete
		case kind == "response.completed" || kind == "response.incomplete":
			c.end = complete
			c.note(gjson.Get(data, "response.usage"))
		default:
			c.note(gjson.Get(data, "usage"))
		}
		if events == c.request.leave && c.end == broken {
			c.end = left
			return
		}
	}
	if c.err = lines.Err(); c.err != nil && c.end == complete {
		c.err = nil // the last event has come; what ends the connection after it takes nothing away
	}
}

// note keeps a usage in the words of any endpoint.
func (c *call) note(usage gjson.Result) {
	if !usage.IsObject() {
		return
	}
	c.told = true
	first := func(names ...string) int64 {
		for _, name := range names {
			if v := usage.Get(name); v.Exists() {
				return v.Int()
			}
		}
		return 0
	}
	c.usage = tokens{
		In: first("prompt_tokens", "input_tokens"), Out: first("completion_tokens", "output_tokens"),
		Cached: first("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"),
	}
}
