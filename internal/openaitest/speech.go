package openaitest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// Measures of speech.
const (
	maxSpeechInput      = 4_096 // characters
	charactersASecond   = 15.0
	speechTokensASecond = 20 // of audio that gpt-4o-mini-tts makes
	speechPiece         = 4 << 10
)

var speechFields = []field{
	modelField,
	{name: "input", article: "a string"},
	{name: "instructions", article: "a string"},
	{name: "response_format", article: "a string"},
	{name: "stream_format", article: "a string"},
	{name: "speed", article: "a decimal", low: 0.25, high: 4},
}

// speechRequest is what the server understands of a request to speak.
type speechRequest struct {
	model, input, instructions string
	format                     string
	events                     bool // rather than the bare sound
	speed                      float64
}

func (s *Server) parseSpeech(body []byte) (*speechRequest, *apiError) {
	doc, fail := parseObject(body, speechFields)
	if fail != nil {
		return nil, fail
	}
	r := &speechRequest{
		model: doc.Get("model").String(), input: doc.Get("input").String(), instructions: doc.Get("instructions").String(),
		format: cmp.Or(doc.Get("response_format").String(), "mp3"), events: doc.Get("stream_format").String() == "sse",
		speed: cmp.Or(doc.Get("speed").Num, 1),
	}
	if _, fail := s.resolve(r.model); fail != nil {
		return nil, fail
	}
	switch characters := utf8.RuneCountInString(r.input); {
	case r.input == "":
		return nil, missing("input")
	case characters > maxSpeechInput:
		return nil, &apiError{status: 400, param: "input", code: "string_too_long",
			message: fmt.Sprintf("Invalid 'input': string too long. Expected a string with maximum length %d, but got a string with length %d instead.", maxSpeechInput, characters)}
	case doc.Get("voice").Type == gjson.Null:
		return nil, missing("voice")
	case audioTypes[r.format] == "":
		return nil, invalid("response_format", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'mp3', 'opus', 'aac', 'flac', 'wav', and 'pcm'.", r.format))
	case r.events && !r.metered():
		return nil, invalid("stream_format", "Streaming with 'sse' is not supported with this model.")
	}
	return r, nil
}

// metered tells whether the model is billed by tokens; the older ones are by the character.
func (r *speechRequest) metered() bool { return !strings.HasPrefix(r.model, "tts-") }

// speak is POST /v1/audio/speech.
func (c *call) speak() {
	r, fail := c.parseSpeech(c.body)
	if fail != nil {
		c.fail(fail)
		return
	}
	seconds := float64(utf8.RuneCountInString(r.input)) / charactersASecond / r.speed
	var usage Usage
	if r.metered() {
		usage.PromptTokens = tokenizer.Count(r.model, r.input) + tokenizer.Count(r.model, r.instructions)
		usage.CompletionTokens = int(math.Ceil(seconds * speechTokensASecond))
	}
	if c.behaviour.Usage != nil {
		usage = *c.behaviour.Usage
	}
	if !c.wait(c.opts.Latency) {
		return
	}
	sound := slices.Collect(slices.Chunk(silence(r.format, seconds), speechPiece))
	switch {
	case r.events:
		events := speechEvents(sound, usage, c.behaviour.Fault != FaultNoUsage)
		c.answerStream(dataEvents, events, usage, c.writing(usage, 1)/time.Duration(len(events)), nil)
	case c.behaviour.Fault == FaultErrorEvent:
		c.fail(serverError()) // no event fits into sound
	default:
		w := wire{contentType: audioTypes[r.format], malformed: []byte("<html><body>502 Bad Gateway</body></html>")}
		c.answerStream(w, sound, usage, c.writing(usage, 1)/time.Duration(len(sound)), nil)
	}
}

// speechUsage is Usage as speech shows it.
type speechUsage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
	TotalTokens  int `json:"total_tokens"`
}

// speechEvents is the sound as a stream of events.
func speechEvents(sound [][]byte, u Usage, withUsage bool) [][]byte {
	var events [][]byte
	for _, piece := range sound {
		events = append(events, event(struct {
			Type  string `json:"type"`
			Audio string `json:"audio"`
		}{"speech.audio.delta", base64.StdEncoding.EncodeToString(piece)}))
	}
	end := struct {
		Type  string       `json:"type"`
		Usage *speechUsage `json:"usage,omitempty"`
	}{Type: "speech.audio.done"}
	if withUsage {
		end.Usage = &speechUsage{u.PromptTokens, u.CompletionTokens, u.PromptTokens + u.CompletionTokens}
	}
	return append(events, event(end))
}
