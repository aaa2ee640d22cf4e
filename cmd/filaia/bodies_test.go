package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gofiber/fiber/v2"
)

func TestABodyTakesLittleMoreMemoryThanHasCome(t *testing.T) {
	const limit = 1 << 20
	for name, c := range map[string]struct {
		sent, says int
		err        error
	}{
		"nothing":                {0, 0, nil},
		"small":                  {100, 100, nil},
		"as large as is free":    {smallBody, smallBody, nil},
		"a byte more":            {smallBody + 1, smallBody + 1, nil},
		"at the limit":           {limit, limit, nil},
		"unsaid":                 {3*smallBody + 7, -1, nil},
		"unsaid, at the limit":   {limit, -1, nil},
		"unsaid, above":          {limit + 1, -1, fiber.ErrRequestEntityTooLarge},
		"unsaid, far above":      {3 * limit, -1, fiber.ErrRequestEntityTooLarge},
		"less than was said":     {200_000, limit, fiber.ErrBadRequest},
		"nothing of what's said": {0, limit, fiber.ErrBadRequest},
	} {
		sent := bytes.Repeat([]byte("x"), c.sent)
		for how, from := range map[string]io.Reader{
			"at once": bytes.NewReader(sent), "halves": iotest.HalfReader(bytes.NewReader(sent)), "with the end": iotest.DataErrReader(bytes.NewReader(sent)),
		} {
			taken := 0
			body, err := readGrowing(from, nil, c.says, limit, func(more int) error { taken += more; return nil })
			if !errors.Is(err, c.err) || err == nil && !bytes.Equal(body, sent) {
				t.Errorf("%s, %s: %d of %d bytes, %v", name, how, len(body), c.sent, err)
			}
			if c.sent <= smallBody && taken > 0 || taken > 2*c.sent || taken > limit {
				t.Errorf("%s, %s: took %d for %d bytes", name, how, taken, c.sent)
			}
		}
	}
}

func TestABodyThatFailsIsTheClients(t *testing.T) {
	free := func(int) error { return nil }
	for err, want := range map[error]error{os.ErrDeadlineExceeded: fiber.ErrRequestTimeout, io.ErrClosedPipe: fiber.ErrBadRequest} {
		if _, got := readGrowing(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(err)), nil, 10, 100, free); !errors.Is(got, want) {
			t.Errorf("%v for %v", got, err)
		}
	}
	full := func(int) error { return fiber.ErrServiceUnavailable }
	if _, err := readGrowing(strings.NewReader(strings.Repeat("x", 2*smallBody)), nil, -1, 1<<20, full); !errors.Is(err, fiber.ErrServiceUnavailable) {
		t.Error(err)
	}
	if _, err := readGrowing(strings.NewReader(strings.Repeat("x", smallBody)), nil, -1, 1<<20, full); err != nil {
		t.Errorf("a small body is refused: %v", err)
	}
}

func TestABodyIsReadIntoTheMemoryThatIsThere(t *testing.T) {
	buffer := make([]byte, shortBody+1)
	for _, text := range []string{"{}", strings.Repeat("y", shortBody)} {
		body, err := readGrowing(strings.NewReader(text), buffer[:0:len(text)+1], len(text), 1<<20, func(int) error { return errors.New("asked for more") })
		if err != nil || string(body) != text || &body[0] != &buffer[0] {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}
