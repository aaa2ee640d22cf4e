package openaitest

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// field is a plain field of a request whose type and range are checked.
type field struct {
	name, article string  // such as "temperature", "a decimal"
	low, high     float64 // for numbers; both 0: any
	needed        bool
}

// The fields that several endpoints share.
var (
	modelField       = field{name: "model", article: "a string", needed: true}
	userField        = field{name: "user", article: "a string"}
	streamField      = field{name: "stream", article: "a boolean"}
	temperatureField = field{name: "temperature", article: "a decimal", high: 2}
	topPField        = field{name: "top_p", article: "a decimal", high: 1}
)

// parseObject reads a JSON body and checks the fields given; null stands for a field that is not there.
func parseObject(body []byte, fields []field) (gjson.Result, *apiError) {
	if !gjson.ValidBytes(body) {
		return gjson.Result{}, &apiError{status: 400, message: "We could not parse the JSON body of your request. (HINT: This likely means you " +
			"aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. " +
			"If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)"}
	}
	doc := gjson.ParseBytes(body)
	if !doc.IsObject() {
		return doc, &apiError{status: 400, message: "Invalid type: expected an object."}
	}
	for _, f := range fields {
		if fail := f.check(doc.Get(f.name)); fail != nil {
			return doc, fail
		}
	}
	for _, f := range fields {
		if f.needed && doc.Get(f.name).String() == "" {
			return doc, &apiError{status: 400, message: "you must provide a " + f.name + " parameter"}
		}
	}
	return doc, nil
}

func (f field) check(v gjson.Result) *apiError {
	kind := kindOf(v)
	if kind == "an integer" && f.article == "a decimal" {
		kind = f.article
	}
	switch {
	case v.Type == gjson.Null:
		return nil
	case kind != f.article:
		return wrongType(f.name, f.article, kindOf(v))
	case f.low == 0 && f.high == 0:
		return nil
	case v.Num < f.low:
		return outOfRange(f.name, f.article, "below minimum", ">= "+fmt.Sprint(f.low), v.Raw)
	case v.Num > f.high:
		return outOfRange(f.name, f.article, "above maximum", "<= "+fmt.Sprint(f.high), v.Raw)
	}
	return nil
}

// kindOf names a JSON value's type as OpenAI's errors do.
func kindOf(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	case v.Type == gjson.String:
		return "a string"
	case v.Type == gjson.Number && v.Num == float64(v.Int()):
		return "an integer"
	case v.Type == gjson.Number:
		return "a decimal"
	case v.IsBool():
		return "a boolean"
	}
	return "null"
}

// outOfRange says such as "integer below minimum value", code integer_below_min_value.
func outOfRange(param, article, where, limit, got string) *apiError {
	_, noun, _ := strings.Cut(article, " ")
	code := noun + "_" + strings.ReplaceAll(strings.TrimSuffix(where, "imum"), " ", "_") + "_value"
	return &apiError{status: 400, param: param, code: code,
		message: fmt.Sprintf("Invalid '%s': %s %s value. Expected a value %s, but got %s instead.", param, noun, where, limit, got)}
}

// readStops reads the stop sequences.
func (t *task) readStops(doc gjson.Result) *apiError {
	for _, s := range doc.Get("stop").Array() {
		if s.String() != "" {
			t.stops = append(t.stops, s.String())
		}
	}
	if len(t.stops) > 4 {
		return &apiError{status: 400, param: "stop", code: "array_above_max_length",
			message: fmt.Sprintf("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length %d instead.", len(t.stops))}
	}
	return nil
}
