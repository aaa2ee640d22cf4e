package main

import (
	"cmp"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	v1 "github.com/fila-ia/filaia/handlers/v1"
)

const (
	// smallBody is what any request may bring without being counted.
	smallBody = 64 << 10
	// shortBody is what is read into memory that is used again.
	shortBody = 4 << 10
	// allBodies bounds the larger ones that are in memory at once: those of calls under way, and what has come of others.
	allBodies = 1 << 30
)

// bodies reads the requests' bodies as they come. The server itself would take all the memory that a head announces
// before the first byte of it is there: a few hundred clients that announce much and send nothing would end it.
type bodies struct {
	api   *v1.API
	held  atomic.Int64 // bytes of larger bodies
	short sync.Pool    // *[]byte of shortBody and one, for those that nearly every call brings
}

// tooLarge marks a head that announces too much. Who sends it itself is refused as well.
const tooLarge = "X-Fila-Too-Large"

// announced looks at a head. A body that will be too large is not waited for.
func (b *bodies) announced(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() > b.limit(h) {
		h.SetContentLength(0)
		h.SetConnectionClose() // what follows is that body, not another request
		h.Set(tooLarge, "1")
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: math.MaxInt} // read keeps the limit
}

// limit is the largest body that is read after a head.
func (b *bodies) limit(h *fasthttp.RequestHeader) int {
	if !strings.HasPrefix(string(h.RequestURI()), v1.Prefix+"/") {
		return formLimit
	}
	return cmp.Or(b.api.BodyLimit(h), bodyLimit)
}

// read reads a body within its limit and goes on.
func (b *bodies) read(c *fiber.Ctx) error {
	ctx := c.Context()
	if len(ctx.Request.Header.Peek(tooLarge)) > 0 {
		return fiber.ErrRequestEntityTooLarge
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return c.Next()
	}
	var held int64
	defer func() { b.held.Add(-held) }()
	h := &ctx.Request.Header
	into, length := []byte(nil), h.ContentLength()
	if length >= 0 && length <= shortBody {
		buffer := b.buffer()
		defer b.short.Put(buffer) // who needs the body for longer than its handler has a copy
		into = (*buffer)[: 0 : length+1]
	}
	body, err := readGrowing(stream, into, length, b.limit(h), func(more int) error {
		held += int64(more)
		if b.held.Add(int64(more)) > allBodies {
			return fiber.ErrServiceUnavailable
		}
		return nil
	})
	if err != nil {
		ctx.Response.SetConnectionClose() // what follows is the rest of this body, not another request
		return err
	}
	ctx.Request.SetBodyRaw(body)
	return c.Next()
}

func (b *bodies) buffer() *[]byte {
	if buffer, ok := b.short.Get().(*[]byte); ok {
		return buffer
	}
	buffer := make([]byte, shortBody+1)
	return &buffer
}

// readGrowing reads to the end into body, or into memory of its own where that is nil, with little more than has come. grow
// is asked before more than smallBody is taken. length is what the head says; negative: it does not.
func readGrowing(from io.Reader, body []byte, length, limit int, grow func(more int) error) ([]byte, error) {
	if body == nil {
		size := smallBody
		if length >= 0 {
			size = min(size, length)
		}
		body = make([]byte, 0, size+1) // a byte to see the end with
	}
	for {
		if len(body) == cap(body) {
			more := min(cap(body), max(limit+1-cap(body), 1))
			if err := grow(more); err != nil {
				return nil, err
			}
			larger := make([]byte, len(body), cap(body)+more)
			copy(larger, body)
			body = larger
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, fiber.ErrRequestEntityTooLarge
		case err == io.EOF && length >= 0 && len(body) < length:
			return nil, fiber.ErrBadRequest
		case err == io.EOF:
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fiber.ErrRequestTimeout
		case err != nil:
			return nil, fiber.ErrBadRequest
		}
	}
}
