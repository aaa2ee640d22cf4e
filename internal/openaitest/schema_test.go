package openaitest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/sashabaranov/go-openai/jsonschema"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

var weatherSchema = jsonschema.Definition{
	Type: jsonschema.Object, Required: []string{"cidade", "dias"},
	Properties: map[string]jsonschema.Definition{
		"cidade":  {Type: jsonschema.String},
		"dias":    {Type: jsonschema.Integer},
		"unidade": {Type: jsonschema.String, Enum: []string{"celsius", "fahrenheit"}},
	},
}

var weather = openai.Tool{Type: "function", Function: &openai.FunctionDefinition{
	Name:       "previsao_do_tempo",
	Parameters: &weatherSchema,
}}

func TestToolsAreCalledWhenTheyMustBe(t *testing.T) {
	s := start(t, Options{})
	for name, c := range map[string]struct {
		choice any
		finish openai.FinishReason
	}{
		"required": {"required", "tool_calls"},
		"named":    {openai.ToolChoice{Type: "function", Function: openai.ToolFunction{Name: "previsao_do_tempo"}}, "stop"},
	} {
		request := ask("Vai chover?")
		request.Tools, request.ToolChoice = []openai.Tool{weather}, c.choice
		answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		call := answer.Choices[0].Message.ToolCalls[0]
		arguments := gjson.Parse(call.Function.Arguments)
		if !strings.HasPrefix(call.ID, "call_") || call.Function.Name != "previsao_do_tempo" || answer.Choices[0].FinishReason != c.finish ||
			arguments.Get("cidade").String() == "" || arguments.Get("dias").Type != gjson.Number || arguments.Get("unidade").String() == "" {
			t.Errorf("%s: %+v", name, answer.Choices)
		}
		if want := tokenizer.Count(request.Model, call.Function.Name) + tokenizer.Count(request.Model, call.Function.Arguments); answer.Usage.CompletionTokens != want {
			t.Errorf("%s: %d tokens, want %d", name, answer.Usage.CompletionTokens, want)
		}
		streamed := ""
		for i, chunk := range collect(t, s, request).chunks {
			for _, choice := range chunk.Choices {
				for _, part := range choice.Delta.ToolCalls {
					if *part.Index != 0 || (i == 0) != (part.Function.Name == "previsao_do_tempo") {
						t.Errorf("%s: chunk %d: %+v", name, i, part)
					}
					streamed += part.Function.Arguments
				}
			}
		}
		if streamed != call.Function.Arguments {
			t.Errorf("%s: streamed %q, want %q", name, streamed, call.Function.Arguments)
		}
	}
	request := ask("Vai chover?")
	request.Tools = []openai.Tool{weather}
	if answer, err := client(t, s).CreateChatCompletion(context.Background(), request); err != nil || answer.Choices[0].Message.Content == "" {
		t.Errorf("auto: %+v, %v", answer, err)
	}
}

func TestResponseFormatsGiveJSON(t *testing.T) {
	s := start(t, Options{})
	request := ask("Responda em JSON: como vão as vendas?")
	request.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: "json_object"}
	answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil || !gjson.Parse(answer.Choices[0].Message.Content).IsObject() {
		t.Errorf("%+v, %v", answer, err)
	}
	request.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: "json_schema", JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{
		Name: "venda", Strict: true, Schema: &weatherSchema}}
	if answer, err = client(t, s).CreateChatCompletion(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if err := jsonschema.VerifySchemaAndUnmarshal(weatherSchema, []byte(answer.Choices[0].Message.Content), &map[string]any{}); err != nil {
		t.Errorf("%s: %v", answer.Choices[0].Message.Content, err)
	}
}

func fill(schema string, seed uint64) gjson.Result {
	return gjson.Parse(fromSchema(gjson.Parse(schema), rand.New(rand.NewPCG(seed, 0))))
}

func TestSchemasAreFilled(t *testing.T) {
	for name, c := range map[string]struct {
		schema string
		fits   func(gjson.Result) bool
	}{
		"nothing":      {``, gjson.Result.IsObject},
		"empty":        {`{}`, func(v gjson.Result) bool { return v.Type == gjson.String }},
		"no property":  {`{"type":"object"}`, func(v gjson.Result) bool { return v.Raw == "{}" }},
		"order":        {`{"properties":{"b":{"type":"null"},"a":{"type":"null"}}}`, func(v gjson.Result) bool { return v.Raw == `{"b":null,"a":null}` }},
		"const":        {`{"const":{"a":[1]}}`, func(v gjson.Result) bool { return v.Raw == `{"a":[1]}` }},
		"enum":         {`{"enum":["x",2]}`, func(v gjson.Result) bool { return v.Raw == `"x"` || v.Raw == "2" }},
		"range":        {`{"type":"integer","minimum":5,"maximum":7}`, func(v gjson.Result) bool { return v.Int() >= 5 && v.Int() <= 7 && !strings.Contains(v.Raw, ".") }},
		"minimum":      {`{"type":"number","minimum":5000}`, func(v gjson.Result) bool { return v.Num >= 5000 }},
		"maximum":      {`{"type":"number","maximum":-5}`, func(v gjson.Result) bool { return v.Num <= -5 }},
		"boolean":      {`{"type":"boolean"}`, gjson.Result.IsBool},
		"nullable":     {`{"type":["null","string"]}`, func(v gjson.Result) bool { return v.Type == gjson.String }},
		"any of":       {`{"anyOf":[{"type":"null"},{"type":"integer"}]}`, func(v gjson.Result) bool { return v.Type == gjson.Number }},
		"items":        {`{"items":{"type":"boolean"},"minItems":4,"maxItems":4}`, func(v gjson.Result) bool { return len(v.Array()) == 4 && v.Array()[3].IsBool() }},
		"date":         {`{"type":"string","format":"date"}`, func(v gjson.Result) bool { return len(v.Str) == len("2026-01-01") }},
		"lengths":      {`{"type":"string","minLength":30,"maxLength":40}`, func(v gjson.Result) bool { return len([]rune(v.Str)) >= 30 }},
		"short":        {`{"type":"string","maxLength":3}`, func(v gjson.Result) bool { return len([]rune(v.Str)) == 3 }},
		"reference":    {`{"properties":{"x":{"$ref":"#/$defs/a.b"}},"$defs":{"a.b":{"const":7}}}`, func(v gjson.Result) bool { return v.Get("x").Int() == 7 }},
		"lost":         {`{"properties":{"x":{"$ref":"#/$defs/none"}}}`, func(v gjson.Result) bool { return v.Get("x").Exists() }},
		"of itself":    {`{"properties":{"next":{"$ref":"#"}},"required":["next"]}`, func(v gjson.Result) bool { return v.Get("next.next").Exists() }},
		"a tree":       {`{"properties":{"n":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#"}}},"required":["n","kids"]}`, func(v gjson.Result) bool { return v.Get("kids").IsArray() }},
		"an odd name":  {`{"properties":{"a\"b\n":{"const":1}}}`, func(v gjson.Result) bool { return strings.Contains(v.Raw, `"a\"b\n":1`) }},
		"e-mail":       {`{"properties":{"email":{"type":"string"}}}`, func(v gjson.Result) bool { return strings.Contains(v.Get("email").Str, "@") }},
		"circle":       {`{"$ref":"#"}`, func(gjson.Result) bool { return true }},
		"empty any of": {`{"anyOf":[],"type":"integer"}`, func(v gjson.Result) bool { return v.Type == gjson.Number }},
	} {
		for seed := range uint64(20) {
			if v := fill(c.schema, seed); !gjson.Valid(v.Raw) || !c.fits(v) {
				t.Errorf("%s: %s", name, v.Raw)
				break
			}
		}
	}
}

// anySchema draws schemas, sensible and not.
func anySchema(t *rapid.T, depth int) any {
	if depth == 0 {
		return rapid.OneOf(rapid.Just[any](nil), rapid.Just[any]("#"), rapid.Just[any]("string"), rapid.Just[any](-1e99), rapid.Just[any](3),
			rapid.Map(rapid.String(), func(s string) any { return s })).Draw(t, "leaf")
	}
	keys := []string{"type", "properties", "items", "anyOf", "allOf", "enum", "const", "$ref", "required", "minItems", "maxItems", "minLength", "maxLength", "minimum", "a", "x.y"}
	object := map[string]any{"type": rapid.SampledFrom([]string{"object", "array", "string", "integer", "null", "?"}).Draw(t, "type")}
	for range rapid.IntRange(0, 4).Draw(t, "size") {
		object[rapid.SampledFrom(keys).Draw(t, "key")] = anySchema(t, rapid.IntRange(0, depth-1).Draw(t, "depth"))
	}
	if rapid.Bool().Draw(t, "list") {
		return []any{object, anySchema(t, depth-1)}
	}
	return object
}

func TestAnySchemaGivesValidJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema, err := json.Marshal(map[string]any{"properties": map[string]any{"p": anySchema(t, 4), "q": anySchema(t, 3)}})
		if err != nil {
			t.Fatal(err)
		}
		if v := fill(string(schema), 1); !gjson.Valid(v.Raw) {
			t.Fatalf("%s gives %s", schema, v.Raw)
		}
	})
}

func TestSchemasThatGrowWithoutEndAreCutOff(t *testing.T) {
	var properties []string
	for i := range 12 {
		properties = append(properties, fmt.Sprintf(`"p%d":{"$ref":"#"}`, i))
	}
	required := `["p0","p1","p2","p3","p4","p5","p6","p7","p8","p9","p10","p11"]`
	v := fill(`{"properties":{`+strings.Join(properties, ",")+`},"required":`+required+`}`, 1)
	if !gjson.Valid(v.Raw) || len(v.Raw) > 2*maxDocument {
		t.Errorf("%d bytes", len(v.Raw))
	}
}
