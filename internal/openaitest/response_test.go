package openaitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

func askResponse(question string) openai.CreateResponseRequest {
	return openai.CreateResponseRequest{Model: "gpt-4.1-nano", Instructions: "Você é breve.", Input: question}
}

// outputText joins the texts of a response's messages.
func outputText(t testing.TB, r openai.CreateResponseResponse) string {
	t.Helper()
	raw, err := json.Marshal(r.Output)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, part := range gjson.GetBytes(raw, `#(type=="message")#.content.0.text`).Array() {
		text += part.String()
	}
	return text
}

func TestResponsesAnswerAndCountRealTokens(t *testing.T) {
	s := start(t, Options{})
	request := askResponse("Como reduzir o custo da nossa fatura?")
	request.Metadata = map[string]any{"pedido": "7"}
	answer, err := client(t, s).CreateResponse(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	text := outputText(t, answer)
	chat, err := json.Marshal(ask("Como reduzir o custo da nossa fatura?"))
	if err != nil {
		t.Fatal(err)
	}
	if u := answer.Usage; u.InputTokens != tokenizer.CountChat(chat) || u.OutputTokens != tokenizer.Count(request.Model, text) ||
		u.TotalTokens != u.InputTokens+u.OutputTokens || u.InputTokensDetails == nil || u.OutputTokensDetails == nil {
		t.Errorf("%+v", u)
	}
	if !strings.HasPrefix(answer.ID, "resp_") || answer.Object != "response" || answer.Status != "completed" || answer.CompletedAt == nil ||
		answer.Model != "gpt-4.1-nano-2025-04-14" || answer.Metadata["pedido"] != "7" || !answer.Store || answer.Instructions != "Você é breve." {
		t.Errorf("%+v", answer)
	}
	if stats := s.Stats(); stats.PromptTokens != int64(answer.Usage.InputTokens) || stats.CompletionTokens != int64(answer.Usage.OutputTokens) || stats.Answered != 1 {
		t.Errorf("%+v", stats)
	}
	counted, err := client(t, s).CountResponseInputTokens(context.Background(), request)
	if err != nil || counted.InputTokens != answer.Usage.InputTokens {
		t.Errorf("%+v, %v", counted, err)
	}
}

// typesOf returns the types of a stream's events, repeated ones once, and fails where an event is not as it must be.
func typesOf(t testing.TB, body string) (types []string, last gjson.Result) {
	t.Helper()
	for i, e := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(e, "\n")
		last = gjson.Parse(strings.TrimPrefix(data, "data: "))
		kind := last.Get("type").String()
		if !ok || name != "event: "+kind || last.Get("sequence_number").Int() != int64(i) || !last.Get("sequence_number").Exists() {
			t.Fatalf("event %d: %s", i, e)
		}
		if len(types) == 0 || types[len(types)-1] != kind {
			types = append(types, kind)
		}
	}
	return types, last
}

func TestResponseStreamsTellEveryStepInOrder(t *testing.T) {
	s := start(t, Options{})
	const tools = `"tools":[{"type":"function","name":"clima","parameters":{"type":"object","properties":{"cidade":{"type":"string"}},"required":["cidade"]}}]`
	message := []string{"response.output_item.added", "response.content_part.added", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done"}
	reasoning := []string{"response.output_item.added", "response.output_item.done"}
	call := []string{"response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done"}
	for name, c := range map[string]struct {
		fields string
		types  []string
		end    string
	}{
		"text":       {`"model":"gpt-4.1-nano"`, message, "completed"},
		"cut":        {`"model":"gpt-4.1-nano","max_output_tokens":16`, message, "incomplete"},
		"reasoning":  {`"model":"gpt-5-mini"`, slices.Concat(reasoning, message), "completed"},
		"all reason": {`"model":"gpt-5-mini","max_output_tokens":16`, reasoning, "incomplete"},
		"call":       {`"model":"gpt-4.1-nano","tool_choice":"required",` + tools, call, "completed"},
	} {
		r := post(t, s, "/responses", `{"input":"Vai chover?","stream":true,`+c.fields+`}`)
		types, last := typesOf(t, r.body)
		want := slices.Concat([]string{"response.created", "response.in_progress"}, c.types, []string{"response." + c.end})
		if !slices.Equal(types, want) || last.Get("response.status").String() != c.end || !last.Get("response.usage.output_tokens").Exists() {
			t.Errorf("%s: %q\n%s", name, types, last.Raw)
		}
		if c.end == "incomplete" && (last.Get("response.incomplete_details.reason").String() != "max_output_tokens" ||
			last.Get("response.usage.output_tokens").Int() > 16) {
			t.Errorf("%s: %s", name, last.Raw)
		}
		if got := last.Get("response.usage.output_tokens_details.reasoning_tokens").Int(); (got > 0) != (c.types[1] == "response.output_item.done") {
			t.Errorf("%s: %d reasoning tokens", name, got)
		}
	}
	if r := post(t, s, "/responses", `{"input":"a","stream":true,"background":true,"model":"gpt-4o"}`); !strings.Contains(r.body, "event: response.queued\n") {
		t.Errorf("%s", r.body)
	}
}

func TestResponseStreamIsTheWholeAnswerInPieces(t *testing.T) {
	s := start(t, Options{})
	whole, err := client(t, s).CreateResponse(context.Background(), askResponse("Resuma o relatório"))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client(t, s).CreateResponseStream(context.Background(), askResponse("Resuma o relatório"))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	text := ""
	var final *openai.CreateResponseResponse
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == openai.ResponseStreamEventOutputTextDelta {
			text += e.Delta
			if e.Obfuscation == "" {
				t.Errorf("no padding: %s", e.Raw)
			}
		}
		if e.Response != nil {
			final = e.Response
		}
	}
	if text != outputText(t, whole) || final == nil || outputText(t, *final) != text || final.Usage.TotalTokens != whole.Usage.TotalTokens {
		t.Errorf("%q, want %q", text, outputText(t, whole))
	}
	plain := post(t, s, "/responses", `{"model":"gpt-4o","input":"a","stream":true,"stream_options":{"include_obfuscation":false}}`)
	if strings.Contains(plain.body, "obfuscation") || strings.Contains(plain.body, "[DONE]") {
		t.Errorf("%s", plain.body)
	}
}

func TestResponsesCallFunctionsAndFitSchemas(t *testing.T) {
	s := start(t, Options{})
	request := askResponse("Vai chover?")
	request.Tools = []openai.Tool{openai.NewResponseFunctionTool(openai.FunctionDefinition{Name: "previsao", Parameters: weatherSchema})}
	for name, choice := range map[string]any{"required": "required", "named": map[string]string{"type": "function", "name": "previsao"}} {
		request.ToolChoice = choice
		answer, err := client(t, s).CreateResponse(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(answer.Output[0])
		item := gjson.ParseBytes(raw)
		arguments := item.Get("arguments").String()
		if item.Get("type").String() != "function_call" || item.Get("name").String() != "previsao" || !strings.HasPrefix(item.Get("call_id").String(), "call_") ||
			gjson.Get(arguments, "cidade").String() == "" {
			t.Errorf("%s: %s", name, raw)
		}
		if want := tokenizer.Count(request.Model, "previsao") + tokenizer.Count(request.Model, arguments); answer.Usage.OutputTokens != want {
			t.Errorf("%s: %d tokens, want %d", name, answer.Usage.OutputTokens, want)
		}
	}
	request = askResponse("Onde?")
	request.Text = &openai.ResponseTextConfig{Format: &openai.ResponseTextFormat{Type: "json_schema", Name: "lugar", Schema: weatherSchema}}
	answer, err := client(t, s).CreateResponse(context.Background(), request)
	if err != nil || gjson.Get(outputText(t, answer), "cidade").String() == "" {
		t.Errorf("%q, %v", outputText(t, answer), err)
	}
}

func TestResponsesAreFollowedUp(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	api := client(t, s)
	first, err := api.CreateResponse(ctx, askResponse("Qual é o prazo de entrega?"))
	if err != nil {
		t.Fatal(err)
	}
	request := askResponse("E o custo?")
	alone, err := api.CreateResponse(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	request.PreviousResponseID = first.ID
	second, err := api.CreateResponse(ctx, request)
	if err != nil || second.PreviousResponseID != first.ID {
		t.Fatalf("%+v, %v", second, err)
	}
	question := tokenizer.Count(request.Model, "Qual é o prazo de entrega?")
	role := tokenizer.Count(request.Model, "user") + tokenizer.Count(request.Model, "assistant")
	if want := alone.Usage.InputTokens + question + first.Usage.OutputTokens + role + 2*3; second.Usage.InputTokens != want {
		t.Errorf("%d input tokens, want %d", second.Usage.InputTokens, want)
	}
	request.PreviousResponseID = second.ID
	third, err := api.CreateResponse(ctx, request)
	if err != nil || third.Usage.InputTokens <= second.Usage.InputTokens {
		t.Errorf("%+v, %v", third.Usage, err)
	}
	request.PreviousResponseID = "resp_0"
	if _, err := api.CreateResponse(ctx, request); code(err) != "previous_response_not_found" {
		t.Error(err)
	}
}

func TestStoredResponsesAreFetchedListedAndDeleted(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	api := client(t, s)
	request := askResponse("")
	request.Input = []any{
		map[string]any{"role": "user", "content": "um"},
		map[string]any{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
		map[string]any{"type": "function_call_output", "call_id": "call_1", "output": "dois"},
		map[string]any{"role": "user", "content": []any{map[string]any{"type": "input_text", "text": "três"}}},
	}
	answer, err := api.CreateResponse(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.GetResponse(ctx, answer.ID)
	if err != nil || outputText(t, got) != outputText(t, answer) || got.Usage.TotalTokens != answer.Usage.TotalTokens {
		t.Errorf("%+v, %v", got, err)
	}
	list, err := api.ListResponseInputItems(ctx, answer.ID, openai.ResponseInputItemsListOptions{Order: "asc", Limit: 3})
	if err != nil || list.Object != "list" || len(list.Data) != 3 || !list.HasMore || list.FirstID == "" ||
		list.Data[0].(map[string]any)["content"].([]any)[0].(map[string]any)["text"] != "um" {
		t.Fatalf("%+v, %v", list, err)
	}
	rest, err := api.ListResponseInputItems(ctx, answer.ID, openai.ResponseInputItemsListOptions{Order: "asc", After: list.LastID})
	if err != nil || len(rest.Data) != 1 || rest.HasMore || rest.LastID == list.LastID {
		t.Errorf("%+v, %v", rest, err)
	}
	if _, err := api.CancelResponse(ctx, answer.ID); status(err) != 400 {
		t.Error(err)
	}
	if deleted, err := api.DeleteResponse(ctx, answer.ID); err != nil || !deleted.Deleted || deleted.ID != answer.ID || deleted.Object != "response" {
		t.Errorf("%+v, %v", deleted, err)
	}
	if _, err := api.GetResponse(ctx, answer.ID); status(err) != 404 {
		t.Error(err)
	}
	request.Store = new(false)
	if answer, err = api.CreateResponse(ctx, request); err != nil || answer.Store {
		t.Errorf("%+v, %v", answer, err)
	}
	if _, err := api.GetResponse(ctx, answer.ID); status(err) != 404 {
		t.Error(err)
	}
	for path, method := range map[string]string{"/responses/x": "PUT", "/responses/x/cancel": "GET", "/responses/x/input_items": "POST"} {
		if r, err := send(s, method, path, "", "Bearer sk-test"); err != nil || r.status != 405 {
			t.Errorf("%s %s: %+v", method, path, r)
		}
	}
	if r, err := send(s, http.MethodGet, "/responses/x/nothing", "", "Bearer sk-test"); err != nil || r.status != 404 {
		t.Errorf("%+v, %v", r, err)
	}
}

// status returns the HTTP status of an API error.
func status(err error) int {
	var e *openai.APIError
	if errors.As(err, &e) {
		return e.HTTPStatusCode
	}
	return 0
}

func TestBackgroundResponsesComeByAndBy(t *testing.T) {
	s, ctx := start(t, Options{Group: ByUser}), context.Background()
	api := client(t, s)
	request := askResponse("Escreva o relatório")
	request.Background, request.User = true, "acme"
	answer, err := api.CreateResponse(ctx, request)
	if err != nil || answer.Status != "queued" || len(answer.Output) != 0 || answer.Usage != nil {
		t.Fatalf("%+v, %v", answer, err)
	}
	if stats := s.Stats(); stats.Answered != 0 || stats.CompletionTokens != 0 {
		t.Errorf("%+v", stats)
	}
	for _, want := range []openai.ResponseStatus{"in_progress", "completed", "completed"} {
		if answer, err = api.GetResponse(ctx, answer.ID); err != nil || answer.Status != want || (answer.Usage != nil) != (want == "completed") {
			t.Fatalf("%+v, %v", answer, err)
		}
	}
	if group := s.Stats().Groups["acme"]; group.Answered != 1 || group.CompletionTokens != int64(answer.Usage.OutputTokens) {
		t.Errorf("%+v", group)
	}
	if done, err := api.CancelResponse(ctx, answer.ID); err != nil || done.Status != "completed" {
		t.Errorf("%+v, %v", done, err)
	}
	if answer, err = api.CreateResponse(ctx, request); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if stopped, err := api.CancelResponse(ctx, answer.ID); err != nil || stopped.Status != "cancelled" {
			t.Errorf("%+v, %v", stopped, err)
		}
	}
	if stats := s.Stats(); stats.Answered != 1 {
		t.Errorf("%+v", stats)
	}
	s.Next(Behaviour{Fault: FaultFailed})
	if answer, err = api.CreateResponse(ctx, request); err != nil || answer.Status != "queued" {
		t.Fatalf("%+v, %v", answer, err)
	}
	until(t, "the failure", func() bool {
		answer, err = api.GetResponse(ctx, answer.ID)
		return err == nil && answer.Status == "failed" && answer.Error.Code == "server_error"
	})
	request.Store = new(false)
	if _, err := api.CreateResponse(ctx, request); status(err) != 400 {
		t.Error(err)
	}
}

func TestBackgroundResponsesTakeTheirTime(t *testing.T) {
	s, ctx := start(t, Options{BackgroundStep: 1 << 60}), context.Background()
	request := askResponse("a")
	request.Background = true
	answer, err := client(t, s).CreateResponse(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if got, err := client(t, s).GetResponse(ctx, answer.ID); err != nil || got.Status != "queued" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	soon := start(t, Options{BackgroundStep: 1})
	if answer, err = client(t, soon).CreateResponse(ctx, request); err != nil {
		t.Fatal(err)
	}
	if got, err := client(t, soon).GetResponse(ctx, answer.ID); err != nil || got.Status != "completed" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheOldestResponsesAreForgotten(t *testing.T) {
	var store responseStore
	for i := range maxResponses + 5 {
		store.add(&storedResponse{final: responseDoc{ID: fmt.Sprint(i)}})
	}
	_, first := store.conversation("4")
	_, sixth := store.conversation("5")
	if len(store.byID) != maxResponses || len(store.order) != maxResponses || first || !sixth {
		t.Errorf("%d responses", len(store.byID))
	}
}

func TestFailedResponsesSayWhyAndMayCost(t *testing.T) {
	s := start(t, Options{})
	usage := Usage{PromptTokens: 7, CompletionTokens: 5}
	for _, u := range []*Usage{nil, &usage} {
		for _, stream := range []bool{false, true} {
			s.Next(Behaviour{Fault: FaultFailed, After: 4, Usage: u})
			r := post(t, s, "/responses", fmt.Sprintf(`{"model":"gpt-4o","input":"a","stream":%t}`, stream))
			doc := gjson.Parse(r.body)
			if stream {
				types, last := typesOf(t, r.body)
				doc = last.Get("response")
				if last.Get("sequence_number").Int() != 4 || types[len(types)-1] != "response.failed" {
					t.Errorf("%q", types)
				}
			}
			if r.status != 200 || doc.Get("status").String() != "failed" || doc.Get("error.code").String() != "server_error" ||
				doc.Get("usage.total_tokens").Int() != map[bool]int64{true: 12}[u != nil] {
				t.Errorf("%s", r.body)
			}
		}
	}
	if stats := s.Stats(); stats.Answered != 2 || stats.Cut != 2 || stats.PromptTokens != 14 || stats.CompletionTokens != 10 {
		t.Errorf("%+v", stats)
	}
}

func TestFaultyResponsesGetErrors(t *testing.T) {
	s := start(t, Options{})
	for name, c := range map[string]struct {
		fields, param, code string
	}{
		"no input":        {``, "input", "missing_required_parameter"},
		"input a number":  {`,"input":1`, "input", "invalid_type"},
		"item a string":   {`,"input":["a"]`, "input[0]", "invalid_type"},
		"no role":         {`,"input":[{"content":"a"}]`, "input[0].role", "missing_required_parameter"},
		"unknown role":    {`,"input":[{"role":"tool","content":"a"}]`, "input[0].role", "invalid_value"},
		"no content":      {`,"input":[{"role":"user"}]`, "input[0].content", "invalid_type"},
		"too short":       {`,"input":"a","max_output_tokens":15`, "max_output_tokens", "integer_below_min_value"},
		"unknown tool":    {`,"input":"a","tool_choice":{"type":"function","name":"x"}`, "tool_choice", "invalid_value"},
		"unnamed schema":  {`,"input":"a","text":{"format":{"type":"json_schema"}}`, "text.format.name", "missing_required_parameter"},
		"unknown format":  {`,"input":"a","text":{"format":{"type":"xml"}}`, "text.format.type", "invalid_value"},
		"stored or never": {`,"input":"a","background":true,"store":false`, "background", "invalid_value"},
	} {
		r := post(t, s, "/responses", `{"model":"gpt-4o"`+c.fields+`}`)
		if r.status != 400 || gjson.Get(r.body, "error.param").String() != c.param || gjson.Get(r.body, "error.code").String() != c.code {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}
