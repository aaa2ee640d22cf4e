package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
)

func get(t *testing.T, url, encoding string) (*http.Response, []byte) {
	t.Helper()
	app := fiber.New()
	app.Get(Prefix+"*", Handler)
	req := httptest.NewRequest(http.MethodGet, url, nil)
	if encoding != "" {
		req.Header.Set("Accept-Encoding", encoding)
	}
	res, err := app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestFilesAreKeptForEverUnderTheirHash(t *testing.T) {
	res, body := get(t, URL("css/app.css"), "")
	if res.StatusCode != http.StatusOK || len(body) == 0 {
		t.Fatalf("status %d, %d bytes", res.StatusCode, len(body))
	}
	want := map[string]string{
		"Cache-Control":          "public, max-age=31536000, immutable",
		"Content-Type":           "text/css; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Vary":                   "Accept-Encoding",
		"Content-Encoding":       "",
	}
	for header, value := range want {
		if got := res.Header.Get(header); got != value {
			t.Errorf("%s = %q, want %q", header, got, value)
		}
	}
}

func TestAnotherVersionsHashIsServedButNotKept(t *testing.T) {
	res, _ := get(t, Prefix+"0123456789ab/js/app.js", "")
	if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("status %d, Cache-Control %q", res.StatusCode, res.Header.Get("Cache-Control"))
	}
}

func TestGzipGivesTheSameBytesOnlyToThoseWhoTakeIt(t *testing.T) {
	_, plain := get(t, URL("vendor/htmx.min.js"), "gzip;q=0, br")
	res, packed := get(t, URL("vendor/htmx.min.js"), "br, gzip")
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("Content-Encoding = %q", res.Header.Get("Content-Encoding"))
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unpacked, plain) || len(packed) >= len(plain) {
		t.Errorf("%d bytes packed, %d unpacked, %d plain", len(packed), len(unpacked), len(plain))
	}
}

func TestWhatIsNotEmbeddedIsNotFound(t *testing.T) {
	for _, url := range []string{URL("nothing.js"), URL("../go.mod"), URL("css"), Prefix} {
		if res, _ := get(t, url, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", url, res.StatusCode)
		}
	}
}

func TestEveryFileHasAKnownType(t *testing.T) {
	for name, a := range loaded().assets {
		if a.contentType == "application/octet-stream" {
			t.Errorf("%s has no content type", name)
		}
	}
}

// A page must work without asking anybody else: no CDN, and every file a stylesheet names is embedded.
func TestStylesheetsReferToEmbeddedFilesOnly(t *testing.T) {
	ref := regexp.MustCompile(`url\(["']?([^"')]+)`)
	for name, a := range loaded().assets {
		if !strings.HasSuffix(name, ".css") {
			continue
		}
		for _, m := range ref.FindAllStringSubmatch(string(a.body), -1) {
			if strings.HasPrefix(m[1], "data:") || strings.HasPrefix(m[1], "#") {
				continue
			}
			file, ok := strings.CutPrefix(m[1], "../")
			if _, embedded := loaded().assets[file]; !ok || !embedded {
				t.Errorf("%s refers to %s", name, m[1])
			}
		}
	}
}
