package v1

import (
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tokenizer"
)

// wire is how one endpoint speaks: what is read of its requests, and how its answers are metered.
type wire struct {
	endpoint string           // its name in the books
	path     string           // below Prefix, and below the provider's address
	fields   map[string]field // the members of a request that are read
	needs    string           // the member that must be there besides the model
	model    string           // what is asked for where the request names none; empty: it must
	cut      string           // the member that bounds the answer's length; empty: there is none
	cutField field
	least    int64 // the smallest such bound that providers accept
	// usageOption: a stream tells its usage only when stream_options.include_usage asks for it.
	usageOption bool
	// closing is what a stream ends with where the provider left it out.
	closing string
	// byRequest: where the provider reports no tokens the call counts as one request and none are guessed.
	byRequest bool
	// bound is an upper bound of the input tokens, count the figure.
	bound func(*body) int64
	count func(*body) int64
	// output bounds the output tokens of a choice where the request does not, given the most that the model can put out;
	// nil: that is the bound; negative: there is none.
	output func(b *body, most int64) int64
	// usual is what providers cut a choice at where the request does not say; 0: where the model ends.
	usual   int64
	uploads bool          // requests are forms with files
	forms   gateway.Forms // of answers that the cache keeps
}

// done is the last event of chat and completion streams.
const done = "data: [DONE]\n\n"

// wires lists the endpoints that are calls.
func wires() []*wire {
	return []*wire{
		{
			endpoint: "chat.completions", path: "/chat/completions", needs: "messages", usageOption: true, closing: done,
			cut: "max_completion_tokens", cutField: fieldMaxCompletionTokens,
			fields: map[string]field{
				"model": fieldModel, "messages": fieldMessages, "stream": fieldStream, "stream_options": fieldStreamOptions,
				"max_completion_tokens": fieldMaxCompletionTokens, "max_tokens": fieldMaxTokens, "n": fieldChoices,
			},
			bound: func(b *body) int64 { return int64(tokenizer.UpperBoundChat(b.raw)) },
			count: func(b *body) int64 { return int64(tokenizer.CountChat(b.raw)) },
			forms: chatForms{},
		},
		{
			endpoint: "completions", path: "/completions", needs: "prompt", usageOption: true, closing: done,
			cut: "max_tokens", cutField: fieldMaxTokens,
			fields: map[string]field{
				"model": fieldModel, "prompt": fieldInput, "stream": fieldStream, "stream_options": fieldStreamOptions,
				"max_tokens": fieldMaxTokens, "n": fieldChoices, "best_of": fieldChoices2, "suffix": fieldMore,
			},
			bound: boundInput, count: countInput, output: completionOutput, usual: usualCompletion, forms: completionForms{},
		},
		{
			endpoint: "responses", path: "/responses", cut: "max_output_tokens", cutField: fieldMaxOutputTokens, least: 16,
			fields: map[string]field{
				"model": fieldModel, "input": fieldItems, "stream": fieldStream, "max_output_tokens": fieldMaxOutputTokens,
				"tools": fieldTools, "prompt": fieldPrompt,
				"store": fieldStore, "background": fieldBackground, "previous_response_id": fieldPrevious, "conversation": fieldConversation,
			},
			bound: func(b *body) int64 { return int64(tokenizer.UpperBoundResponses(b.raw)) + b.before },
			count: func(b *body) int64 { return int64(tokenizer.CountResponses(b.raw)) + b.before },
			forms: noForms{},
		},
		{
			endpoint: "embeddings", path: "/embeddings", needs: "input",
			fields: map[string]field{"model": fieldModel, "input": fieldInput},
			bound:  boundInput, count: countInput, output: noOutput, forms: noForms{},
		},
		{
			endpoint: "moderations", path: "/moderations", needs: "input", model: "omni-moderation-latest", byRequest: true,
			fields: map[string]field{"model": fieldModel, "input": fieldInput},
			bound:  nothing, count: nothing, output: noOutput, forms: noForms{},
		},
		imageWire("images.generations", "/images/generations", "prompt", "gpt-image-1", false),
		imageWire("images.edits", "/images/edits", "", "gpt-image-1", true),
		imageWire("images.variations", "/images/variations", "", "dall-e-2", true),
		audioWire("audio.transcriptions", "/audio/transcriptions"),
		audioWire("audio.translations", "/audio/translations"),
		{
			endpoint: "audio.speech", path: "/audio/speech", needs: "input", byRequest: true,
			fields: map[string]field{"model": fieldModel, "input": fieldInput, "instructions": fieldMore},
			bound:  boundInput, count: countInput, output: speechOutput, forms: noForms{},
		},
	}
}

// usualCompletion is what legacy completions end at where they ask for nothing else.
const usualCompletion = 16

func completionOutput(b *body, _ int64) int64 {
	if b.mute {
		return -1
	}
	return usualCompletion
}

// What speech takes at most: a byte of text is read in less than 0.4 s even at the slowest, and a second has 20 tokens.
const (
	speechTokens        = 100 // of silence around it
	speechTokensPerByte = 8
)

func speechOutput(b *body, most int64) int64 {
	return min(most, speechTokens+speechTokensPerByte*int64(len(b.input)))
}

// What an image takes at most: 1024 × 1536 in high quality as output, with three unfinished ones before it; four tiles in
// high fidelity as input. See OpenAI's guide to image generation, "Cost and latency".
const (
	imageOut = 6_240 + 3*100
	imageIn  = 65 + 4*129 + 6_240
)

func imageWire(endpoint, path, needs, model string, uploads bool) *wire {
	return &wire{
		endpoint: endpoint, path: path, needs: needs, model: model, byRequest: true, uploads: uploads,
		fields: map[string]field{"model": fieldModel, "prompt": fieldInput, "stream": fieldStream, "n": fieldChoices},
		bound:  func(b *body) int64 { return boundInput(b) + imageIn*b.files },
		count:  func(b *body) int64 { return countInput(b) + imageIn*b.files },
		output: func(*body, int64) int64 { return imageOut },
		forms:  noForms{},
	}
}

// audioTokenBytes is a low estimate of the bytes behind one token of sound: 100 ms of an 8 kbit/s MP3.
const audioTokenBytes = 100

func audioWire(endpoint, path string) *wire {
	sound := func(b *body) int64 { return 1 + b.fileBytes/audioTokenBytes }
	return &wire{
		endpoint: endpoint, path: path, byRequest: true, uploads: true,
		fields: map[string]field{"model": fieldModel, "prompt": fieldInput, "stream": fieldStream},
		bound:  func(b *body) int64 { return boundInput(b) + sound(b) },
		count:  func(b *body) int64 { return countInput(b) + sound(b) },
		output: func(b *body, most int64) int64 { return min(most, sound(b)) }, // nobody says more than is heard
		forms:  noForms{},
	}
}

func boundInput(b *body) int64 {
	return int64(tokenizer.UpperBoundInput(b.input) + tokenizer.UpperBoundInput(b.more))
}

func countInput(b *body) int64 {
	return int64(tokenizer.CountInput(b.model, b.input) + tokenizer.CountInput(b.model, b.more))
}

func nothing(*body) int64         { return 0 }
func noOutput(*body, int64) int64 { return -1 }

// noForms is of endpoints whose answers come in one form.
type noForms struct{}

func (noForms) Whole([]byte) ([]byte, bool)  { return nil, false }
func (noForms) Stream([]byte) ([]byte, bool) { return nil, false }
