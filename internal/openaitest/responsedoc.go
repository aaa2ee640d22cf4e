package openaitest

import (
	"encoding/json"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// responseDoc is a response, its fields in OpenAI's order. What is raw repeats the request.
type responseDoc struct {
	ID                 string             `json:"id"`
	Object             string             `json:"object"`
	CreatedAt          int64              `json:"created_at"`
	Status             string             `json:"status"`
	Background         bool               `json:"background"`
	CompletedAt        *int64             `json:"completed_at"`
	Error              *responseError     `json:"error"`
	IncompleteDetails  *incompleteDetails `json:"incomplete_details"`
	Instructions       json.RawMessage    `json:"instructions"`
	MaxOutputTokens    json.RawMessage    `json:"max_output_tokens"`
	MaxToolCalls       json.RawMessage    `json:"max_tool_calls"`
	Model              string             `json:"model"`
	Output             []any              `json:"output"`
	ParallelToolCalls  json.RawMessage    `json:"parallel_tool_calls"`
	PreviousResponseID json.RawMessage    `json:"previous_response_id"`
	PromptCacheKey     json.RawMessage    `json:"prompt_cache_key"`
	Reasoning          json.RawMessage    `json:"reasoning"`
	SafetyIdentifier   json.RawMessage    `json:"safety_identifier"`
	ServiceTier        string             `json:"service_tier"`
	Store              bool               `json:"store"`
	Temperature        json.RawMessage    `json:"temperature"`
	Text               json.RawMessage    `json:"text"`
	ToolChoice         json.RawMessage    `json:"tool_choice"`
	Tools              json.RawMessage    `json:"tools"`
	TopLogprobs        json.RawMessage    `json:"top_logprobs"`
	TopP               json.RawMessage    `json:"top_p"`
	Truncation         json.RawMessage    `json:"truncation"`
	Usage              *responseUsage     `json:"usage"`
	User               json.RawMessage    `json:"user"`
	Metadata           json.RawMessage    `json:"metadata"`
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incompleteDetails struct {
	Reason string `json:"reason"`
}

// responseUsage is Usage as responses show it.
type responseUsage struct {
	InputTokens  int `json:"input_tokens"`
	InputDetails struct {
		CachedTokens     int `json:"cached_tokens"`
		CacheWriteTokens int `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	OutputTokens  int `json:"output_tokens"`
	OutputDetails struct {
		ReasoningTokens int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	TotalTokens int `json:"total_tokens"`
}

func (u Usage) response() *responseUsage {
	r := &responseUsage{InputTokens: u.PromptTokens, OutputTokens: u.CompletionTokens, TotalTokens: u.PromptTokens + u.CompletionTokens}
	r.InputDetails.CachedTokens = u.CachedTokens
	r.OutputDetails.ReasoningTokens = u.ReasoningTokens
	return r
}

// The items of an output.
type (
	messageItem struct {
		ID      string       `json:"id"`
		Type    string       `json:"type"`
		Status  string       `json:"status"`
		Content []outputPart `json:"content"`
		Role    string       `json:"role"`
	}
	outputPart struct {
		Type        string `json:"type"`
		Annotations []any  `json:"annotations"`
		Logprobs    []any  `json:"logprobs"`
		Text        string `json:"text"`
	}
	functionItem struct {
		ID        string `json:"id"`
		Type      string `json:"type"`
		Status    string `json:"status"`
		Arguments string `json:"arguments"`
		CallID    string `json:"call_id"`
		Name      string `json:"name"`
	}
	reasoningItem struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Summary []any  `json:"summary"`
	}
)

func textPart(text string) outputPart {
	return outputPart{Type: "output_text", Annotations: []any{}, Logprobs: []any{}, Text: text}
}

// document is the response to r with nothing in it yet.
func (r *responseRequest) document(id string, created int64) responseDoc {
	given := func(name, otherwise string) json.RawMessage {
		if v := r.doc.Get(name); v.Type != gjson.Null {
			return json.RawMessage(v.Raw)
		}
		return json.RawMessage(otherwise)
	}
	text := given("text", `{"format":{"type":"text"},"verbosity":"medium"}`)
	if !gjson.GetBytes(text, "format").Exists() {
		text, _ = sjson.SetRawBytes(text, "format", []byte(`{"type":"text"}`))
	}
	return responseDoc{
		ID: id, Object: "response", CreatedAt: created, Background: r.background, Model: r.snapshot, Output: []any{},
		ServiceTier: "default", Store: r.store, Text: text,
		Instructions: given("instructions", "null"), MaxOutputTokens: given("max_output_tokens", "null"),
		MaxToolCalls: given("max_tool_calls", "null"), ParallelToolCalls: given("parallel_tool_calls", "true"),
		PreviousResponseID: given("previous_response_id", "null"), PromptCacheKey: given("prompt_cache_key", "null"),
		Reasoning: given("reasoning", `{"effort":null,"summary":null}`), SafetyIdentifier: given("safety_identifier", "null"),
		Temperature: given("temperature", "1.0"), ToolChoice: given("tool_choice", `"auto"`), Tools: given("tools", "[]"),
		TopLogprobs: given("top_logprobs", "0"), TopP: given("top_p", "1.0"), Truncation: given("truncation", `"disabled"`),
		User: given("user", "null"), Metadata: given("metadata", "{}"),
	}
}

// unfinished is a response before it has an output.
func (d responseDoc) unfinished(status string) responseDoc {
	d.Status, d.Output, d.Usage = status, []any{}, nil
	d.CompletedAt, d.Error, d.IncompleteDetails = nil, nil, nil
	return d
}

// outputItems lays a choice out as items: the reasoning, if any, and the message or call, unless nothing of it was left.
func (c *call) outputItems(choice *chatChoice, reasoned bool, status string) []any {
	items := []any{}
	if reasoned {
		items = append(items, reasoningItem{ID: c.ids.hex("rs_"), Type: "reasoning", Summary: []any{}})
	}
	switch tool := choice.tool; {
	case tool != nil && (tool.arguments != "" || status == "completed"):
		items = append(items, functionItem{
			ID: c.ids.hex("fc_"), Type: "function_call", Status: status, Arguments: tool.arguments, CallID: tool.id, Name: tool.name,
		})
	case tool == nil && (choice.text != "" || status == "completed"):
		items = append(items, messageItem{
			ID: c.ids.hex("msg_"), Type: "message", Status: status, Content: []outputPart{textPart(choice.text)}, Role: "assistant",
		})
	}
	return items
}
