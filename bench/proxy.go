package main

import (
	"bytes"
	"fmt"
	"io"
	"net"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/proxy"
	"github.com/valyala/fasthttp"
)

// proxyRole is the baseline: Fiber's own reverse proxy and fasthttp's client, on which the gateway stands too, with no
// logic at all.
func proxyRole(in io.Reader, out io.Writer, provider string) error {
	whole := &fasthttp.Client{NoDefaultUserAgentHeader: true, MaxConnsPerHost: 10_000}
	streaming := &fasthttp.Client{NoDefaultUserAgentHeader: true, MaxConnsPerHost: 10_000, StreamResponseBody: true}
	url := "http://" + provider + "/v1/chat/completions"
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ReadBufferSize: 16 << 10})
	app.Post("/v1/chat/completions", func(c *fiber.Ctx) error {
		client := whole
		if bytes.Contains(c.Request().Body(), []byte(`"stream":true`)) {
			client = streaming
		}
		return proxy.Do(c, url, client)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = app.Shutdown()
	}()
	return app.Listener(listener)
}
