package v1_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/openaitest"
)

const imageStream = `{"model":"gpt-image-1","prompt":"um pão","stream":true,"n":%d}`

// image is a completed image's event.
func image(usage string) string {
	return "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"AA==\"" + usage + "}\n\n"
}

func TestEachOfSeveralImagesIsCounted(t *testing.T) {
	const usage = `,"usage":{"input_tokens":10,"output_tokens":100,"total_tokens":110}`
	for name, c := range map[string]struct {
		n       int
		body    string
		in, out int64
	}{
		"one":                       {1, image(usage), 10, 100},
		"three":                     {3, image(usage) + "data: {\"type\":\"image_generation.partial_image\"}\n\n" + image(usage) + image(usage), 30, 300},
		"fewer than asked":          {3, image(usage) + image(usage), 20, 200},
		"only the last tells":       {2, image("") + image(usage), 10, 100},
		"none tells":                {2, image("") + image(""), 0, 0},
		"a mark follows":            {1, image(usage) + "data: [DONE]\n\n", 10, 100},
		"the type after the figure": {1, "data: {\"usage\":{\"input_tokens\":10,\"output_tokens\":100},\"type\":\"image_generation.completed\"}\n\n", 10, 100},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(openaitest.Behaviour{Status: 200, Body: c.body, Header: map[string]string{"Content-Type": "text/event-stream"}})
			a := s.do(http.MethodPost, "/images/generations", s.key, fmt.Sprintf(imageStream, c.n))
			if a.status != 200 || a.body != c.body {
				t.Errorf("%d %q", a.status, a.body)
			}
			if r := s.records(1)[0]; r.Status != "ok" || r.In != c.in || r.Out != c.out || r.Estimated {
				t.Errorf("%+v", r)
			}
			s.unheld()
		})
	}
}

// TestALargeImagePassesAsOneEvent is megabytes without a line's end.
func TestALargeImagePassesAsOneEvent(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	body := strings.Replace(image(`,"usage":{"input_tokens":10,"output_tokens":100}`), "AA==", strings.Repeat("QUJD", 1<<20), 1)
	head := map[string]string{"Content-Type": "text/event-stream"}
	s.provider.Next(openaitest.Behaviour{Status: 200, Body: body, Header: head})
	if a := s.do(http.MethodPost, "/images/generations", s.key, fmt.Sprintf(imageStream, 1)); a.status != 200 || a.body != body {
		t.Errorf("%d, %d of %d bytes", a.status, len(a.body), len(body))
	}
	s.provider.Next(openaitest.Behaviour{Status: 200, Body: strings.Replace(body, "QUJD", strings.Repeat("QUJD", 2<<20), 1), Header: head})
	if a := s.do(http.MethodPost, "/images/generations", s.key, fmt.Sprintf(imageStream, 1)); errorType(a.body) != "service_unavailable_error" {
		t.Errorf("an event beyond all bounds passed: %d bytes", len(a.body))
	}
	if list := s.records(2); list[0].Out != 100 || list[1].Status != "error" {
		t.Errorf("%+v", list)
	}
	s.unheld()
}
