package openaitest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// imageRequest is what the server understands of a request for images, made from a prompt or from other images.
type imageRequest struct {
	model, prompt     string
	n                 int
	size, quality     string
	format            string // png, jpeg or webp
	background        string
	asURL             bool
	stream            bool
	partials          int
	inputs            []upload
	event             string // what a stream's events begin with
	metered, describe bool   // the model reports its usage; the model rewrites prompts
}

// maxImages is how many images one request may ask for.
const maxImages = 10

var imageFields = []field{
	userField, streamField,
	{name: "model", article: "a string"},
	{name: "prompt", article: "a string"},
	{name: "n", article: "an integer", low: 1, high: maxImages},
	{name: "partial_images", article: "an integer", low: 0, high: 3},
	{name: "size", article: "a string"},
}

// generateImages is POST /v1/images/generations.
func (c *call) generateImages() {
	doc, fail := parseObject(c.body, imageFields)
	if fail != nil {
		c.fail(fail)
		return
	}
	r := &imageRequest{
		model: doc.Get("model").String(), prompt: doc.Get("prompt").String(), n: max(1, int(doc.Get("n").Int())),
		stream: doc.Get("stream").Bool(), partials: int(doc.Get("partial_images").Int()), event: "image_generation",
	}
	if doc.Get("prompt").Type == gjson.Null {
		c.fail(missing("prompt"))
		return
	}
	c.images(r, func(name string) string { return doc.Get(name).String() })
}

// editImages is POST /v1/images/edits.
func (c *call) editImages() { c.imagesFromForm("image_edit", true) }

// varyImages is POST /v1/images/variations.
func (c *call) varyImages() { c.imagesFromForm("image_variation", false) }

func (c *call) imagesFromForm(event string, prompted bool) {
	f, fail := c.readForm()
	if fail != nil {
		c.fail(fail)
		return
	}
	r := &imageRequest{model: f.get("model"), prompt: f.get("prompt"), stream: f.get("stream") == "true", event: event}
	if r.inputs, fail = f.files("image"); fail == nil {
		r.n, fail = f.count("n", maxImages)
	}
	if fail == nil && f.get("partial_images") != "" && f.get("partial_images") != "0" {
		r.partials, fail = f.count("partial_images", 3)
	}
	if fail == nil && prompted && r.prompt == "" {
		fail = missing("prompt")
	}
	if fail != nil {
		c.fail(fail)
		return
	}
	c.images(r, f.get)
}

// complete reads what is common to all requests for images; get returns a field or "".
func (r *imageRequest) complete(get func(string) string) *apiError {
	r.model = cmp.Or(r.model, "dall-e-2")
	r.metered, r.describe = !strings.HasPrefix(r.model, "dall-e"), r.model == "dall-e-3"
	r.size, r.quality = cmp.Or(get("size"), "auto"), cmp.Or(get("quality"), "auto")
	r.format, r.background = cmp.Or(get("output_format"), "png"), cmp.Or(get("background"), "auto")
	if _, _, ok := sizeOf(r.size); !ok {
		return invalid("size", fmt.Sprintf("Invalid value: '%s'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'.", r.size))
	}
	if !slices.Contains([]string{"png", "jpeg", "webp"}, r.format) {
		return invalid("output_format", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'png', 'jpeg', and 'webp'.", r.format))
	}
	switch response := get("response_format"); {
	case r.metered && response != "":
		return &apiError{status: 400, param: "response_format", code: "unknown_parameter", message: "Unknown parameter: 'response_format'."}
	case r.stream && !r.metered:
		return invalid("stream", "Streaming is not supported for this model.")
	case r.describe && r.n > 1:
		return outOfRange("n", "an integer", "above maximum", "<= 1", fmt.Sprint(r.n))
	case !slices.Contains([]string{"", "url", "b64_json"}, response):
		return invalid("response_format", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'url' and 'b64_json'.", response))
	default:
		r.asURL = !r.metered && response != "b64_json"
	}
	return nil
}

type imagesDoc struct {
	Created      int64       `json:"created"`
	Background   string      `json:"background,omitempty"`
	Data         []imageDoc  `json:"data"`
	OutputFormat string      `json:"output_format,omitempty"`
	Quality      string      `json:"quality,omitempty"`
	Size         string      `json:"size,omitempty"`
	Usage        *imageUsage `json:"usage,omitempty"`
}

type imageDoc struct {
	RevisedPrompt string `json:"revised_prompt,omitempty"`
	URL           string `json:"url,omitempty"`
	B64JSON       string `json:"b64_json,omitempty"`
}

// imageUsage is Usage as images show it.
type imageUsage struct {
	InputTokens   int           `json:"input_tokens"`
	InputDetails  imageTokenDoc `json:"input_tokens_details"`
	OutputTokens  int           `json:"output_tokens"`
	OutputDetails imageTokenDoc `json:"output_tokens_details"`
	TotalTokens   int           `json:"total_tokens"`
}

type imageTokenDoc struct {
	ImageTokens int `json:"image_tokens"`
	TextTokens  int `json:"text_tokens"`
}

// imageEvent is an event of a stream of images.
type imageEvent struct {
	Type              string      `json:"type"`
	B64JSON           string      `json:"b64_json"`
	CreatedAt         int64       `json:"created_at"`
	Size              string      `json:"size"`
	Quality           string      `json:"quality"`
	Background        string      `json:"background"`
	OutputFormat      string      `json:"output_format"`
	PartialImageIndex *int        `json:"partial_image_index,omitempty"`
	Usage             *imageUsage `json:"usage,omitempty"`
}

// images answers a request for images.
func (c *call) images(r *imageRequest, get func(string) string) {
	fail := r.complete(get)
	if fail == nil {
		_, fail = c.resolve(r.model)
	}
	if fail != nil {
		c.fail(fail)
		return
	}
	usage, doc := r.usage()
	if c.behaviour.Usage != nil {
		usage = *c.behaviour.Usage
		doc = imageUsage{InputTokens: usage.PromptTokens, OutputTokens: usage.CompletionTokens, TotalTokens: usage.PromptTokens + usage.CompletionTokens,
			InputDetails: imageTokenDoc{TextTokens: usage.PromptTokens}, OutputDetails: imageTokenDoc{ImageTokens: usage.CompletionTokens}}
	}
	shown := &doc
	if !r.metered {
		usage = Usage{}
	}
	if !r.metered || c.behaviour.Fault == FaultNoUsage {
		shown = nil
	}
	if !c.wait(c.opts.Latency) {
		return
	}
	if r.stream {
		c.answerStream(namedEvents, r.events(shown), usage, 0, nil)
		return
	}
	c.answerWhole(indented(c.imagesDoc(r, shown)), usage)
}

func (c *call) imagesDoc(r *imageRequest, usage *imageUsage) imagesDoc {
	doc := imagesDoc{Created: time.Now().Unix(), Usage: usage}
	if r.metered {
		doc.Size, doc.Quality = r.drawn()
		doc.Background, doc.OutputFormat = r.shownBackground(), r.format
	}
	for i := range r.n {
		var one imageDoc
		if r.describe {
			one.RevisedPrompt = cmp.Or(c.behaviour.Text, r.prompt)
		}
		if r.asURL {
			one.URL = "https://images.simulator.invalid/" + c.ids.word("img-", 24) + ".png"
		} else {
			one.B64JSON = r.draw(i)
		}
		doc.Data = append(doc.Data, one)
	}
	return doc
}

// events is the answer as a stream: the unfinished images and then the image.
func (r *imageRequest) events(usage *imageUsage) [][]byte {
	var events [][]byte
	size, quality := r.drawn()
	emit := func(kind string, image int, e imageEvent) {
		e.Type, e.B64JSON, e.CreatedAt = r.event+"."+kind, r.draw(image), time.Now().Unix()
		e.Size, e.Quality, e.Background, e.OutputFormat = size, quality, r.shownBackground(), r.format
		events = append(events, namedEvent(e.Type, e))
	}
	for i := range r.partials {
		emit("partial_image", i+1, imageEvent{PartialImageIndex: &i})
	}
	emit("completed", 0, imageEvent{Usage: usage})
	return events
}

// drawn returns the size and quality that "auto" stands for.
func (r *imageRequest) drawn() (size, quality string) {
	width, height, _ := sizeOf(r.size)
	quality = r.quality
	if quality == "auto" {
		quality = "high"
	}
	return fmt.Sprintf("%dx%d", width, height), quality
}

func (r *imageRequest) shownBackground() string {
	if r.background == "auto" {
		return "opaque"
	}
	return r.background
}

// draw returns the image of a number in base64.
func (r *imageRequest) draw(number int) string {
	width, height, _ := sizeOf(r.size)
	return base64.StdEncoding.EncodeToString(picture(r.format, width, height, hash(r.model, r.prompt, number)))
}

// usage is what the images cost: the prompt's text, the images given, and the images made.
func (r *imageRequest) usage() (Usage, imageUsage) {
	var doc imageUsage
	doc.InputDetails.TextTokens = tokenizer.Count(r.model, r.prompt)
	for _, input := range r.inputs {
		doc.InputDetails.ImageTokens += inputImageTokens(input.content)
	}
	width, height, _ := sizeOf(r.size)
	_, quality := r.drawn()
	doc.OutputDetails.ImageTokens = r.n * outputImageTokens(width, height, quality)
	if r.stream {
		doc.OutputDetails.ImageTokens += r.partials * partialImageTokens
	}
	doc.InputTokens = doc.InputDetails.TextTokens + doc.InputDetails.ImageTokens
	doc.OutputTokens = doc.OutputDetails.ImageTokens
	doc.TotalTokens = doc.InputTokens + doc.OutputTokens
	return Usage{PromptTokens: doc.InputTokens, CompletionTokens: doc.OutputTokens}, doc
}
