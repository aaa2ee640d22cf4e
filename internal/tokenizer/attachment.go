package tokenizer

import (
	"strings"

	"github.com/tidwall/gjson"
)

// What a prompt's images, audio, files and searches cost depends on their pixels, seconds, pages and finds, which the request
// does not tell (it may hold a mere URL or id). Each image and each sound is allowed the most that OpenAI's guides let it
// cost, so that what is held for a call covers the bill. Files and searches have no such bound short of the context window:
// a million tokens for a one-page PDF would be refused by every plan, so that they are allowed a fixed amount. The
// provider's usage settles the call, and what it took beyond the hold is recorded as overrun.
const (
	// audioReference is allowed for the id of an earlier spoken answer: the models' longest output.
	audioReference = 16_384
	// fileAllowance is allowed for a file, inlined or by id, whose text and a picture of each page enter the prompt: about
	// 100 pages, the window of most models. All files of a call share the model's window.
	fileAllowance = 128_000
	// webSearchAllowance is allowed for what a search finds: the block that OpenAI charges for one with its small models.
	webSearchAllowance = 8_000
	// maxToolCalls is how many calls of the provider's own tools are allowed for where the caller permits more.
	maxToolCalls = 8
	// storedItemAllowance is allowed for an item of an earlier response that only its id stands for: a long answer.
	storedItemAllowance = 4_096
	// base64PerAudioToken is a low estimate of the base64 bytes behind one audio token: 100 ms of an 8 kbit/s MP3
	// are 100 bytes, or 133 in base64.
	base64PerAudioToken = 64
)

// costs is what the attachments of one family of models can cost at most.
type costs struct {
	family string
	// An image with full detail (high, auto or not given) and with low. Tile models take a base and up to 8 tiles of 512 px
	// (2048 × 768), low detail the base alone; patch models up to 1,536 patches of 32 px times a factor.
	image, lowImage int
	// window is the largest context of the family, in tokens.
	window int
}

// families lists them, the more specific name first.
var families = [...]costs{
	{"gpt-4.1-nano", 3_779, 3_779, 1_047_576}, // × 2.46
	{"gpt-4.1-mini", 2_489, 2_489, 1_047_576}, // × 1.62
	{"gpt-5-nano", 3_779, 3_779, 400_000},
	{"gpt-5-mini", 2_489, 2_489, 400_000},
	{"o4-mini", 2_642, 2_642, 200_000}, // × 1.72
	{"gpt-4o-mini", 2_833 + 8*5_667, 2_833, 128_000},
	{"gpt-4o", 85 + 8*170, 85, 128_000},
	{"gpt-4.1", 85 + 8*170, 85, 1_047_576},
	{"gpt-4", 85 + 8*170, 85, 128_000},
	{"gpt-5", 70 + 8*140, 70, 400_000},
	{"o1", 75 + 8*150, 75, 200_000},
	{"o3", 75 + 8*150, 75, 200_000},
}

// unknownFamily is allowed where the formula is not known: the dearest of those that are.
var unknownFamily = costs{image: 2_833 + 8*5_667, lowImage: 2_833 + 8*5_667, window: 1_047_576}

func costsOf(model string) costs {
	name := strings.TrimPrefix(model[strings.LastIndexByte(model, '/')+1:], "ft:")
	for _, c := range families {
		if rest, ok := strings.CutPrefix(name, c.family); ok && (rest == "" || rest[0] == '-' || rest[0] == ':') {
			return c
		}
	}
	return unknownFamily
}

// imageAllowance returns the most tokens one image can cost.
func imageAllowance(model string, low bool) int {
	c := costsOf(model)
	if low {
		return c.lowImage
	}
	return c.image
}

// lowDetail tells whether an image is asked for in low detail and in no other: which of two the provider takes is not known.
func lowDetail(image gjson.Result) bool {
	low, other := false, false
	image.ForEach(func(key, value gjson.Result) bool {
		if key.Str == "detail" {
			isLow := value.Type == gjson.String && value.Str == "low"
			low, other = low || isLow, other || !isLow
		}
		return true
	})
	return low && !other
}

// audioBytes returns the base64 bytes of a sound, and a few more.
func audioBytes(audio gjson.Result) int {
	n := 0
	audio.ForEach(func(key, value gjson.Result) bool {
		if key.Str == "data" {
			n += len(value.Raw)
		}
		return true
	})
	return n
}

// audioAllowance returns the most tokens that n bytes of base64 audio can cost.
func audioAllowance(n int) int {
	return 1 + n/base64PerAudioToken
}

// filesAllowance returns what n files of one call are allowed.
func filesAllowance(model string, n int) int {
	return min(n*fileAllowance, costsOf(model).window)
}

// hostedAllowance returns what the provider's own tools are allowed to put into a call: a block for each call of one. The
// caller's limit of them is for all tools together; where there is none, each tool is allowed one.
func hostedAllowance(model string, tools, calls int) int {
	if tools == 0 {
		return 0
	}
	if calls == 0 {
		calls = tools
	}
	return min(min(calls, maxToolCalls)*webSearchAllowance, costsOf(model).window)
}
