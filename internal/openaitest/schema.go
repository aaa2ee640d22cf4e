package openaitest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep a schema is followed before optional and repeated parts are left out. One that refers to itself
// without end is cut off at twice that, or when the document has maxDocument bytes.
const (
	maxDepth    = 6
	maxDocument = 64 << 10
)

// fromSchema returns a JSON document that fits the schema roughly: types, required and optional properties, enum, const,
// $ref, anyOf, ranges, lengths and the usual formats; patterns and conditions are not looked at.
func fromSchema(schema gjson.Result, random *rand.Rand) string {
	if !schema.IsObject() {
		return "{}"
	}
	f := &filler{root: schema, random: random}
	f.value(schema, "", 0)
	return string(f.out)
}

type filler struct {
	root   gjson.Result
	random *rand.Rand
	out    []byte
}

// value writes a value that fits schema; name is the property it is for.
func (f *filler) value(schema gjson.Result, name string, depth int) {
	schema = f.resolve(schema)
	if depth > 2*maxDepth || len(f.out) > maxDocument {
		f.raw("null")
		return
	}
	if c := schema.Get("const"); c.Exists() {
		f.raw(c.Raw)
		return
	}
	if options := schema.Get("enum").Array(); len(options) > 0 {
		f.raw(options[f.random.IntN(len(options))].Raw)
		return
	}
	for _, key := range [...]string{"anyOf", "oneOf", "allOf"} {
		if options := schema.Get(key).Array(); len(options) > 0 {
			f.value(f.pick(options), name, depth+1)
			return
		}
	}
	switch typeOf(schema) {
	case "object":
		f.object(schema, depth)
	case "array":
		f.array(schema, name, depth)
	case "integer":
		f.raw(strconv.FormatInt(int64(math.Round(f.number(schema, 1, 100))), 10))
	case "number":
		f.raw(strconv.FormatFloat(math.Round(f.number(schema, 1, 1_000)*100)/100, 'f', -1, 64))
	case "boolean":
		f.raw(strconv.FormatBool(f.random.IntN(2) == 0))
	case "null":
		f.raw("null")
	default:
		f.out = gjson.AppendJSONString(f.out, f.text(schema, name))
	}
}

// pick takes the first alternative that is not null.
func (f *filler) pick(options []gjson.Result) gjson.Result {
	for _, o := range options {
		if typeOf(f.resolve(o)) != "null" {
			return o
		}
	}
	return options[0]
}

// resolve follows a reference within the document, such as #/$defs/item.
func (f *filler) resolve(schema gjson.Result) gjson.Result {
	for range maxDepth {
		ref := schema.Get("$ref").String()
		if !strings.HasPrefix(ref, "#") {
			return schema
		}
		target := f.root
		for _, step := range strings.Split(strings.TrimPrefix(ref, "#"), "/")[1:] {
			target = member(target, step)
		}
		if ref == "#" {
			target = f.root
		}
		schema = target
	}
	return schema
}

// member returns an object's property by its exact name; a path would read dots and stars in it.
func member(object gjson.Result, name string) (found gjson.Result) {
	object.ForEach(func(key, value gjson.Result) bool {
		if key.Str == name {
			found = value
		}
		return !found.Exists()
	})
	return found
}

// typeOf returns the first type that is not null, guessed where none is named.
func typeOf(schema gjson.Result) string {
	kind := schema.Get("type")
	if kind.IsArray() {
		for _, k := range kind.Array() {
			if k.String() != "null" {
				return k.String()
			}
		}
	}
	switch {
	case kind.Exists():
		return kind.String()
	case schema.Get("properties").Exists():
		return "object"
	case schema.Get("items").Exists():
		return "array"
	}
	return "string"
}

func (f *filler) object(schema gjson.Result, depth int) {
	required := map[string]bool{}
	for _, name := range schema.Get("required").Array() {
		required[name.String()] = true
	}
	separator := "{"
	schema.Get("properties").ForEach(func(key, property gjson.Result) bool {
		if !required[key.Str] && depth >= maxDepth {
			return true
		}
		f.raw(separator)
		separator = ","
		f.out = gjson.AppendJSONString(f.out, key.Str)
		f.raw(":")
		f.value(property, key.Str, depth+1)
		return true
	})
	if separator == "{" {
		f.raw("{")
	}
	f.raw("}")
}

func (f *filler) array(schema gjson.Result, name string, depth int) {
	low := int(schema.Get("minItems").Int())
	count := max(low, 1+f.random.IntN(3))
	if high := schema.Get("maxItems"); high.Exists() {
		count = min(count, int(high.Int()))
	}
	if depth >= maxDepth {
		count = low
	}
	f.raw("[")
	for i := range min(count, 100) {
		if i > 0 {
			f.raw(",")
		}
		f.value(schema.Get("items"), name, depth+1)
	}
	f.raw("]")
}

// number draws one within minimum and maximum, or else between low and high.
func (f *filler) number(schema gjson.Result, low, high float64) float64 {
	first, last := schema.Get("minimum"), schema.Get("maximum")
	switch {
	case first.Exists() && last.Exists():
		low, high = first.Num, last.Num
	case first.Exists():
		low, high = first.Num, first.Num+high
	case last.Exists():
		low, high = last.Num-high, last.Num
	}
	if n := low + f.random.Float64()*(high-low); n >= low && n <= high {
		return n
	}
	return low
}

// text draws a string: by its format, by what the property's name suggests, or a few words.
func (f *filler) text(schema gjson.Result, name string) string {
	n := f.random.IntN(28)
	switch schema.Get("format").String() {
	case "date":
		return fmt.Sprintf("2026-03-%02d", n+1)
	case "date-time":
		return fmt.Sprintf("2026-03-%02dT%02d:30:00-03:00", n+1, n%24)
	case "time":
		return fmt.Sprintf("%02d:30:00", n%24)
	case "email":
		return "contato@exemplo.com.br"
	case "uuid":
		return fmt.Sprintf("6f1d2a34-0000-4000-8000-%012d", n)
	case "uri", "url":
		return "https://exemplo.com.br/"
	}
	words := wordsFor(name)
	text := words[f.random.IntN(len(words))]
	if high := schema.Get("maxLength"); high.Exists() {
		if characters := []rune(text); len(characters) > int(high.Int()) {
			text = string(characters[:max(0, high.Int())])
		}
	}
	for low := int(schema.Get("minLength").Int()); len([]rune(text)) < min(low, 1_000); {
		text += " " + words[f.random.IntN(len(words))]
	}
	return text
}

func (f *filler) raw(s string) { f.out = append(f.out, s...) }
