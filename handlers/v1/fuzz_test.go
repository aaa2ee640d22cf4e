package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// known is what the gateway reads, as encoding/json does.
type known struct {
	Model               *string
	Stream              *bool
	Background          *bool
	N                   *int64
	MaxTokens           *int64          `json:"max_tokens"`
	MaxCompletionTokens *int64          `json:"max_completion_tokens"`
	MaxOutputTokens     *int64          `json:"max_output_tokens"`
	PreviousResponseID  *string         `json:"previous_response_id"`
	Conversation        json.RawMessage `json:"conversation"`
	StreamOptions       *struct {
		IncludeUsage *bool `json:"include_usage"`
	} `json:"stream_options"`
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

const upstreamName = `other "model" \ é`

// FuzzBody feeds bodies to the reader of every endpoint: what it takes is what encoding/json or mime/multipart read, and
// what is sent to the provider differs by what was to be changed only.
func FuzzBody(f *testing.F) {
	for which, w := range wires() {
		f.Add(uint8(which), "", []byte(`{"model":"m","messages":[{"role":"user","content":"oi"}],"input":"x","prompt":["a","b"],"stream":true,"n":2,"max_tokens":5}`))
		if w.uploads {
			f.Add(uint8(which), "b", []byte("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n"))
		}
	}
	f.Add(uint8(0), "", []byte(`{"m\u006fdel":"m","messages":[1],"stream_options":{"include_usage":false},"stream":true}`))
	f.Add(uint8(0), "", []byte(` {"stream_options" : null ,"stream":true,"messages":[1],"model":"a\u0000b","max_completion_tokens":null}`))
	f.Add(uint8(2), "", []byte(`{"input":"x","model":"m","max_output_tokens":1e2,"previous_response_id":"r","store":false,"background":true}`))
	f.Add(uint8(0), "", []byte(`{"\u0073tream_options":{"a":1},"stream":true,"messages":[[]],"model":"\ud800"}`))
	f.Add(uint8(0), "", []byte(`{"Model":"x","model":"m","messages":[1]}`))
	f.Add(uint8(0), "", []byte(`{"ſtream":true,"model":"m","messages":[1]}`))
	f.Add(uint8(1), "", []byte(`{"model":"m","prompt":[[1,2],[3]],"max_tokens":0,"n":3,"best_of":4}`))
	f.Add(uint8(8), "b", []byte("--b\nContent-Disposition: form-data; name=model\n\nm\n--b\nContent-Disposition: form-data; name=prompt\n\nx\n\nm\n--b--\n"))
	f.Fuzz(func(t *testing.T, which uint8, boundary string, raw []byte) {
		w := wires()[int(which)%len(wires())]
		contentType := "application/json"
		if boundary != "" {
			contentType = "multipart/form-data; boundary=" + boundary
		}
		before := bytes.Clone(raw)
		b, err := w.readBody([]byte(contentType), raw)
		if !bytes.Equal(raw, before) {
			t.Fatal("reading changed the body")
		}
		if err != nil {
			refusedWell(t, err)
			return
		}
		if b.model == "" || b.choices < 1 || b.maxOutput < 0 || b.files < 0 || b.fileBytes < 0 || b.fileBytes > int64(len(raw)) {
			t.Fatalf("%+v", b)
		}
		if bound, count := w.bound(b), w.count(b); count > bound || count < 0 {
			t.Fatalf("%d tokens, and at most %d", count, bound)
		}
		if b.boundary != "" {
			formsAgree(t, b)
			return
		}
		objectsAgree(t, b, raw)
		sentAgrees(t, b, raw, 0)
		sentAgrees(t, b, raw, 17)
		if !bytes.Equal(raw, before) {
			t.Fatal("editing changed the caller's bytes")
		}
	})
}

// refusedWell tells whether an error is the caller's own, and can be said.
func refusedWell(t *testing.T, err error) {
	var p *problem
	if !errors.As(err, &p) || p.status != 400 || p.message == "" {
		t.Fatalf("refused with %v", err)
	}
	if !json.Valid(p.body()) || len(p.body()) > 4096 {
		t.Fatalf("an answer of %d bytes: %.200q", len(p.body()), p.body())
	}
}

// objectsAgree compares with encoding/json.
func objectsAgree(t *testing.T, b *body, raw []byte) {
	var k known
	if err := json.Unmarshal(raw, &k); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) { // of a member that this endpoint does not read, or 1e2 for 100
			return
		}
		t.Fatalf("accepted, but encoding/json says: %v", err)
	}
	if want := or(k.Model, b.wire.model); b.model != want {
		t.Fatalf("model %q, not %q", b.model, want)
	}
	has := func(name string) bool { return b.wire.fields[name] != 0 }
	if has("stream") && b.stream != or(k.Stream, false) || has("background") && b.background != or(k.Background, false) {
		t.Fatalf("stream %v, background %v: %s", b.stream, b.background, raw)
	}
	if has("stream_options") && k.StreamOptions != nil && b.includeUsage != or(k.StreamOptions.IncludeUsage, false) {
		t.Fatalf("include_usage %v: %s", b.includeUsage, raw)
	}
	if has("previous_response_id") && b.previous != or(k.PreviousResponseID, "") || has("conversation") && k.Conversation != nil && string(k.Conversation) != "null" {
		t.Fatalf("previous %q, conversation %s", b.previous, k.Conversation)
	}
	var most int64
	for name, p := range map[string]*int64{"max_tokens": k.MaxTokens, "max_completion_tokens": k.MaxCompletionTokens, "max_output_tokens": k.MaxOutputTokens} {
		if has(name) {
			most = max(most, or(p, 0))
		}
	}
	if b.maxOutput != most || has("n") && b.choices < or(k.N, 1) {
		t.Fatalf("output %d of %d, choices %d of %d", b.maxOutput, most, b.choices, or(k.N, 1))
	}
}

// sentAgrees compares what is sent with what came, member by member.
func sentAgrees(t *testing.T, b *body, raw []byte, limit int64) {
	var old, now map[string]json.RawMessage
	if json.Unmarshal(raw, &old) != nil {
		t.Fatalf("accepted, but no object: %q", raw)
	}
	for _, name := range []string{b.model, upstreamName} {
		m := b.message(limit)(name)
		if err := json.Unmarshal(m.Body, &now); err != nil {
			t.Fatalf("sent %q: %v", m.Body, err)
		}
		again, err := b.wire.readJSON(m.Body)
		if err != nil || again.model != name || again.stream != b.stream || again.choices != b.choices || again.mute != b.mute && limit == 0 {
			t.Fatalf("sent %q: %v", m.Body, err)
		}
		if b.wire.usageOption && b.stream != again.includeUsage && !b.includeUsage {
			t.Fatalf("the usage is not asked for: %q", m.Body)
		}
		if limit > 0 && b.wire.cut != "" && string(now[b.wire.cut]) != "17" {
			t.Fatalf("no limit in %q", m.Body)
		}
		for key, value := range old {
			if key != "model" && key != "stream_options" && (key != b.wire.cut || limit == 0) && !bytes.Equal(now[key], value) {
				t.Fatalf("%q is %q, and was %q", key, now[key], value)
			}
		}
		clear(now)
	}
}

// formsAgree compares with mime/multipart as a server reads it, and with the form under another model.
func formsAgree(t *testing.T, b *body) {
	values, files := formOf(t, b.contentType(), b.raw)
	if got := values["model"]; b.unnamed && got != "" || !b.unnamed && got != b.model {
		t.Fatalf("model %q, not %q", b.model, got)
	}
	m := b.multipartMessage("other-model")
	renamed, same := formOf(t, m.ContentType, m.Body)
	if renamed["model"] != "other-model" || files != same {
		t.Fatalf("sent %q", m.Body)
	}
	delete(values, "model")
	delete(renamed, "model")
	for name, value := range values {
		if renamed[name] != value {
			t.Fatalf("%q is %q, and was %q", name, renamed[name], value)
		}
	}
}

// formOf reads texts, joined by name, and all bytes of files.
func formOf(t *testing.T, contentType string, raw []byte) (texts map[string]string, files string) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	form := multipart.NewReader(bytes.NewReader(raw), params["boundary"])
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			return texts, files
		}
		if err != nil {
			t.Fatalf("accepted, but mime/multipart says: %v", err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		if part.FileName() == "" && !strings.HasPrefix(part.Header.Get("Content-Type"), "image/") || part.FormName() == "model" {
			texts[part.FormName()] += string(content)
		} else {
			files += string(content) + "\x00"
		}
	}
}
