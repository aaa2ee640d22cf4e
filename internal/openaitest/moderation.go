package openaitest

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
)

// moderationCategory is one of OpenAI's, with the beginnings of folded words that make a text be of it here.
type moderationCategory struct {
	name  string
	image bool // applies to images, too
	words []string
}

// moderationCategories are in OpenAI's order.
var moderationCategories = []moderationCategory{
	{"harassment", false, []string{"idiota", "imbecil", "otario", "burro", "idiot", "moron", "loser"}},
	{"harassment/threatening", false, []string{"vou te matar", "vou te bater", "i will kill you", "i will hurt you"}},
	{"sexual", true, []string{"porno", "sexo explicito", "porn", "explicit sex"}},
	{"hate", false, []string{"odeio esse povo", "raca inferior", "inferior race", "i hate those people"}},
	{"hate/threatening", false, []string{"exterminar", "exterminate"}},
	{"illicit", false, []string{"clonar cartao", "lavar dinheiro", "launder money", "shoplift"}},
	{"illicit/violent", false, []string{"fazer uma bomba", "make a bomb", "build a bomb"}},
	{"self-harm/intent", true, []string{"quero morrer", "me matar", "want to die", "kill myself"}},
	{"self-harm/instructions", true, []string{"como me matar", "how to kill myself"}},
	{"self-harm", true, []string{"suicid", "automutila", "quero morrer", "me matar", "self-harm", "kill myself"}},
	{"sexual/minors", false, nil},
	{"violence", true, []string{"matar", "esfaquear", "espancar", "kill", "stab", "vou te bater"}},
	{"violence/graphic", true, []string{"decapita", "esquarteja", "behead", "dismember"}},
}

type moderationDoc struct {
	ID      string             `json:"id"`
	Model   string             `json:"model"`
	Results []moderationResult `json:"results"`
}

type moderationResult struct {
	Flagged    bool                `json:"flagged"`
	Categories map[string]bool     `json:"categories"`
	Scores     map[string]float64  `json:"category_scores"`
	Inputs     map[string][]string `json:"category_applied_input_types,omitempty"`
}

// moderate is POST /v1/moderations, which costs nothing.
func (c *call) moderate() {
	doc, fail := parseObject(c.body, []field{{name: "model", article: "a string"}})
	if fail != nil {
		c.fail(fail)
		return
	}
	model := cmp.Or(doc.Get("model").String(), "omni-moderation-latest")
	snapshot, fail := c.resolve(model)
	if fail != nil {
		c.fail(fail)
		return
	}
	texts, fail := moderationInputs(doc.Get("input"))
	if fail != nil {
		c.fail(fail)
		return
	}
	answer := moderationDoc{ID: c.ids.word("modr-", 29), Model: snapshot}
	for _, text := range texts {
		answer.Results = append(answer.Results, judge(text, strings.HasPrefix(model, "text-")))
	}
	if c.wait(c.opts.Latency) {
		c.answerWhole(indented(answer), Usage{})
	}
}

// moderationInput is what one result is on.
type moderationInput struct {
	text   string
	images int
}

// moderationInputs takes a string, strings, or the parts of one input.
func moderationInputs(input gjson.Result) ([]moderationInput, *apiError) {
	switch {
	case input.Type == gjson.Null:
		return nil, missing("input")
	case input.Type == gjson.String:
		return []moderationInput{{text: input.Str}}, nil
	case !input.IsArray() || len(input.Array()) == 0:
		return nil, wrongType("input", "one of a string, array of strings, or array of objects", kindOf(input))
	}
	var texts []moderationInput
	var parts moderationInput
	for _, e := range input.Array() {
		switch {
		case e.Type == gjson.String:
			texts = append(texts, moderationInput{text: e.Str})
		case e.Get("type").String() == "text":
			parts.text += e.Get("text").String() + "\n"
		case e.Get("type").String() == "image_url":
			parts.images++
		default:
			return nil, invalid("input", "Invalid value for 'input'.")
		}
	}
	if len(texts) == 0 {
		texts = append(texts, parts)
	}
	return texts, nil
}

// judge scores a text. The older text models have fewer categories and do not say what they looked at.
func judge(input moderationInput, textOnly bool) moderationResult {
	result := moderationResult{Categories: map[string]bool{}, Scores: map[string]float64{}}
	if !textOnly {
		result.Inputs = map[string][]string{}
	}
	text := " " + strings.Join(strings.FieldsFunc(fold(input.text), func(r rune) bool {
		return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), " ")
	for _, category := range moderationCategories {
		if textOnly && strings.HasPrefix(category.name, "illicit") {
			continue
		}
		found := slices.ContainsFunc(category.words, func(word string) bool { return strings.Contains(text, " "+word) })
		// A little noise that is the same for the same text.
		noise := float64(hash(text, category.name)%1_000) / 1_000
		score := math.Round((noise*0.002+1e-6)*1e8) / 1e8
		if found {
			score, result.Flagged = 0.9+noise*0.09, true
		}
		result.Categories[category.name], result.Scores[category.name] = found, score
		if textOnly {
			continue
		}
		kinds := []string{}
		if input.text != "" {
			kinds = append(kinds, "text")
		}
		if input.images > 0 && category.image {
			kinds = append(kinds, "image")
		}
		result.Inputs[category.name] = kinds
	}
	return result
}
