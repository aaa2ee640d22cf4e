package v1_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// rename makes the provider know every model under another name.
func (s *site) rename(public, upstream string) {
	s.t.Helper()
	s.exec(`UPDATE model_routes SET upstream_model = $2 WHERE model = $1`, public, upstream)
	s.reload()
}

// last gives the last request that reached the provider.
func (s *site) last() openaitest.Recorded {
	s.t.Helper()
	all := s.provider.Requests()
	if len(all) == 0 {
		s.t.Fatal("no request reached the provider")
	}
	return all[len(all)-1]
}

// unlimited is of a customer whose calls get no limit told.
func unlimited() tenancy.Terms {
	return tenancy.Terms{InputTokens: 1e6, OutputTokens: 1e6, Overage: tenancy.Charge, OveragePrice: 1}
}

const odd = `azul "8" \ ç/gpt:1`

func TestOnlyTheModelChangesWhenTheProviderKnowsItByAnotherName(t *testing.T) {
	s := newSite(t, unlimited(), openaitest.Options{Models: []string{"azul"}})
	for _, e := range endpoints() {
		s.rename(e.model, "azul")
		contentType, body := e.request(false, e.model, "\"x\":\"\\u00e9\" ,\n ")
		s.send(http.MethodPost, e.path, s.key, contentType, body)
		got, want := s.last(), strings.Replace(body, e.model, "azul", 1)
		if string(got.Body) != want || got.Header.Get("Content-Type") != contentType {
			t.Errorf("%s: the provider received %s\n%q\nnot\n%q", e.name, got.Header.Get("Content-Type"), got.Body, want)
		}
		if !strings.HasPrefix(contentType, "multipart/") {
			s.rename(e.model, odd)
			s.send(http.MethodPost, e.path, s.key, contentType, body)
			if got := gjson.GetBytes(s.last().Body, "model").Str; got != odd {
				t.Errorf("%s: the provider was asked for %q", e.name, got)
			}
		}
	}
}

func TestAFormsModelIsFoundAmongOtherTexts(t *testing.T) {
	s := newSite(t, unlimited(), openaitest.Options{Models: []string{"azul"}})
	s.rename("whisper-1", "azul")
	audio := "\r\n\r\nwhisper-1\r\n-" + strings.Repeat("\r\n--", 100) + "\x00"
	for name, f := range map[string]*form{
		"first":             newForm().field("model", "whisper-1").file("file", "a.mp3", audio),
		"last":              newForm().file("file", "a.mp3", audio).field("model", "whisper-1"),
		"after a lookalike": newForm().field("prompt", "x\r\n\r\nwhisper-1").field("model", "whisper-1").file("file", "a.mp3", audio),
		"after its equal":   newForm().field("prompt", "whisper-1").field("language", "whisper-1").field("model", "whisper-1").file("file", "a.mp3", audio),
		"with a type": newForm().part("Content-Type: text/plain\r\nContent-Disposition: form-data; name=model\r\n\r\nwhisper-1").
			file("file", "a.mp3", audio),
	} {
		a := s.send(http.MethodPost, "/audio/transcriptions", s.key, f.contentType(), f.String())
		if a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		got := string(s.last().Body)
		before, after, ok := strings.Cut(got, "azul")
		if !ok || strings.Contains(after, "azul") || before+"whisper-1"+after != f.String() || !strings.Contains(before[strings.LastIndex(before, "--"+boundary):], "model") {
			t.Errorf("%s: the provider received %q", name, got)
		}
	}
}

func TestAFormWithoutAModelGetsTheUsualOne(t *testing.T) {
	s := newSite(t, unlimited(), openaitest.Options{})
	f := newForm().field("prompt", "um pão").file("image", "a.png", "\x89PNG")
	if a := s.send(http.MethodPost, "/images/edits", s.key, f.contentType(), "preamble\r\n"+f.String()+"epilogue"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	const part = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-image-1\r\n"
	if got, want := string(s.last().Body), "preamble\r\n"+part+f.String()+"epilogue"; got != want {
		t.Errorf("the provider received %q\nnot %q", got, want)
	}
	if r := s.records(1)[0]; r.Model != "gpt-image-1" || r.Out == 0 {
		t.Errorf("%+v", r)
	}
	for body, want := range map[string]string{
		`{"prompt":"um pão"}`:               `{"model":"gpt-image-1","prompt":"um pão"}`,
		`{ "model" : null,"prompt":"x"}`:    `{ "model" : "gpt-image-1","prompt":"x"}`,
		` {"prompt":"x", "model": null }  `: ` {"prompt":"x", "model": "gpt-image-1" }  `,
	} {
		if a := s.do(http.MethodPost, "/images/generations", s.key, body); a.status != 200 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
		if got := string(s.last().Body); got != want {
			t.Errorf("the provider received %q, not %q", got, want)
		}
	}
	seen(t, s.do(http.MethodPost, "/chat/completions", s.key, `{"model":null,"messages":[{}]}`), 400, "invalid_request_error", "", "model")
}

// TestFormsThatParsersReadDifferentlyAreRefused: what the provider would take for the model must be what we do.
func TestFormsThatParsersReadDifferentlyAreRefused(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	good := func() *form { return newForm().field("model", "whisper-1").file("file", "a.mp3", "\xff\xfb") }
	const disposition = `Content-Disposition: form-data; `
	cases := map[string]struct{ body, contentType, param string }{
		"two models":                  {good().field("model", "gpt-4o-transcribe").String(), "", "model"},
		"a model in capitals":         {good().field("Model", "gpt-4o-transcribe").String(), "", "model"},
		"a model in another alphabet": {good().field("ſtream", "true").String(), "", "stream"},
		"a model as an image":         {good().part("Content-Type: image/png\r\n" + disposition + "name=\"model\"\r\n\r\ngpt-4o-transcribe").String(), "", "model"},
		"a model as a file":           {good().part(disposition + "name=\"model\"; filename=\"\"\r\n\r\ngpt-4o-transcribe").String(), "", "model"},
		"a name given twice":          {good().part(disposition + "name=\"x\"; name=\"model\"\r\n\r\ngpt-4o-transcribe").String(), "", ""},
		"a name given twice alike":    {good().part(disposition + "name=\"x\"; Name=\"x\"\r\n\r\nx").String(), "", ""},
		"a name in an encoding":       {newForm().part(disposition + "name*=utf-8''model\r\n\r\nwhisper-1").String(), "", ""},
		"a name and one encoded":      {good().part(disposition + "name=\"x\"; name*=utf-8''model\r\n\r\ngpt-4o-transcribe").String(), "", ""},
		"a name in pieces":            {good().part(disposition + "name=\"x\"; name*0=mod; name*1=el\r\n\r\ngpt-4o-transcribe").String(), "", ""},
		"two dispositions":            {good().part(disposition + "name=\"x\"\r\n" + disposition + "name=\"model\"\r\n\r\ngpt-4o-transcribe").String(), "", ""},
		"no disposition":              {good().part("Content-Type: text/plain\r\n\r\ngpt-4o-transcribe").String(), "", ""},
		"no name":                     {good().part(disposition + "\r\n\r\nx").String(), "", ""},
		"an attachment":               {good().part("Content-Disposition: attachment; name=\"model\"\r\n\r\nx").String(), "", ""},
		"a boundary within a file":    {good().file("file2", "b", "x--"+boundary+"y").String(), "", ""},
		"a part after the end":        {good().String() + good().String(), "", ""},
		"no end":                      {strings.TrimSuffix(good().String(), "--\r\n"), "", ""},
		"an end in the middle":        {good().String()[:150], "", ""},
		"nothing":                     {"", "", ""},
		"no part":                     {newForm().String(), "", ""},
		"no boundary":                 {good().String(), "multipart/form-data", ""},
		"an empty boundary":           {good().String(), `multipart/form-data; boundary=""`, ""},
		"two boundaries":              {good().String(), "multipart/form-data; boundary=a; boundary=" + boundary, ""},
		"another boundary":            {good().String(), "multipart/form-data; boundary=a", ""},
		"an endless boundary":         {good().String(), "multipart/form-data; boundary=" + strings.Repeat("a", 71), ""},
		"no model":                    {newForm().file("file", "a.mp3", "\xff").String(), "", "model"},
		"an empty model":              {newForm().field("model", "").String(), "", "model"},
		"a huge field":                {good().field("prompt", strings.Repeat("x", 256<<10+1)).String(), "", "prompt"},
		"a huge name":                 {good().field(strings.Repeat("n", 200_000), "x").String(), "", ""},
		"a stream that is no boolean": {good().field("stream", "yes").String(), "", "stream"},
	}
	many := good()
	for range 1001 {
		many.parts = append(many.parts, disposition+"name=\"x\"\r\n\r\n")
	}
	cases["too many parts"] = struct{ body, contentType, param string }{many.String(), "", ""}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.contentType == "" {
				c.contentType = good().contentType()
			}
			a := s.send(http.MethodPost, "/audio/transcriptions", s.key, c.contentType, c.body)
			if name == "a huge name" { // long, and no field of ours: it may pass
				if a.status >= 500 {
					t.Errorf("%d %s", a.status, a.body)
				}
				return
			}
			seen(t, a, 400, "invalid_request_error", "", c.param)
		})
	}
	for _, r := range s.provider.Requests() {
		if !strings.Contains(string(r.Body), strings.Repeat("n", 200_000)) {
			t.Errorf("a refused form reached the provider: %q", r.Body[:min(len(r.Body), 900)])
		}
	}
	n := newForm().field("model", "gpt-image-1").field("prompt", "x").field("n", "129").file("image", "a.png", "x")
	seen(t, s.send(http.MethodPost, "/images/edits", s.key, n.contentType(), n.String()), 400, "invalid_request_error", "", "n")
	s.unheld()
}

func TestFormsGoOnlyWhereFilesGo(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for _, e := range endpoints() {
		if e.form != nil {
			continue
		}
		f := newForm().field("model", e.model).field("messages", "x").field("input", "x").field("prompt", "x").field("stream", "true")
		a := s.send(http.MethodPost, e.path, s.key, f.contentType(), f.String())
		seen(t, a, 400, "invalid_request_error", "", "")
		if !strings.Contains(a.body, "application/json") {
			t.Errorf("it does not say what is accepted: %s", a.body)
		}
	}
	if n := s.provider.Stats().Requests; n != 0 {
		t.Errorf("%d forms reached the provider", n)
	}
}

// TestFilesGoOnlyInForms: an image that JSON names is not seen, and could not be held.
func TestFilesGoOnlyInForms(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for _, e := range endpoints() {
		if e.form == nil {
			continue
		}
		for _, kind := range []string{"", "application/json", "text/plain", "application/json; boundary=" + boundary} {
			a := s.send(http.MethodPost, e.path, s.key, kind, `{"model":"`+e.model+`","prompt":"um gato","images":[{"image_url":"https://e.x/a.png"}]}`)
			if seen(t, a, 400, "invalid_request_error", "", ""); !strings.Contains(a.body, "multipart/form-data") {
				t.Errorf("it does not say what is accepted: %s", a.body)
			}
		}
	}
	if n := s.reached(); n != 0 {
		t.Errorf("%d calls reached the provider", n)
	}
	s.unheld()
}

// TestAFilesNameMayBeEncoded as several clients do with letters beyond ASCII.
func TestAFilesNameMayBeEncoded(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	f := newForm().field("model", "whisper-1").
		part("Content-Disposition: form-data; name=\"file\"; filename=\"a; b.mp3\"; filename*=utf-8''a%3B%20%C3%A7.mp3\r\n\r\n\xff\xfb")
	if a := s.send(http.MethodPost, "/audio/transcriptions", s.key, f.contentType(), f.String()); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestWhatAFormUploadsIsHeld(t *testing.T) {
	terms := roomy()
	terms.InputTokens = 500
	s := newSite(t, terms, openaitest.Options{})
	transcribe := func(part string) answer {
		f := newForm().field("model", "gpt-4o-transcribe").part(part)
		return s.send(http.MethodPost, "/audio/transcriptions", s.key, f.contentType(), f.String())
	}
	sound := strings.Repeat("\xff\x00", 40_000)
	for _, part := range []string{
		"Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n" + sound,
		"Content-Disposition: form-data; name=\"file\"\r\n\r\n" + sound, // no name: still bytes that may be heard
	} {
		seen(t, transcribe(part), 429, "insufficient_quota", "insufficient_quota", "")
	}
	if n := s.provider.Stats().Requests; n != 0 {
		t.Errorf("%d calls reached the provider", n)
	}
	images := newForm().field("model", "gpt-image-1").field("prompt", "x").file("image[]", "a.png", "x").file("image[]", "b.png", "x")
	a := s.send(http.MethodPost, "/images/edits", s.key, images.contentType(), images.String())
	if seen(t, a, 429, "insufficient_quota", "insufficient_quota", ""); !strings.Contains(a.body, "up to 13643 input") {
		t.Errorf("%s", a.body)
	}
	s.unheld()
}
