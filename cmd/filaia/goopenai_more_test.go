package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"testing"

	openai "github.com/sashabaranov/go-openai"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// goResponse asks the Responses API for an answer of twenty tokens.
func goResponse(more string) openai.CreateResponseRequest {
	return openai.CreateResponseRequest{Model: goModel, Input: "Quantos pães cabem no forno?" + more, MaxOutputTokens: 20}
}

// readGoResponse reads a streamed response to its end; an error comes as an event.
func (c *goCase) readGoResponse(request openai.CreateResponseRequest) (text string, last openai.ResponseStreamEvent, err error) {
	stream, err := c.client.CreateResponseStream(c.ctx, request)
	if err != nil {
		return "", last, err
	}
	defer stream.Close()
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return text, last, nil
		}
		if err != nil {
			return text, last, err
		}
		last = event
		if event.Type == openai.ResponseStreamEventOutputTextDelta {
			text += event.Delta
		}
	}
}

func TestGoOpenAIUsesTheResponsesAPI(t *testing.T) {
	c := newGoCase(t, openaitest.Options{})
	whole, err := c.client.CreateResponse(c.ctx, goResponse(""))
	if err != nil {
		t.Fatal(err)
	}
	if whole.Status != openai.ResponseStatusIncomplete || whole.Usage.OutputTokens != 20 || whole.Usage.InputTokens == 0 || whole.GetOutputText() == "" {
		t.Errorf("whole: %+v", whole)
	}
	text, last, err := c.readGoResponse(goResponse(""))
	if err != nil || text != whole.GetOutputText() || last.Type != openai.ResponseStreamEventIncomplete || last.Response.Usage.OutputTokens != 20 {
		t.Errorf("stream: %q %+v %v", text, last, err)
	}
	next := goResponse(" E no maior?")
	next.PreviousResponseID = whole.ID
	if continued, err := c.client.CreateResponse(c.ctx, next); err != nil || continued.PreviousResponseID != whole.ID {
		t.Errorf("continued: %+v %v", continued, err)
	}
	if found, err := c.client.RetrieveResponse(c.ctx, whole.ID); err != nil || found.GetOutputText() != whole.GetOutputText() {
		t.Errorf("retrieved: %+v %v", found, err)
	}
	if items, err := c.client.ListResponseInputItems(c.ctx, whole.ID); err != nil || len(items.Data) != 1 || items.HasMore {
		t.Errorf("input items: %+v %v", items, err)
	}
	var refused *openai.APIError
	if _, err := c.client.CancelResponse(c.ctx, whole.ID); !errors.As(err, &refused) || refused.HTTPStatusCode != 400 {
		t.Errorf("a whole response was cancelled: %v", err)
	}
	if gone, err := c.client.DeleteResponse(c.ctx, whole.ID); err != nil || !gone.Deleted {
		t.Errorf("deleted: %+v %v", gone, err)
	}
	if _, err := c.client.RetrieveResponse(c.ctx, whole.ID); !errors.As(err, &refused) || refused.HTTPStatusCode != 404 {
		t.Errorf("retrieved after it was deleted: %v", err)
	}

	later := goResponse("")
	later.Background = true
	begun, err := c.client.CreateResponse(c.ctx, later)
	if err != nil || begun.Status != openai.ResponseStatusQueued {
		t.Fatalf("background: %+v %v", begun, err)
	}
	eventually(t, "the response of the background ends", func() bool {
		now, err := c.client.RetrieveResponse(c.ctx, begun.ID)
		return err == nil && now.Status == openai.ResponseStatusIncomplete && now.GetOutputText() == whole.GetOutputText()
	})
	c.balances(c.provider)
}

func TestGoOpenAIUsesImagesAudioAndModerations(t *testing.T) {
	c := newGoCase(t, openaitest.Options{})
	judged, err := c.client.Moderations(c.ctx, openai.ModerationRequest{Input: "vou te matar", Model: openai.ModerationOmniLatest})
	if err != nil || len(judged.Results) != 1 || !judged.Results[0].Flagged {
		t.Errorf("moderation: %+v %v", judged, err)
	}
	drawn, err := c.client.CreateImage(c.ctx, openai.ImageRequest{Model: openai.CreateImageModelGptImage1, Prompt: "Um pão", Quality: "low"})
	if err != nil {
		t.Fatal(err)
	}
	png, err := base64.StdEncoding.DecodeString(drawn.Data[0].B64JSON)
	if err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) || drawn.Usage.OutputTokens == 0 {
		t.Errorf("image: %d bytes %+v %v", len(png), drawn.Usage, err)
	}
	edited, err := c.client.CreateEditImage(c.ctx, openai.ImageEditRequest{Model: openai.CreateImageModelGptImage1, Prompt: "Dois pães", N: 1, Quality: "low",
		Image: openai.WrapReader(bytes.NewReader(png), "pão.png", "image/png")})
	if err != nil || edited.Usage.InputTokensDetails.ImageTokens == 0 {
		t.Errorf("edited image: %+v %v", edited.Usage, err)
	}

	spoken, err := c.client.CreateSpeech(c.ctx, openai.CreateSpeechRequest{Model: openai.TTSModel1, Voice: openai.VoiceAlloy, Input: "Quantos pães?",
		ResponseFormat: openai.SpeechResponseFormatWav})
	if err != nil {
		t.Fatal(err)
	}
	defer spoken.Close()
	sound, err := io.ReadAll(spoken)
	if err != nil || !bytes.HasPrefix(sound, []byte("RIFF")) {
		t.Fatalf("speech: %d bytes %v", len(sound), err)
	}
	written, err := c.client.CreateTranscription(c.ctx, openai.AudioRequest{Model: "gpt-4o-transcribe", FilePath: "fala.wav", Reader: bytes.NewReader(sound)})
	if err != nil || written.Text == "" {
		t.Errorf("transcription: %+v %v", written, err)
	}
	c.balances(c.provider)
}
