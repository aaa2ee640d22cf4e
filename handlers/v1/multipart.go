package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"

	"github.com/fila-ia/filaia/internal/gateway"
)

// maxFormText bounds one field of a form that is no file.
const maxFormText = 256 << 10

// maxFormParts bounds the parts of a form.
const maxFormParts = 1000

// readMultipart reads the fields of a form, and how much was uploaded with it.
func (w *wire) readMultipart(contentType string, raw []byte) (*body, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil, invalid("", "The multipart body of your request has no boundary.")
	}
	b := &body{wire: w, raw: raw, choices: 1, boundary: params["boundary"]}
	form := multipart.NewReader(bytes.NewReader(raw), b.boundary)
	for n := 0; ; n++ {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) && n > 0 {
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

func (b *body) readPart(part *multipart.Part) error {
	name := part.FormName()
	if part.FileName() != "" || strings.HasPrefix(part.Header.Get("Content-Type"), "image/") {
		size, err := io.Copy(io.Discard, part)
		if err != nil {
			return invalid(name, "We could not read the multipart body of your request.")
		}
		b.files++
		b.fileBytes += size
		return nil
	}
	f := b.wire.fields[name]
	if f == 0 {
		return b.wire.lookalike(name)
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

// renamed gives the form with another model. Everything else stays as it is.
func (b *body) renamed(model string) ([]byte, error) {
	var out bytes.Buffer
	to := multipart.NewWriter(&out)
	if err := to.SetBoundary(b.boundary); err != nil {
		return nil, err
	}
	form := multipart.NewReader(bytes.NewReader(b.raw), b.boundary)
	for {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		w, err := to.CreatePart(part.Header)
		if err != nil {
			return nil, err
		}
		var from io.Reader = part
		if part.FormName() == "model" && part.FileName() == "" {
			from = strings.NewReader(model)
		}
		if _, err := io.Copy(w, from); err != nil {
			return nil, err
		}
	}
	if b.seen&fieldModel == 0 {
		if err := to.WriteField("model", model); err != nil {
			return nil, err
		}
	}
	err := to.Close()
	return out.Bytes(), err
}

// multipartMessage makes the form to send to a provider that knows the model by this name.
func (b *body) multipartMessage(model string) *gateway.Message {
	raw := b.raw
	if model != b.model || b.seen&fieldModel == 0 {
		if other, err := b.renamed(model); err == nil { // it was read before: it can be read
			raw = other
		}
	}
	return &gateway.Message{
		Path: b.wire.path, Model: model, Body: raw, ContentType: mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": b.boundary}),
	}
}
