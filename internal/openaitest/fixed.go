package openaitest

import (
	"cmp"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Fixed describes the one answer of a server for benchmarks. Its bytes are made once; of a request only "stream" and
// "stream_options" are read, no tokenizer runs, and of a Behaviour its Text and Usage do not apply.
type Fixed struct {
	PromptTokens, CompletionTokens int // the usage reported

	Body       string        // the text; empty: some 300 bytes, which make an answer of about 1 KB
	Chunks     int           // pieces of the text in a stream; 0: 50
	ChunkPause time.Duration // before each event of a stream
}

// fixedAnswer is Fixed in bytes.
type fixedAnswer struct {
	usage          Usage
	whole          []byte
	plain, metered [][]byte // a stream without and with the usage
	pause          time.Duration
}

const fixedText = "O relatório do período mostra crescimento das vendas em todas as regiões, com destaque para o Sudeste. "

func newFixedAnswer(f Fixed) *fixedAnswer {
	text := cmp.Or(f.Body, strings.Repeat(fixedText, 3))
	usage := Usage{PromptTokens: f.PromptTokens, CompletionTokens: f.CompletionTokens}
	reply := &chatReply{
		id: "chatcmpl-0000000000000000000000000fixed", model: "gpt-4.1-nano-2025-04-14", created: 1_767_225_600,
		choices: []chatChoice{{text: text, finish: "stop", pieces: equalPieces(text, cmp.Or(f.Chunks, 50))}}, usage: usage,
	}
	return &fixedAnswer{
		usage: usage, pause: f.ChunkPause,
		whole:   indented(reply.completion(true)),
		plain:   reply.events(false, false),
		metered: reply.events(true, false),
	}
}

// fixedChat answers a chat with the fixed bytes.
func (c *call) fixedChat(f *fixedAnswer) {
	body := c.body
	if !c.wait(c.opts.Latency) {
		return
	}
	if !gjson.GetBytes(body, "stream").Bool() {
		c.answerWhole(f.whole, f.usage)
		return
	}
	events := f.plain
	if gjson.GetBytes(body, "stream_options.include_usage").Bool() && c.behaviour.Fault != FaultNoUsage {
		events = f.metered
	}
	c.answerStream(dataEvents, events, f.usage, f.pause, nil)
}

// equalPieces cuts a text into n pieces of about the same number of characters.
func equalPieces(text string, n int) []string {
	characters := []rune(text)
	pieces := make([]string, n)
	for i := range pieces {
		pieces[i] = string(characters[i*len(characters)/n : (i+1)*len(characters)/n])
	}
	return pieces
}
