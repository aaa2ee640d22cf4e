package openaitest

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// completionRequest is what the server understands of a request for legacy completions.
type completionRequest struct {
	task
	snapshot     string
	prompts      []completionPrompt
	stream       bool
	includeUsage bool
	echo         bool
	bestOf       int // generated for each prompt, of which n are shown
	seed         string
}

// completionPrompt is a text, or tokens whose text is not known here.
type completionPrompt struct {
	text   string
	tokens int
	raw    string
}

// defaultCompletion is how many tokens a legacy completion has unless the request says otherwise.
const defaultCompletion = 16

var completionFields = []field{
	modelField, streamField, temperatureField, topPField, userField,
	{name: "n", article: "an integer", low: 1, high: 128},
	{name: "best_of", article: "an integer", low: 1, high: 20},
	{name: "max_tokens", article: "an integer", low: 0, high: 1 << 31},
	{name: "echo", article: "a boolean"},
}

func (s *Server) parseCompletion(body []byte) (*completionRequest, *apiError) {
	doc, fail := parseObject(body, completionFields)
	if fail != nil {
		return nil, fail
	}
	r := &completionRequest{
		task:   task{model: doc.Get("model").String(), n: max(1, int(doc.Get("n").Int())), maxTokens: defaultCompletion},
		stream: doc.Get("stream").Bool(), includeUsage: doc.Get("stream_options.include_usage").Bool(),
		echo: doc.Get("echo").Bool(), seed: doc.Get("seed").Raw,
	}
	r.bestOf = max(r.n, int(doc.Get("best_of").Int()))
	if limit := doc.Get("max_tokens"); limit.Type == gjson.Number {
		r.maxTokens = int(limit.Int())
	}
	switch best := doc.Get("best_of"); {
	case best.Type == gjson.Number && int(best.Int()) < r.n:
		return nil, invalid("best_of", "You requested that the server return more choices than it will generate (HINT: you must set 'n' to be at most 'best_of').")
	case r.bestOf > r.n && r.stream:
		return nil, invalid("best_of", "Results cannot be streamed when generating multiple results per prompt (HINT: set 'best_of' to 'n').")
	case doc.Get("stream_options").Type != gjson.Null && !r.stream:
		return nil, &apiError{status: 400, param: "stream_options", message: "The 'stream_options' parameter is only allowed when 'stream' is enabled."}
	case r.maxTokens == 0 && !r.echo:
		return nil, &apiError{status: 400, param: "max_tokens", code: "integer_below_min_value",
			message: "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead."}
	}
	if r.snapshot, fail = s.resolve(r.model); fail != nil {
		return nil, fail
	}
	if fail := r.readPrompt(doc.Get("prompt")); fail != nil {
		return nil, fail
	}
	return r, r.readStops(doc)
}

// readPrompt takes a string, strings, tokens, or arrays of tokens.
func (r *completionRequest) readPrompt(prompt gjson.Result) *apiError {
	text := func(p gjson.Result) completionPrompt {
		return completionPrompt{p.String(), tokenizer.Count(r.model, p.String()), p.Raw}
	}
	tokens := func(p gjson.Result) completionPrompt { return completionPrompt{"", len(p.Array()), p.Raw} }
	first := prompt.Get("0")
	switch {
	case prompt.Type == gjson.Null:
		r.prompts = []completionPrompt{{tokens: 1}} // OpenAI begins a new document then
	case prompt.Type == gjson.String:
		r.prompts = []completionPrompt{text(prompt)}
	case prompt.IsArray() && first.Type == gjson.Number:
		r.prompts = []completionPrompt{tokens(prompt)}
	case prompt.IsArray() && first.IsArray():
		for _, p := range prompt.Array() {
			r.prompts = append(r.prompts, tokens(p))
		}
	case prompt.IsArray() && first.Type == gjson.String:
		for _, p := range prompt.Array() {
			r.prompts = append(r.prompts, text(p))
		}
	default:
		return wrongType("prompt", "one of a string, array of strings, array of integers, or array of integer arrays", kindOf(prompt))
	}
	return nil
}

// complete is POST /v1/completions.
func (c *call) complete() {
	r, fail := c.parseCompletion(c.body)
	if fail != nil {
		c.fail(fail)
		return
	}
	reply := &completionReply{id: c.ids.word("cmpl-", 29), model: r.snapshot, created: time.Now().Unix()}
	for _, prompt := range r.prompts {
		c.completePrompt(r, prompt, reply)
	}
	if c.behaviour.Usage != nil {
		reply.usage = *c.behaviour.Usage
	}
	leaveUsageOut := c.behaviour.Fault == FaultNoUsage
	writing := c.writing(reply.usage, len(reply.choices))
	if !c.think(reply.usage, len(reply.choices)) {
		return
	}
	if r.stream {
		events := reply.events(r.includeUsage, leaveUsageOut)
		c.answerStream(dataEvents, events, reply.usage, writing/time.Duration(len(events)), rand.New(rand.NewPCG(hash(c.body), 0)))
		return
	}
	if c.wait(writing) {
		c.answerWhole(indented(reply.document(!leaveUsageOut)), reply.usage)
	}
}

// completePrompt adds one prompt's choices to a reply.
func (c *call) completePrompt(r *completionRequest, prompt completionPrompt, reply *completionReply) {
	t := r.task
	t.question, t.n = prompt.text, r.bestOf
	var choices []chatChoice
	if r.maxTokens == 0 { // an echo alone
		choices = make([]chatChoice, t.n)
		for i := range choices {
			choices[i].finish = "length"
		}
	} else {
		var usage Usage
		choices, usage = c.generate(&t, hash(r.model, r.seed, prompt.raw))
		reply.usage.CompletionTokens += usage.CompletionTokens
		reply.usage.ReasoningTokens += usage.ReasoningTokens
	}
	reply.usage.PromptTokens += prompt.tokens
	for _, choice := range choices[:r.n] {
		if r.echo && prompt.text != "" {
			choice.text = prompt.text + choice.text
			choice.pieces = append([]string{prompt.text}, choice.pieces...)
		}
		reply.choices = append(reply.choices, choice)
	}
}

// completionReply is a generated answer before it is laid out.
type completionReply struct {
	id, model string
	created   int64
	choices   []chatChoice
	usage     Usage
}

// textCompletionDoc is both the whole answer and a chunk of a stream.
type textCompletionDoc struct {
	ID                string          `json:"id"`
	Object            string          `json:"object"`
	Created           int64           `json:"created"`
	Model             string          `json:"model"`
	SystemFingerprint string          `json:"system_fingerprint"`
	Choices           []textChoiceDoc `json:"choices"`
	Usage             *chatUsage      `json:"usage,omitempty"`
}

type meteredTextDoc struct {
	textCompletionDoc
	Usage *chatUsage `json:"usage"` // null in all chunks but the last
}

type textChoiceDoc struct {
	Text         string  `json:"text"`
	Index        int     `json:"index"`
	Logprobs     any     `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
}

func (r *completionReply) empty() textCompletionDoc {
	return textCompletionDoc{
		ID: r.id, Object: "text_completion", Created: r.created, Model: r.model, SystemFingerprint: fingerprint,
		Choices: []textChoiceDoc{},
	}
}

func (r *completionReply) document(withUsage bool) textCompletionDoc {
	doc := r.empty()
	for i, choice := range r.choices {
		doc.Choices = append(doc.Choices, textChoiceDoc{Text: choice.text, Index: i, FinishReason: &choice.finish})
	}
	if withUsage {
		doc.Usage = r.usage.chat()
	}
	return doc
}

// events is the answer as a stream: the pieces of all choices in turn, the last of each with its end, the usage where it is
// included, and [DONE].
func (r *completionReply) events(includeUsage, leaveUsageOut bool) [][]byte {
	var events [][]byte
	emit := func(usage *chatUsage, choices ...textChoiceDoc) {
		doc := r.empty()
		doc.Choices = append(doc.Choices, choices...)
		if includeUsage {
			events = append(events, event(meteredTextDoc{doc, usage}))
		} else {
			events = append(events, event(doc))
		}
	}
	longest := 1
	for _, choice := range r.choices {
		longest = max(longest, len(choice.pieces))
	}
	for k := range longest {
		for i, choice := range r.choices {
			last := cmp.Or(len(choice.pieces), 1) - 1
			if k > last {
				continue
			}
			piece := textChoiceDoc{Index: i}
			if k < len(choice.pieces) {
				piece.Text = choice.pieces[k]
			}
			if k == last {
				piece.FinishReason = &choice.finish
			}
			emit(nil, piece)
		}
	}
	if includeUsage && !leaveUsageOut {
		emit(r.usage.chat())
	}
	return append(events, done)
}
