package v1

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"

	"github.com/fila-ia/filaia/internal/gateway"
)

// maxFormText bounds one field of a form that is no file.
const maxFormText = 256 << 10

// maxFormParts bounds the parts of a form.
const maxFormParts = 1000

// readMultipart reads the fields of a form, and how much was uploaded with it. Forms that another parser could take apart
// differently are refused: what we hold must be what the provider does.
func (w *wire) readMultipart(contentType string, raw []byte) (*body, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || multipart.NewWriter(io.Discard).SetBoundary(params["boundary"]) != nil {
		return nil, invalid("", "The multipart body of your request has no boundary, or an invalid one.")
	}
	b := &body{wire: w, raw: raw, choices: 1, boundary: params["boundary"]}
	form := multipart.NewReader(bytes.NewReader(raw), b.boundary)
	for n := 0; ; n++ {
		part, err := form.NextRawPart()
		if err == io.EOF && n > 0 && b.ends(n) {
			return b, nil
		}
		if err != nil || n == maxFormParts {
			return nil, invalid("", "We could not read the multipart body of your request.")
		}
		if err := b.readPart(part); err != nil {
			return nil, err
		}
	}
}

// ends tells whether a form of so many parts has its proper end. The reader says so as well where there is none.
func (b *body) ends(parts int) bool {
	delimiter := []byte("--" + b.boundary)
	return bytes.Count(b.raw, delimiter) == parts+1 && bytes.Count(b.raw, append(delimiter, "--"...)) == 1
}

func (b *body) readPart(part *multipart.Part) error {
	dispositions := part.Header["Content-Disposition"]
	if len(dispositions) != 1 {
		return invalid("", "Each part of a multipart body needs one Content-Disposition header.")
	}
	kind, params, err := mime.ParseMediaType(dispositions[0])
	name := params["name"]
	if ambiguous(dispositions[0]) {
		return invalid("", "A part of the multipart body of your request has more than one name, or one in an encoding that is not accepted.")
	}
	if err != nil || kind != "form-data" || name == "" {
		return invalid("", "A part of the multipart body of your request has no name.")
	}
	if err := b.wire.lookalike(name); err != nil && b.wire.fields[name] == 0 {
		return err
	}
	_, file := params["filename"]
	f := b.wire.fields[name]
	if f == 0 {
		return b.readFile(part, file || strings.HasPrefix(part.Header.Get("Content-Type"), "image/"))
	}
	if file {
		return invalid(name, "Invalid type for '%s': expected a text, but got a file instead.", name)
	}
	text, err := io.ReadAll(io.LimitReader(part, maxFormText+1))
	if err != nil || len(text) > maxFormText {
		return invalid(name, "Invalid '%s': it is longer than %d bytes.", name, maxFormText)
	}
	if b.seen&f != 0 {
		return invalid(name, "'%s' is given more than once.", name)
	}
	b.seen |= f
	return b.readText(f, name, string(text))
}

// ambiguous tells whether readers may differ in a part's name: some know RFC 5987's name*, and others do not; some take the
// first of two, and others the last.
func ambiguous(disposition string) bool {
	var keys []string
	for piece := range strings.SplitSeq(disposition, ";") {
		key, _, given := strings.Cut(piece, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if given && (strings.HasPrefix(key, "name*") || slices.Contains(keys, key)) {
			return true
		}
		if given {
			keys = append(keys, key)
		}
	}
	return false
}

// readFile measures what was uploaded, or a field that does not matter.
func (b *body) readFile(part io.Reader, file bool) error {
	size, err := io.Copy(io.Discard, part)
	if err != nil {
		return invalid("", "We could not read the multipart body of your request.")
	}
	if file {
		b.files++
	}
	b.fileBytes += size
	return nil
}

func (b *body) readText(f field, name, text string) (err error) {
	switch f {
	case fieldModel:
		if b.model = text; text == "" {
			return invalid("model", "Invalid type for 'model': expected the name of a model.")
		}
	case fieldInput:
		b.input, err = json.Marshal(text)
	case fieldStream:
		if b.stream, err = strconv.ParseBool(strings.ToLower(text)); err != nil {
			return invalid(name, "Invalid type for '%s': expected a boolean.", name)
		}
	case fieldChoices:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > maxChoices {
			return invalid(name, "Invalid value for '%s': expected an integer from 1 to %d, got %s.", name, maxChoices, abbreviate(strconv.Quote(text)))
		}
		b.choices = n
	}
	return err
}

// maxPlaces bounds how many places are looked at that might be the model's: a usual form has one.
const maxPlaces = 8

// renamed gives the form with another model. Every other byte stays as it is.
func (b *body) renamed(model string) ([]byte, bool) {
	delimiter := []byte("--" + b.boundary)
	start := bytes.Index(b.raw, delimiter)
	for _, end := range []string{"\r\n", "\n"} {
		if b.unnamed {
			part := string(delimiter) + end + `Content-Disposition: form-data; name="model"` + end + end + model + end
			if out := slices.Concat(b.raw[:start], []byte(part), b.raw[start:]); b.becomes(out, model) {
				return out, true
			}
			continue
		}
		// Only one of the places is the model's: at another the form would read otherwise.
		old := []byte("\n" + b.model + end + string(delimiter))
		for from, tries := 0, 0; tries < maxPlaces; tries++ {
			n := bytes.Index(b.raw[from:], old)
			if n < 0 {
				break
			}
			at := from + n + 1
			if out := slices.Concat(b.raw[:at], []byte(model), b.raw[at+len(b.model):]); b.becomes(out, model) {
				return out, true
			}
			from = at
		}
	}
	return nil, false
}

// becomes tells whether a form reads as this one does but for its model.
func (b *body) becomes(form []byte, model string) bool {
	n, err := b.wire.readMultipart(b.contentType(), form)
	return err == nil && n.model == model && n.stream == b.stream && n.choices == b.choices && n.files == b.files &&
		n.fileBytes == b.fileBytes && bytes.Equal(n.input, b.input)
}

func (b *body) contentType() string {
	return mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": b.boundary})
}

// multipartMessage makes the form to send to a provider that knows the model by this name.
func (b *body) multipartMessage(model string) *gateway.Message {
	raw := b.raw
	if b.unnamed || model != b.model {
		var ok bool
		if raw, ok = b.renamed(model); !ok { // by a name that no form can hold; no other model may answer in its place
			raw = []byte("--" + b.boundary + "--\r\n")
		}
	}
	return &gateway.Message{Path: b.wire.path, Model: model, Body: raw, ContentType: b.contentType()}
}
