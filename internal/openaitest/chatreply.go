package openaitest

// chatReply is a generated answer before it is laid out as one document or as a stream.
type chatReply struct {
	id, model string
	created   int64
	choices   []chatChoice
	usage     Usage
}

// chatChoice is one of the n answers: a text, or a call of a tool.
type chatChoice struct {
	text   string
	tool   *toolCall
	finish string
	pieces []string // the text, or the tool's arguments, as a stream gives them
}

type toolCall struct{ id, name, arguments string }

// What follows are the documents of the wire, their fields in OpenAI's order.

type completionDoc struct {
	ID                string      `json:"id"`
	Object            string      `json:"object"`
	Created           int64       `json:"created"`
	Model             string      `json:"model"`
	Choices           []choiceDoc `json:"choices"`
	Usage             *chatUsage  `json:"usage,omitempty"`
	ServiceTier       string      `json:"service_tier"`
	SystemFingerprint string      `json:"system_fingerprint"`
}

type choiceDoc struct {
	Index        int        `json:"index"`
	Message      messageDoc `json:"message"`
	Logprobs     any        `json:"logprobs"`
	FinishReason string     `json:"finish_reason"`
}

type messageDoc struct {
	Role        string    `json:"role"`
	Content     *string   `json:"content"`
	ToolCalls   []toolDoc `json:"tool_calls,omitempty"`
	Refusal     any       `json:"refusal"`
	Annotations []any     `json:"annotations"`
}

type toolDoc struct {
	Index    *int    `json:"index,omitempty"` // in streams only
	ID       string  `json:"id,omitempty"`
	Type     string  `json:"type,omitempty"`
	Function toolUse `json:"function"`
}

type toolUse struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

type chunkDoc struct {
	ID                string           `json:"id"`
	Object            string           `json:"object"`
	Created           int64            `json:"created"`
	Model             string           `json:"model"`
	ServiceTier       string           `json:"service_tier"`
	SystemFingerprint string           `json:"system_fingerprint"`
	Choices           []chunkChoiceDoc `json:"choices"`
}

// meteredChunkDoc is a chunk of a stream that includes the usage: null in all but the last.
type meteredChunkDoc struct {
	chunkDoc
	Usage *chatUsage `json:"usage"`
}

type chunkChoiceDoc struct {
	Index        int     `json:"index"`
	Delta        any     `json:"delta"`
	Logprobs     any     `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
}

// The deltas of a chunk: the first of a choice, one with text, one with a piece of a tool's arguments.
type (
	firstDelta struct {
		Role      string    `json:"role"`
		Content   *string   `json:"content"`
		ToolCalls []toolDoc `json:"tool_calls,omitempty"`
		Refusal   any       `json:"refusal"`
	}
	textDelta struct {
		Content string `json:"content"`
	}
	toolDelta struct {
		ToolCalls []toolDoc `json:"tool_calls"`
	}
)

// fingerprint tells the simulator from OpenAI.
const fingerprint = "fp_simulator"

// completion is the answer as one document.
func (r *chatReply) completion(withUsage bool) completionDoc {
	doc := completionDoc{
		ID: r.id, Object: "chat.completion", Created: r.created, Model: r.model,
		ServiceTier: "default", SystemFingerprint: fingerprint,
	}
	if withUsage {
		doc.Usage = r.usage.chat()
	}
	for i, choice := range r.choices {
		message := messageDoc{Role: "assistant", Annotations: []any{}}
		if t := choice.tool; t != nil {
			message.ToolCalls = []toolDoc{{ID: t.id, Type: "function", Function: toolUse{t.name, t.arguments}}}
		} else {
			message.Content = &choice.text
		}
		doc.Choices = append(doc.Choices, choiceDoc{Index: i, Message: message, FinishReason: choice.finish})
	}
	return doc
}

// events is the answer as a stream: each choice's role, the pieces of all choices in turn, each choice's end, the usage where
// it is included, and [DONE].
func (r *chatReply) events(includeUsage, leaveUsageOut bool) [][]byte {
	var events [][]byte
	emit := func(usage *chatUsage, choices ...chunkChoiceDoc) {
		doc := chunkDoc{
			ID: r.id, Object: "chat.completion.chunk", Created: r.created, Model: r.model,
			ServiceTier: "default", SystemFingerprint: fingerprint, Choices: choices,
		}
		if includeUsage {
			events = append(events, event(meteredChunkDoc{doc, usage}))
		} else {
			events = append(events, event(doc))
		}
	}
	for i, choice := range r.choices {
		emit(nil, chunkChoiceDoc{Index: i, Delta: choice.first()})
	}
	for k, more := 0, true; more; k++ {
		more = false
		for i, choice := range r.choices {
			if k < len(choice.pieces) {
				more = true
				emit(nil, chunkChoiceDoc{Index: i, Delta: choice.delta(choice.pieces[k])})
			}
		}
	}
	for i, choice := range r.choices {
		emit(nil, chunkChoiceDoc{Index: i, Delta: struct{}{}, FinishReason: &choice.finish})
	}
	if includeUsage && !leaveUsageOut {
		emit(r.usage.chat(), []chunkChoiceDoc{}...)
	}
	return append(events, done)
}

func (c chatChoice) first() firstDelta {
	d := firstDelta{Role: "assistant"}
	if t := c.tool; t != nil {
		d.ToolCalls = []toolDoc{{Index: new(int), ID: t.id, Type: "function", Function: toolUse{Name: t.name}}}
	} else {
		d.Content = new(string)
	}
	return d
}

func (c chatChoice) delta(piece string) any {
	if c.tool != nil {
		return toolDelta{[]toolDoc{{Index: new(int), Function: toolUse{Arguments: piece}}}}
	}
	return textDelta{piece}
}
