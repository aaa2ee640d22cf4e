package tokenizer

import "strings"

// What a prompt's images, audio and files cost depends on their pixels, seconds and pages, which the request does not tell
// (it may hold a mere URL or id). Each is allowed the most that OpenAI's guides let it cost, so that what is held for
// a call covers the bill; the provider's usage settles it.
const (
	// audioReference is allowed for the id of an earlier spoken answer: the models' longest output.
	audioReference = 16_384
	// fileAllowance is allowed for a file, inlined or by id: its text and a picture of each page enter the prompt, bounded by
	// nothing but the context window, which is 128,000 tokens for most models.
	fileAllowance = 128_000
	// base64PerAudioToken is a low estimate of the base64 bytes behind one audio token: 100 ms of an 8 kbit/s MP3
	// are 100 bytes, or 133 in base64.
	base64PerAudioToken = 64
)

// imageCosts lists the most one image can cost by family of models, the more specific name first: with full detail (high,
// auto or not given) and with low. Tile models take a base and up to 8 tiles of 512 px (2048 × 768), low detail the base
// alone; patch models up to 1,536 patches of 32 px times a factor.
var imageCosts = [...]struct {
	family    string
	full, low int
}{
	{"gpt-4.1-nano", 3_779, 3_779}, // × 2.46
	{"gpt-4.1-mini", 2_489, 2_489}, // × 1.62
	{"gpt-5-nano", 3_779, 3_779},
	{"gpt-5-mini", 2_489, 2_489},
	{"o4-mini", 2_642, 2_642}, // × 1.72
	{"gpt-4o-mini", 2_833 + 8*5_667, 2_833},
	{"gpt-4o", 85 + 8*170, 85},
	{"gpt-4.1", 85 + 8*170, 85},
	{"gpt-4", 85 + 8*170, 85},
	{"gpt-5", 70 + 8*140, 70},
	{"o1", 75 + 8*150, 75},
	{"o3", 75 + 8*150, 75},
}

// unknownImageCost is allowed where the formula is not known: the dearest of those that are.
const unknownImageCost = 2_833 + 8*5_667

// imageAllowance returns the most tokens one image can cost.
func imageAllowance(model, detail string) int {
	name := strings.TrimPrefix(model[strings.LastIndexByte(model, '/')+1:], "ft:")
	for _, cost := range imageCosts {
		rest, ok := strings.CutPrefix(name, cost.family)
		if !ok || rest != "" && rest[0] != '-' && rest[0] != ':' {
			continue
		}
		if detail == "low" {
			return cost.low
		}
		return cost.full
	}
	return unknownImageCost
}

// audioAllowance returns the most tokens that n bytes of base64 audio can cost.
func audioAllowance(n int) int {
	return 1 + n/base64PerAudioToken
}
