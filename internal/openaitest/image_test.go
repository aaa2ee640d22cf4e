package openaitest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// decoded reads an image given in base64.
func decoded(t testing.TB, text string) (image.Rectangle, string) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	picture, format, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return picture.Bounds(), format
}

func TestImagesAreMadeAndCounted(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	request := openai.ImageRequest{Model: "gpt-image-1", Prompt: "Uma padaria ao amanhecer", N: 2, Size: "1536x1024", Quality: "low", OutputFormat: "jpeg"}
	answer, err := client(t, s).CreateImage(ctx, request)
	if err != nil || len(answer.Data) != 2 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if bounds, format := decoded(t, answer.Data[1].B64JSON); bounds.Dx() != 1536 || bounds.Dy() != 1024 || format != "jpeg" {
		t.Errorf("%v %s", bounds, format)
	}
	text := tokenizer.Count("gpt-image-1", request.Prompt)
	if u := answer.Usage; u.InputTokens != text || u.OutputTokens != 800 || u.TotalTokens != text+800 || u.InputTokensDetails.TextTokens != text {
		t.Errorf("%+v", u)
	}
	if stats := s.Stats(); stats.PromptTokens != int64(text) || stats.CompletionTokens != 800 {
		t.Errorf("%+v", stats)
	}
}

func TestDallEGivesAddressesAndNoUsage(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	answer, err := client(t, s).CreateImage(ctx, openai.ImageRequest{Model: "dall-e-3", Prompt: "um gato"})
	if err != nil || !strings.HasPrefix(answer.Data[0].URL, "https://") || answer.Data[0].RevisedPrompt == "" || answer.Usage.TotalTokens != 0 {
		t.Errorf("%+v, %v", answer, err)
	}
	answer, err = client(t, s).CreateImage(ctx, openai.ImageRequest{Prompt: "um gato", Size: "256x256", ResponseFormat: "b64_json"})
	if err != nil || answer.Data[0].URL != "" {
		t.Fatalf("%+v, %v", answer, err)
	}
	if bounds, format := decoded(t, answer.Data[0].B64JSON); bounds.Dx() != 256 || format != "png" {
		t.Errorf("%v %s", bounds, format)
	}
	if r := post(t, s, "/images/generations", `{"model":"dall-e-2","prompt":"a"}`); strings.Contains(r.body, "usage") {
		t.Errorf("%s", r.body)
	}
	if stats := s.Stats(); stats.Answered != 3 || stats.CompletionTokens != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestImagesAreEditedAndVaried(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	given := func() *bytes.Reader { return bytes.NewReader(picture("png", 1024, 512, 1)) }
	edit := openai.ImageEditRequest{Model: "gpt-image-1", Image: openai.WrapReader(given(), "a.png", "image/png"), Prompt: "mais claro", N: 1, Size: "1024x1024"}
	answer, err := client(t, s).CreateEditImage(ctx, edit)
	if err != nil || answer.Usage.InputTokensDetails.ImageTokens != inputImageBase+2*inputImageTile || answer.Usage.OutputTokens != 4160 || answer.Data[0].B64JSON == "" {
		t.Errorf("%+v, %v", answer.Usage, err)
	}
	vary := openai.ImageVariRequest{Model: "dall-e-2", Image: openai.WrapReader(given(), "a.png", "image/png"), N: 3, Size: "512x512"}
	if answer, err = client(t, s).CreateVariImage(ctx, vary); err != nil || len(answer.Data) != 3 || answer.Data[0].URL == "" {
		t.Errorf("%+v, %v", answer, err)
	}
	vary.N = 0
	vary.Image = openai.WrapReader(given(), "a.png", "image/png")
	if _, err = client(t, s).CreateVariImage(ctx, vary); status(err) != 400 {
		t.Error(err)
	}
}

func TestImageStreamsComeInParts(t *testing.T) {
	s := start(t, Options{})
	r := post(t, s, "/images/generations", `{"model":"gpt-image-1","prompt":"um gato","quality":"medium","stream":true,"partial_images":2}`)
	events := strings.Split(strings.TrimSuffix(r.body, "\n\n"), "\n\n")
	if len(events) != 3 {
		t.Fatalf("%d events", len(events))
	}
	for i, e := range events {
		name, data, _ := strings.Cut(e, "\ndata: ")
		doc := gjson.Parse(data)
		decoded(t, doc.Get("b64_json").String())
		want := "image_generation.partial_image"
		if i == 2 {
			want = "image_generation.completed"
		}
		if name != "event: "+want || doc.Get("type").String() != want || doc.Get("partial_image_index").Exists() == (i == 2) || doc.Get("usage").Exists() != (i == 2) {
			t.Errorf("%d: %s %.100s", i, name, data)
		}
		if i == 2 && doc.Get("usage.output_tokens").Int() != 1056+2*partialImageTokens {
			t.Errorf("%s", doc.Get("usage"))
		}
	}
	if stats := s.Stats(); stats.CompletionTokens != 1256 {
		t.Errorf("%+v", stats)
	}
}

func TestFaultyImageRequestsGetErrors(t *testing.T) {
	s := start(t, Options{})
	for fields, param := range map[string]string{
		`"model":"gpt-image-1"`:                                               "prompt",
		`"prompt":"a","n":11`:                                                 "n",
		`"prompt":"a","n":2,"model":"dall-e-3"`:                               "n",
		`"prompt":"a","size":"grande"`:                                        "size",
		`"prompt":"a","size":"9999x9999"`:                                     "size",
		`"prompt":"a","response_format":"xml"`:                                "response_format",
		`"prompt":"a","model":"gpt-image-1","response_format":"url"`:          "response_format",
		`"prompt":"a","stream":true`:                                          "stream",
		`"prompt":"a","model":"gpt-image-1","output_format":"gif"`:            "output_format",
		`"prompt":"a","model":"gpt-image-1","stream":true,"partial_images":4`: "partial_images",
	} {
		if r := post(t, s, "/images/generations", "{"+fields+"}"); r.status != 400 || gjson.Get(r.body, "error.param").String() != param {
			t.Errorf("%s: %d %s", fields, r.status, r.body)
		}
	}
	if r := post(t, s, "/images/edits", `{"model":"gpt-image-1"}`); r.status != 400 {
		t.Errorf("%+v", r)
	}
	for size, want := range map[string][3]int{"1024x1024": {272, 1056, 4160}, "1024x1536": {408, 1584, 6240}, "1536x1024": {400, 1568, 6208}} {
		width, height, _ := sizeOf(size)
		for i, quality := range []string{"low", "medium", "high"} {
			if got := outputImageTokens(width, height, quality); got != want[i] {
				t.Error(fmt.Sprint(size, quality, got))
			}
		}
	}
}
