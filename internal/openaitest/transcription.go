package openaitest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// Limits and measures of transcriptions.
const (
	maxAudioFile       = 25 << 20 // bytes
	audioTokensASecond = 10       // of audio given to gpt-4o-transcribe
	secondsPerSegment  = 6.0
	wordsPerSegment    = 15
)

var audioExtensions = []string{"flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"}

// transcriptionRequest is what the server understands of a request to write down speech.
type transcriptionRequest struct {
	model, prompt string
	format        string
	language      string
	words         bool // their times are wanted
	stream        bool
	translate     bool
	audio         upload
	seconds       float64
	metered       bool // by tokens, rather than by seconds
}

func (c *call) parseTranscription(translate bool) (*transcriptionRequest, *apiError) {
	f, fail := c.readForm()
	if fail != nil {
		return nil, fail
	}
	r := &transcriptionRequest{
		model: f.get("model"), prompt: f.get("prompt"), format: cmp.Or(f.get("response_format"), "json"), language: f.get("language"),
		words:  slices.Contains(f.Value["timestamp_granularities[]"], "word"),
		stream: f.get("stream") == "true", translate: translate,
	}
	uploads, fail := f.files("file")
	if fail != nil {
		return nil, fail
	}
	if r.model == "" {
		return nil, &apiError{status: 400, message: "you must provide a model parameter"}
	}
	if _, fail = c.resolve(r.model); fail != nil {
		return nil, fail
	}
	r.audio = uploads[0]
	r.metered = !strings.HasPrefix(r.model, "whisper")
	switch {
	case len(r.audio.content) > maxAudioFile:
		return nil, &apiError{status: 413, message: fmt.Sprintf("%d: Maximum content size limit (%d) exceeded (%d bytes read)", 413, maxAudioFile, len(r.audio.content))}
	case !slices.Contains(audioExtensions, r.audio.extension()):
		return nil, &apiError{status: 400, message: "Invalid file format. Supported formats: ['" + strings.Join(audioExtensions, "', '") + "']"}
	case len(r.audio.content) == 0:
		return nil, &apiError{status: 400, param: "file", message: "Audio file is too short. Minimum audio length is 0.1 seconds."}
	case !slices.Contains([]string{"json", "text", "srt", "verbose_json", "vtt"}, r.format):
		return nil, invalid("response_format", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'json', 'text', 'srt', 'verbose_json', and 'vtt'.", r.format))
	case r.metered && r.format != "json" && r.format != "text":
		return nil, invalid("response_format", fmt.Sprintf("response_format '%s' is not compatible with model '%s'. Use 'json' or 'text' instead.", r.format, r.model))
	}
	r.stream = r.stream && r.metered // whisper ignores it
	r.seconds = secondsOf(r.audio.content)
	return r, nil
}

// transcribe is POST /v1/audio/transcriptions.
func (c *call) transcribe() { c.writeDown(false) }

// translate is POST /v1/audio/translations.
func (c *call) translate() { c.writeDown(true) }

func (c *call) writeDown(translate bool) {
	r, fail := c.parseTranscription(translate)
	if fail != nil {
		c.fail(fail)
		return
	}
	random := rand.New(rand.NewPCG(hash(r.model, r.audio.content), 0))
	text := cmp.Or(c.behaviour.Text, r.speech(random))
	usage, shown := r.usage(text)
	if c.behaviour.Usage != nil {
		usage = *c.behaviour.Usage
		if r.metered {
			shown = tokenUsage(usage, 0)
		}
	}
	if c.behaviour.Fault == FaultNoUsage {
		shown = nil
	}
	if !c.think(usage, 1) {
		return
	}
	if r.stream {
		events := transcriptionEvents(text, shown)
		c.answerStream(dataEvents, events, usage, c.writing(usage, 1)/time.Duration(len(events)), random)
		return
	}
	if c.wait(c.writing(usage, 1)) {
		contentType, document := r.document(text, shown)
		c.answerAs(contentType, document, usage)
	}
}

// speech makes up what was said, about as much as fits the time.
func (r *transcriptionRequest) speech(random *rand.Rand) string {
	points := englishPoints
	if !r.translate {
		points = subjects[random.IntN(len(subjects))].points
	}
	want := 1 + int(r.seconds/secondsPerSegment)
	var said []string
	for len(said) < min(want, 2_000) {
		said = append(said, choose(random, points))
	}
	return strings.Join(said, " ")
}

// audioUsage is Usage as transcriptions show it: by tokens, or by duration.
type audioUsage struct {
	Type         string             `json:"type"`
	TotalTokens  *int               `json:"total_tokens,omitempty"`
	InputTokens  *int               `json:"input_tokens,omitempty"`
	InputDetails *audioTokenDetails `json:"input_token_details,omitempty"`
	OutputTokens *int               `json:"output_tokens,omitempty"`
	Seconds      *int               `json:"seconds,omitempty"`
}

type audioTokenDetails struct {
	TextTokens  int `json:"text_tokens"`
	AudioTokens int `json:"audio_tokens"`
}

func tokenUsage(u Usage, text int) *audioUsage {
	return &audioUsage{
		Type: "tokens", InputTokens: &u.PromptTokens, OutputTokens: &u.CompletionTokens, TotalTokens: new(u.PromptTokens + u.CompletionTokens),
		InputDetails: &audioTokenDetails{TextTokens: text, AudioTokens: u.PromptTokens - text},
	}
}

// usage is what the transcription costs. A model that is billed by the second has no tokens.
func (r *transcriptionRequest) usage(text string) (Usage, *audioUsage) {
	if !r.metered {
		return Usage{}, &audioUsage{Type: "duration", Seconds: new(int(math.Ceil(r.seconds)))}
	}
	prompt := tokenizer.Count(r.model, r.prompt)
	u := Usage{
		PromptTokens:     prompt + int(math.Ceil(r.seconds*audioTokensASecond)),
		CompletionTokens: tokenizer.Count(r.model, text),
	}
	return u, tokenUsage(u, prompt)
}

// transcriptionEvents is the transcription as a stream.
func transcriptionEvents(text string, usage *audioUsage) [][]byte {
	var events [][]byte
	for _, piece := range pieces(text) {
		events = append(events, event(struct {
			Type  string `json:"type"`
			Delta string `json:"delta"`
		}{"transcript.text.delta", piece}))
	}
	return append(events, event(struct {
		Type  string      `json:"type"`
		Text  string      `json:"text"`
		Usage *audioUsage `json:"usage,omitempty"`
	}{"transcript.text.done", text, usage}))
}

type verboseDoc struct {
	Task     string       `json:"task"`
	Language string       `json:"language"`
	Duration float64      `json:"duration"`
	Text     string       `json:"text"`
	Words    []wordDoc    `json:"words,omitempty"`
	Segments []segmentDoc `json:"segments"`
	Usage    *audioUsage  `json:"usage,omitempty"`
}

type wordDoc struct {
	Word  string  `json:"word"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

type segmentDoc struct {
	ID               int     `json:"id"`
	Seek             int     `json:"seek"`
	Start            float64 `json:"start"`
	End              float64 `json:"end"`
	Text             string  `json:"text"`
	Tokens           []int   `json:"tokens"`
	Temperature      float64 `json:"temperature"`
	AvgLogprob       float64 `json:"avg_logprob"`
	CompressionRatio float64 `json:"compression_ratio"`
	NoSpeechProb     float64 `json:"no_speech_prob"`
}

// document writes the transcription down in the format asked for.
func (r *transcriptionRequest) document(text string, usage *audioUsage) (contentType string, document []byte) {
	const plain = "text/plain; charset=utf-8"
	switch r.format {
	case "text":
		return plain, []byte(text + "\n")
	case "srt":
		return plain, []byte(subtitles(r.segments(text), ",", true))
	case "vtt":
		return plain, []byte("WEBVTT\n\n" + subtitles(r.segments(text), ".", false))
	case "verbose_json":
		doc := verboseDoc{Task: "transcribe", Language: cmp.Or(r.language, "portuguese"), Duration: r.seconds, Text: text, Segments: r.segments(text), Usage: usage}
		if r.translate {
			doc.Task, doc.Language = "translate", "english"
		}
		if r.words {
			doc.Words = r.timedWords(text)
		}
		return "application/json", indented(doc)
	}
	doc := struct {
		Text  string      `json:"text"`
		Usage *audioUsage `json:"usage,omitempty"`
	}{text, usage}
	if r.translate { // OpenAI's specification gives it the text alone
		doc.Usage = nil
	}
	return "application/json", indented(doc)
}

// timedWords spreads the words over the time.
func (r *transcriptionRequest) timedWords(text string) []wordDoc {
	words := strings.Fields(text)
	docs := make([]wordDoc, len(words))
	for i, word := range words {
		docs[i] = wordDoc{word, r.at(i, len(words)), r.at(i+1, len(words))}
	}
	return docs
}

// at is the time of a part of the whole, in seconds to the hundredth.
func (r *transcriptionRequest) at(part, of int) float64 {
	return math.Round(r.seconds*float64(part)/float64(max(of, 1))*100) / 100
}

func (r *transcriptionRequest) segments(text string) []segmentDoc {
	segments := []segmentDoc{}
	words := strings.Fields(text)
	for i, group := range slices.Collect(slices.Chunk(words, wordsPerSegment)) {
		first := i * wordsPerSegment
		segments = append(segments, segmentDoc{
			ID: i, Start: r.at(first, len(words)), End: r.at(first+len(group), len(words)),
			Text: " " + strings.Join(group, " "), Tokens: []int{}, AvgLogprob: -0.25, CompressionRatio: 1.4, NoSpeechProb: 0.01,
		})
	}
	return segments
}

// subtitles writes segments down as SRT or WebVTT do.
func subtitles(segments []segmentDoc, point string, numbered bool) string {
	clock := func(seconds float64) string {
		d := time.Duration(math.Round(seconds*1_000)) * time.Millisecond
		return fmt.Sprintf("%02d:%02d:%02d%s%03d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60, point, d.Milliseconds()%1_000)
	}
	var b strings.Builder
	for _, s := range segments {
		if numbered {
			fmt.Fprintf(&b, "%d\n", s.ID+1)
		}
		fmt.Fprintf(&b, "%s --> %s\n%s\n\n", clock(s.Start), clock(s.End), strings.TrimSpace(s.Text))
	}
	return b.String()
}

var englishPoints = []string{
	"Sales grew by eight percent this quarter, mostly from renewals.",
	"The delivery is expected within three working days.",
	"Please confirm who signs the contract before we send it.",
	"Support closed half of the open tickets last week.",
	"We should compare the figures with the same month of last year.",
}
