// Package static serves the browser's files from inside the binary: own CSS and JavaScript, and the vendored
// libraries under vendor/ (see vendor.mk).
//
// Every URL carries a hash of all files, so that a browser may keep a file for ever and still gets the new one
// after an upgrade. Relative references between files (fonts in CSS) stay within the same hash.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"path"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
)

// Prefix is where Handler is mounted: app.Get(static.Prefix+"*", static.Handler).
const Prefix = "/static/"

//go:embed css js img vendor
var files embed.FS

// asset is one file as it is sent. zipped is made at the first request that takes gzip and kept.
type asset struct {
	contentType string
	body        []byte
	zipped      func() []byte // nil where compressing gains nothing
}

type bundle struct {
	hash   string
	assets map[string]asset
}

// loaded reads the embedded files once; they never change while the binary runs.
var loaded = sync.OnceValue(func() bundle {
	b := bundle{assets: map[string]asset{}}
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum.Write([]byte(name))
		sum.Write(body)
		b.assets[name] = newAsset(name, body)
		return nil
	})
	if err != nil {
		panic(err) // an embedded file that cannot be read is a broken build
	}
	b.hash = hex.EncodeToString(sum.Sum(nil))[:12]
	return b
})

func newAsset(name string, body []byte) asset {
	a := asset{contentType: contentType(name), body: body}
	if strings.HasPrefix(a.contentType, "text/") || strings.HasPrefix(a.contentType, "image/svg") {
		a.zipped = sync.OnceValue(func() []byte { return zip(body) })
	}
	return a
}

// contentType does not ask the machine's MIME table, which differs from one to the next.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".txt", "":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func zip(body []byte) []byte {
	var buf bytes.Buffer
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression) // the level is valid
	_, _ = w.Write(body)                                    // a bytes.Buffer takes everything
	_ = w.Close()
	return buf.Bytes()
}

// URL is the address of a file such as "css/app.css": /static/<hash>/css/app.css.
func URL(name string) string { return Prefix + loaded().hash + "/" + name }

// Handler answers GET and HEAD of Prefix + hash + "/" + name. A hash of another version, as an open page asks for
// during an upgrade, gets the present file but may not keep it.
func Handler(c *fiber.Ctx) error {
	b := loaded()
	hash, name, _ := strings.Cut(strings.TrimPrefix(c.Path(), Prefix), "/")
	a, ok := b.assets[name]
	if !ok {
		return fiber.ErrNotFound
	}
	c.Set(fiber.HeaderContentType, a.contentType)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if hash == b.hash {
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	} else {
		c.Set(fiber.HeaderCacheControl, "no-cache")
	}
	if a.zipped == nil {
		return c.Send(a.body)
	}
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	if !acceptsGzip(c.Get(fiber.HeaderAcceptEncoding)) {
		return c.Send(a.body)
	}
	c.Set(fiber.HeaderContentEncoding, "gzip")
	return c.Send(a.zipped())
}

func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			w := strings.ReplaceAll(weight, " ", "")
			return w != "q=0" && w != "q=0.0" && w != "q=0.00" && w != "q=0.000"
		}
	}
	return false
}
