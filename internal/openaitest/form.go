package openaitest

import (
	"cmp"
	"io"
	"mime/multipart"
	"strconv"
	"strings"
)

// form is a multipart request.
type form struct{ *multipart.Form }

// readForm reads a multipart body. Its model is the deployment, where the address names one.
func (c *call) readForm() (form, *apiError) {
	f, err := c.ctx.MultipartForm()
	if err != nil {
		return form{}, &apiError{status: 400, message: "Could not parse multipart form."}
	}
	if c.deployment != "" {
		f.Value["model"] = []string{c.deployment}
	}
	return form{f}, nil
}

// get returns a field, or "".
func (f form) get(name string) string {
	if values := f.Value[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// count returns a field that is a number from 1 to high; one that is not there is 1.
func (f form) count(name string, high int) (int, *apiError) {
	text := cmp.Or(f.get(name), "1")
	n, err := strconv.Atoi(text)
	switch {
	case text == "0" || err == nil && n < 1:
		return 0, outOfRange(name, "an integer", "below minimum", ">= 1", text)
	case err != nil:
		return 0, wrongType(name, "an integer", "a string")
	case n > high:
		return 0, outOfRange(name, "an integer", "above maximum", "<= "+strconv.Itoa(high), text)
	}
	return n, nil
}

// upload is a file of a form.
type upload struct {
	name    string
	content []byte
}

// files returns the files of a field, which may come as name or as name[].
func (f form) files(name string) ([]upload, *apiError) {
	var uploads []upload
	for _, header := range append(append([]*multipart.FileHeader{}, f.File[name]...), f.File[name+"[]"]...) {
		file, err := header.Open()
		if err != nil {
			return nil, &apiError{status: 400, message: "Could not read an uploaded file.", param: name}
		}
		content, err := io.ReadAll(file)
		file.Close()
		if err != nil {
			return nil, &apiError{status: 400, message: "Could not read an uploaded file.", param: name}
		}
		uploads = append(uploads, upload{header.Filename, content})
	}
	if len(uploads) == 0 {
		return nil, missing(name)
	}
	return uploads, nil
}

// extension returns what follows the last dot of a file's name, in lower case.
func (u upload) extension() string {
	return strings.ToLower(u.name[strings.LastIndexByte(u.name, '.')+1:])
}
