package openaitest

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// What OpenAI takes in one request.
const (
	maxEmbeddingInputs = 2_048
	maxEmbeddingTokens = 8_192 // of one input
)

var embeddingFields = []field{
	modelField, userField,
	{name: "dimensions", article: "an integer", low: 1, high: 3_072},
	{name: "encoding_format", article: "a string"},
}

// embeddingInput is one input: a text, or tokens written as words.
type embeddingInput struct {
	text   string
	tokens int
}

type embeddingRequest struct {
	model, snapshot string
	inputs          []embeddingInput
	dimensions      int
	base64          bool
}

func (s *Server) parseEmbedding(body []byte) (*embeddingRequest, *apiError) {
	doc, fail := parseObject(body, embeddingFields)
	if fail != nil {
		return nil, fail
	}
	r := &embeddingRequest{model: doc.Get("model").String(), dimensions: 1_536}
	if r.snapshot, fail = s.resolve(r.model); fail != nil {
		return nil, fail
	}
	if strings.HasPrefix(r.model, "text-embedding-3-large") {
		r.dimensions = 3_072
	}
	if asked := doc.Get("dimensions"); asked.Type == gjson.Number {
		switch {
		case strings.HasPrefix(r.model, "text-embedding-ada"):
			return nil, &apiError{status: 400, message: "This model does not support specifying dimensions."}
		case int(asked.Int()) > r.dimensions:
			return nil, outOfRange("dimensions", "an integer", "above maximum", fmt.Sprint("<= ", r.dimensions), asked.Raw)
		}
		r.dimensions = int(asked.Int())
	}
	switch format := cmp.Or(doc.Get("encoding_format").String(), "float"); format {
	case "float", "base64":
		r.base64 = format == "base64"
	default:
		return nil, invalid("encoding_format", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'float' and 'base64'.", format))
	}
	return r, r.readInput(doc.Get("input"))
}

// readInput takes a string, strings, tokens, or arrays of tokens.
func (r *embeddingRequest) readInput(input gjson.Result) *apiError {
	elements := []gjson.Result{input}
	switch {
	case input.Type == gjson.Null:
		return missing("input")
	case input.IsArray() && input.Get("0").Type != gjson.Number:
		elements = input.Array()
	}
	if len(elements) == 0 || len(elements) > maxEmbeddingInputs {
		return invalid("input", fmt.Sprintf("Invalid 'input': expected an array with 1 to %d elements, but got one with %d.", maxEmbeddingInputs, len(elements)))
	}
	for _, e := range elements {
		var one embeddingInput
		switch {
		case e.Type == gjson.String && e.Str != "":
			one = embeddingInput{e.Str, tokenizer.Count(r.model, e.Str)}
		case e.IsArray() && len(e.Array()) > 0 && e.Get("0").Type == gjson.Number:
			one = embeddingInput{strings.Trim(e.Raw, "[]"), len(e.Array())}
		default:
			return invalid("input", "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")
		}
		if one.tokens > maxEmbeddingTokens {
			return &apiError{status: 400, message: fmt.Sprintf("This model's maximum context length is %d tokens, however you requested "+
				"%d tokens (%d in your prompt; 0 for the completion). Please reduce your prompt; or completion length.", maxEmbeddingTokens, one.tokens, one.tokens)}
		}
		r.inputs = append(r.inputs, one)
	}
	return nil
}

type embeddingListDoc struct {
	Object string          `json:"object"`
	Data   []embeddingDoc  `json:"data"`
	Model  string          `json:"model"`
	Usage  *embeddingUsage `json:"usage,omitempty"`
}

type embeddingDoc struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or their base64
}

// embeddingUsage is Usage as embeddings show it.
type embeddingUsage struct {
	PromptTokens int `json:"prompt_tokens"`
	TotalTokens  int `json:"total_tokens"`
}

// embed is POST /v1/embeddings.
func (c *call) embed() {
	r, fail := c.parseEmbedding(c.body)
	if fail != nil {
		c.fail(fail)
		return
	}
	doc := embeddingListDoc{Object: "list", Model: r.snapshot}
	var usage Usage
	for i, input := range r.inputs {
		usage.PromptTokens += input.tokens
		vector := embedding(input.text, r.dimensions)
		one := embeddingDoc{Object: "embedding", Index: i, Embedding: vector}
		if r.base64 {
			one.Embedding = base64Floats(vector)
		}
		doc.Data = append(doc.Data, one)
	}
	if c.behaviour.Usage != nil {
		usage = *c.behaviour.Usage
	}
	if c.behaviour.Fault != FaultNoUsage {
		doc.Usage = &embeddingUsage{usage.PromptTokens, usage.PromptTokens + usage.CompletionTokens}
	}
	if c.wait(c.opts.Latency) {
		c.answerWhole(indented(doc), usage)
	}
}

// base64Floats encodes a vector as 32-bit floats, the lowest byte first.
func base64Floats(vector []float32) string {
	raw := make([]byte, 0, 4*len(vector))
	for _, f := range vector {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
