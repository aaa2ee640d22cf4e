package openaitest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// task is a text to be made up, by whichever endpoint it is asked for.
type task struct {
	model      string
	question   string // the text of the last user message
	n          int    // how many texts
	maxTokens  int    // of one text; 0: as many as it takes
	stops      []string
	tool       gjson.Result // the function that must be called, if any: its name and parameters
	toolForced bool         // named, rather than merely required
	format     string       // text, json_object, json_schema or ""
	schema     gjson.Result // of json_schema
	effort     string       // of reasoning
}

// generate makes up the n texts and counts their tokens: the usage is without the prompt's.
func (c *call) generate(t *task, seed uint64) (choices []chatChoice, usage Usage) {
	for i := range t.n {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		choice := chatChoice{finish: "stop"}
		thought := t.thinking(random)
		text := c.behaviour.Text
		switch {
		case t.tool.Exists():
			choice.tool = &toolCall{id: c.ids.word("call_", 24), name: t.tool.Get("name").String()}
			if !t.toolForced {
				choice.finish = "tool_calls"
			}
			text = fromSchema(t.tool.Get("parameters"), random)
		case text != "":
		case t.format == "json_schema":
			text = fromSchema(t.schema, random)
		case t.format == "json_object":
			text = jsonAnswer(random, t.question)
		default:
			text = answer(random, t.question)
		}
		tokens := t.limit(&choice, text, thought)
		usage.CompletionTokens += thought + tokens
		usage.ReasoningTokens += thought
		choices = append(choices, choice)
	}
	return choices, usage
}

// limit puts the text into the choice, ended at a stop sequence or at the token limit, of which thought is already used up.
// It returns the tokens of what is left.
func (t *task) limit(choice *chatChoice, text string, thought int) int {
	for _, stop := range t.stops {
		if choice.tool == nil {
			text, _, _ = strings.Cut(text, stop)
		}
	}
	name := 0
	if choice.tool != nil {
		name = tokenizer.Count(t.model, choice.tool.name)
	}
	if t.maxTokens > 0 {
		whole := text
		if text = tokenizer.Cut(t.model, text, t.maxTokens-thought-name); len(text) < len(whole) {
			choice.finish = "length"
		}
		name = min(name, t.maxTokens-thought)
	}
	choice.text, choice.pieces = text, pieces(text)
	if choice.tool != nil {
		choice.tool.arguments = text
	}
	return name + tokenizer.Count(t.model, text)
}

// thinking returns the hidden reasoning tokens of one choice, never more than the limit leaves.
func (t *task) thinking(random *rand.Rand) int {
	if !reasons(t.model) || t.effort == "none" || t.effort == "minimal" {
		return 0
	}
	thought := 64 * (1 + random.IntN(5))
	if t.maxTokens > 0 {
		thought = min(thought, t.maxTokens)
	}
	return thought
}

// hash is the seed of what is made up: equal for equal parts.
func hash(parts ...any) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		if raw, ok := part.([]byte); ok {
			h.Write(raw) // Fprint would write its numbers
			continue
		}
		fmt.Fprint(h, part, "\n")
	}
	return h.Sum64()
}

// generationTime is how long the generation of so many tokens takes.
func (s *Server) generationTime(tokens int) time.Duration {
	if s.opts.TokensPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(tokens) / s.opts.TokensPerSecond * float64(time.Second))
}

// think waits for what comes before the first byte of n texts. It returns false when the server is closed meanwhile.
func (c *call) think(u Usage, n int) bool {
	return c.wait(c.opts.Latency + c.generationTime(u.ReasoningTokens/n))
}

// writing is how long n texts take after their first byte; they are written at the same time.
func (c *call) writing(u Usage, n int) time.Duration {
	return c.generationTime((u.CompletionTokens - u.ReasoningTokens) / n)
}

// pieces cuts a text as a stream gives it: words with the space before them, long ones in parts.
func pieces(text string) []string {
	const longest = 12 // bytes
	var out []string
	for len(text) > 0 {
		end := len(text)
		if i := strings.IndexAny(text[1:], " \n"); i >= 0 {
			end = i + 1
		}
		if end > longest {
			for end = longest; !utf8.RuneStart(text[end]); end-- {
			}
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out
}
