package openaitest

import "math/rand/v2"

// responseEvents are the streams of responses: each event tells its type and number, and no [DONE] comes.
var responseEvents = wire{
	contentType: eventStream,
	malformed:   []byte("event: response.output_text.delta\ndata: {\"type\":response.output_text.delta,,\n\n"),
	failure: func(after int) []byte {
		return (&responseEvent{Type: "error", SequenceNumber: after, responseFault: &responseFault{
			Code: "server_error", Message: serverError().message,
		}}).encode()
	},
}

// responseEvent is any event of such a stream; what a type does not have is left out.
type responseEvent struct {
	Type           string       `json:"type"`
	SequenceNumber int          `json:"sequence_number"`
	Response       *responseDoc `json:"response,omitempty"`
	ItemID         string       `json:"item_id,omitempty"`
	OutputIndex    *int         `json:"output_index,omitempty"`
	ContentIndex   *int         `json:"content_index,omitempty"`
	Item           any          `json:"item,omitempty"`
	Part           *outputPart  `json:"part,omitempty"`
	Delta          *string      `json:"delta,omitempty"`
	Text           *string      `json:"text,omitempty"`
	Name           string       `json:"name,omitempty"`
	Arguments      *string      `json:"arguments,omitempty"`
	Logprobs       *[]any       `json:"logprobs,omitempty"`
	Obfuscation    string       `json:"obfuscation,omitempty"`
	*responseFault
}

type responseFault struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
}

func (e *responseEvent) encode() []byte { return namedEvent(e.Type, e) }

// responseWriter numbers the events.
type responseWriter struct {
	events     [][]byte
	obfuscated bool
	random     *rand.Rand
}

func (w *responseWriter) emit(e responseEvent) {
	e.SequenceNumber = len(w.events)
	if e.Delta != nil && w.obfuscated {
		// OpenAI pads the deltas, so that their lengths tell an eavesdropper nothing.
		padding := make([]byte, 4+w.random.IntN(12))
		for i := range padding {
			padding[i] = base62[w.random.IntN(len(base62))]
		}
		e.Obfuscation = string(padding)
	}
	w.events = append(w.events, e.encode())
}

// events is the response as a stream.
func (r *responseReply) events(request *responseRequest, random *rand.Rand) [][]byte {
	w := &responseWriter{obfuscated: request.obfuscated, random: random}
	status := "in_progress"
	if request.background {
		status = "queued"
	}
	w.emit(responseEvent{Type: "response.created", Response: new(r.final.unfinished(status))})
	if request.background {
		w.emit(responseEvent{Type: "response.queued", Response: new(r.final.unfinished(status))})
	}
	w.emit(responseEvent{Type: "response.in_progress", Response: new(r.final.unfinished("in_progress"))})
	for i, item := range r.items {
		switch item := item.(type) {
		case reasoningItem:
			w.emit(responseEvent{Type: "response.output_item.added", OutputIndex: &i, Item: item})
			w.emit(responseEvent{Type: "response.output_item.done", OutputIndex: &i, Item: item})
		case messageItem:
			w.message(i, item, r.choice.pieces)
		case functionItem:
			w.function(i, item, r.choice.pieces)
		}
	}
	w.emit(responseEvent{Type: "response." + r.final.Status, Response: &r.final})
	return w.events
}

func (w *responseWriter) message(at int, item messageItem, pieces []string) {
	begun := item
	begun.Status, begun.Content = "in_progress", []outputPart{}
	w.emit(responseEvent{Type: "response.output_item.added", OutputIndex: &at, Item: begun})
	w.emit(responseEvent{Type: "response.content_part.added", ItemID: item.ID, OutputIndex: &at, ContentIndex: new(0), Part: new(textPart(""))})
	for _, piece := range pieces {
		w.emit(responseEvent{Type: "response.output_text.delta", ItemID: item.ID, OutputIndex: &at, ContentIndex: new(0),
			Delta: &piece, Logprobs: &[]any{}})
	}
	part := &item.Content[0]
	w.emit(responseEvent{Type: "response.output_text.done", ItemID: item.ID, OutputIndex: &at, ContentIndex: new(0),
		Text: &part.Text, Logprobs: &[]any{}})
	w.emit(responseEvent{Type: "response.content_part.done", ItemID: item.ID, OutputIndex: &at, ContentIndex: new(0), Part: part})
	w.emit(responseEvent{Type: "response.output_item.done", OutputIndex: &at, Item: item})
}

func (w *responseWriter) function(at int, item functionItem, pieces []string) {
	begun := item
	begun.Status, begun.Arguments = "in_progress", ""
	w.emit(responseEvent{Type: "response.output_item.added", OutputIndex: &at, Item: begun})
	for _, piece := range pieces {
		w.emit(responseEvent{Type: "response.function_call_arguments.delta", ItemID: item.ID, OutputIndex: &at, Delta: &piece})
	}
	w.emit(responseEvent{Type: "response.function_call_arguments.done", ItemID: item.ID, OutputIndex: &at, Name: item.Name, Arguments: &item.Arguments})
	w.emit(responseEvent{Type: "response.output_item.done", OutputIndex: &at, Item: item})
}
