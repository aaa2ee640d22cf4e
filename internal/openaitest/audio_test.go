package openaitest

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// upload posts a form with a file; fields are name=value.
func postForm(t testing.TB, s *Server, path, filename string, content []byte, fields ...string) response {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		w.WriteField(name, value)
	}
	if filename != "" {
		part, err := w.CreateFormFile("file", filename)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(content)
	}
	w.Close()
	request, err := http.NewRequest(http.MethodPost, s.URL()+path, &body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer sk-test")
	request.Header.Set("Content-Type", w.FormDataContentType())
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err = io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, string(content), err}
}

func TestTranscriptionsAreMeteredByTokensOrSeconds(t *testing.T) {
	s := start(t, Options{})
	recording := silence("wav", 12.3)
	r := postForm(t, s, "/audio/transcriptions", "a.wav", recording, "model=gpt-4o-transcribe", "prompt=reunião")
	text, usage := gjson.Get(r.body, "text").String(), gjson.Get(r.body, "usage")
	prompt, output := tokenizer.Count("gpt-4o-transcribe", "reunião"), tokenizer.Count("gpt-4o-transcribe", text)
	if r.status != 200 || text == "" || usage.Get("type").String() != "tokens" || usage.Get("input_tokens").Int() != int64(prompt+123) ||
		usage.Get("output_tokens").Int() != int64(output) || usage.Get("total_tokens").Int() != int64(prompt+123+output) ||
		usage.Get("input_token_details.audio_tokens").Int() != 123 || usage.Get("input_token_details.text_tokens").Int() != int64(prompt) {
		t.Errorf("%+v", r)
	}
	if stats := s.Stats(); stats.PromptTokens != int64(prompt+123) || stats.CompletionTokens != int64(output) {
		t.Errorf("%+v", stats)
	}
	r = postForm(t, s, "/audio/transcriptions", "a.wav", recording, "model=whisper-1")
	if usage := gjson.Get(r.body, "usage"); usage.Get("type").String() != "duration" || usage.Get("seconds").Int() != 13 || usage.Get("input_tokens").Exists() {
		t.Errorf("%+v", r)
	}
	if stats := s.Stats(); stats.Answered != 2 || stats.PromptTokens != int64(prompt+123) {
		t.Errorf("%+v", stats)
	}
}

func TestTranscriptionsComeInEveryFormat(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	for _, format := range []openai.AudioResponseFormat{"", "json", "text", "srt", "vtt", "verbose_json"} {
		s.Next(Behaviour{Text: strings.Repeat("uma palavra e outra ", 8) + "fim"})
		request := openai.AudioRequest{Model: "whisper-1", FilePath: "a.wav", Reader: bytes.NewReader(silence("wav", 9.6)), Format: format,
			TimestampGranularities: []openai.TranscriptionTimestampGranularity{"word", "segment"}}
		answer, err := client(t, s).CreateTranscription(ctx, request)
		if err != nil || !strings.Contains(answer.Text, "uma palavra") {
			t.Fatalf("%s: %+v, %v", format, answer, err)
		}
		switch format {
		case "text":
			if !strings.HasSuffix(answer.Text, "fim\n") {
				t.Errorf("%q", answer.Text)
			}
		case "srt":
			if !strings.HasPrefix(answer.Text, "1\n00:00:00,000 --> 00:00:04,360\n") || strings.Count(answer.Text, " --> ") != 3 {
				t.Errorf("%q", answer.Text)
			}
		case "vtt":
			if !strings.HasPrefix(answer.Text, "WEBVTT\n\n00:00:00.000 --> 00:00:04.360\n") {
				t.Errorf("%q", answer.Text)
			}
		case "verbose_json":
			if answer.Duration != 9.6 || answer.Task != "transcribe" || answer.Language != "portuguese" || len(answer.Words) != 33 || len(answer.Segments) != 3 ||
				answer.Segments[2].End != 9.6 || answer.Words[32].End != 9.6 {
				t.Errorf("%+v", answer)
			}
		}
	}
	request := openai.AudioRequest{Model: "whisper-1", FilePath: "a.mp3", Reader: bytes.NewReader(make([]byte, 32_000)), Format: "verbose_json"}
	answer, err := client(t, s).CreateTranslation(ctx, request)
	if err != nil || answer.Task != "translate" || answer.Language != "english" || answer.Duration != 2 {
		t.Errorf("%+v, %v", answer, err)
	}
	if r := postForm(t, s, "/audio/translations", "a.mp3", []byte("x"), "model=whisper-1"); gjson.Get(r.body, "usage").Exists() || !gjson.Get(r.body, "text").Exists() {
		t.Errorf("%+v", r)
	}
}

func TestTranscriptionsAreStreamed(t *testing.T) {
	s := start(t, Options{})
	s.Next(Behaviour{Text: "bom dia a todos"})
	r := postForm(t, s, "/audio/transcriptions", "a.mp3", []byte("x"), "model=gpt-4o-mini-transcribe", "stream=true")
	text := ""
	events := strings.Split(strings.TrimSuffix(r.body, "\n\n"), "\n\n")
	for i, e := range events {
		doc := gjson.Parse(strings.TrimPrefix(e, "data: "))
		text += doc.Get("delta").String()
		if last := i == len(events)-1; last != (doc.Get("type").String() == "transcript.text.done") || last != doc.Get("usage.total_tokens").Exists() ||
			last && doc.Get("text").String() != text {
			t.Errorf("%d: %s", i, e)
		}
	}
	if text != "bom dia a todos" || len(events) != 5 {
		t.Errorf("%q", events)
	}
	if r := postForm(t, s, "/audio/transcriptions", "a.mp3", []byte("x"), "model=whisper-1", "stream=true"); !gjson.Get(r.body, "text").Exists() {
		t.Errorf("%+v", r)
	}
}

func TestFaultyRecordingsGetErrors(t *testing.T) {
	s := start(t, Options{})
	for name, c := range map[string]struct {
		file    string
		content int
		fields  []string
		status  int
	}{
		"no file":         {"", 1, []string{"model=whisper-1"}, 400},
		"no model":        {"a.mp3", 1, nil, 400},
		"unknown model":   {"a.mp3", 1, []string{"model=ouvido-1"}, 404},
		"another file":    {"a.txt", 1, []string{"model=whisper-1"}, 400},
		"empty":           {"a.mp3", 0, []string{"model=whisper-1"}, 400},
		"too large":       {"a.mp3", maxAudioFile + 1, []string{"model=whisper-1"}, 413},
		"unknown format":  {"a.mp3", 1, []string{"model=whisper-1", "response_format=doc"}, 400},
		"format too much": {"a.mp3", 1, []string{"model=gpt-4o-transcribe", "response_format=srt"}, 400},
	} {
		if r := postForm(t, s, "/audio/transcriptions", c.file, make([]byte, c.content), c.fields...); r.status != c.status || !gjson.Get(r.body, "error.message").Exists() {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestSpeechIsSoundOfItsFormat(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	input := strings.Repeat("Bom dia. ", 10) // 90 characters, 6 seconds
	for format, want := range map[openai.SpeechResponseFormat]struct{ kind, head string }{
		"": {"audio/mpeg", "\xff\xf3\x84"}, "mp3": {"audio/mpeg", "\xff\xf3\x84"}, "wav": {"audio/wav", "RIFF"}, "pcm": {"audio/pcm", "\x00\x00"},
		"opus": {"audio/ogg", "OggS"}, "aac": {"audio/aac", "\xff\xf1"}, "flac": {"audio/flac", "fLaC"},
	} {
		answer, err := client(t, s).CreateSpeech(ctx, openai.CreateSpeechRequest{Model: "tts-1", Input: input, Voice: "alloy", ResponseFormat: format})
		if err != nil {
			t.Fatal(err)
		}
		sound, err := io.ReadAll(answer)
		answer.Close()
		if err != nil || answer.Header().Get("Content-Type") != want.kind || !bytes.HasPrefix(sound, []byte(want.head)) || len(sound) < 10_000 {
			t.Errorf("%s: %s, %d bytes, %v", format, answer.Header().Get("Content-Type"), len(sound), err)
		}
		if format == "wav" && secondsOf(sound) != 6 {
			t.Errorf("%f seconds", secondsOf(sound))
		}
	}
	if stats := s.Stats(); stats.Answered != 7 || stats.PromptTokens != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestSpeechIsStreamedWithItsUsage(t *testing.T) {
	s := start(t, Options{})
	r := post(t, s, "/audio/speech", `{"model":"gpt-4o-mini-tts","voice":"alloy","input":"Bom dia a todos","response_format":"wav","stream_format":"sse"}`)
	events := strings.Split(strings.TrimSuffix(r.body, "\n\n"), "\n\n")
	var sound []byte
	for i, e := range events {
		doc := gjson.Parse(strings.TrimPrefix(e, "data: "))
		piece, err := base64.StdEncoding.DecodeString(doc.Get("audio").String())
		sound = append(sound, piece...)
		last := i == len(events)-1
		if err != nil || last != (doc.Get("type").String() == "speech.audio.done") || len(piece) == 0 != last {
			t.Errorf("%d: %.100s", i, e)
		}
		if input := tokenizer.Count("gpt-4o-mini-tts", "Bom dia a todos"); last && (doc.Get("usage.input_tokens").Int() != int64(input) ||
			doc.Get("usage.output_tokens").Int() != 20 || doc.Get("usage.total_tokens").Int() != int64(input+20)) {
			t.Errorf("%s", e)
		}
	}
	if secondsOf(sound) != 1 || s.Stats().CompletionTokens != 20 {
		t.Errorf("%f seconds, %+v", secondsOf(sound), s.Stats())
	}
	for fields, param := range map[string]string{
		`"voice":"alloy"`: "input",
		`"input":"a"`:     "voice",
		`"input":"a","voice":"alloy","response_format":"mid"`:         "response_format",
		`"input":"a","voice":"alloy","speed":5`:                       "speed",
		`"input":"a","voice":"alloy","stream_format":"sse"`:           "stream_format",
		`"voice":"alloy","input":"` + strings.Repeat("é", 4097) + `"`: "input",
	} {
		if r := post(t, s, "/audio/speech", `{"model":"tts-1",`+fields+`}`); r.status != 400 || gjson.Get(r.body, "error.param").String() != param {
			t.Errorf("%s: %d %s", fields, r.status, r.body)
		}
	}
}
