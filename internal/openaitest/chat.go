package openaitest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// chat is POST /v1/chat/completions.
func (c *call) chat() {
	if c.fixed != nil {
		c.fixedChat(c.fixed)
		return
	}
	body := c.ctx.PostBody()
	r, fail := c.parseChat(body)
	if fail != nil {
		c.fail(fail)
		return
	}
	seed := r.hash()
	reply := c.generate(r, seed)
	reply.usage.PromptTokens = tokenizer.CountChat(body)
	reply.usage.CachedTokens = c.prompts.cached(r, reply.usage.PromptTokens)
	if c.behaviour.Usage != nil {
		reply.usage = *c.behaviour.Usage
	}
	c.sendChat(r, reply, rand.New(rand.NewPCG(seed, 0)))
}

// sendChat answers at the pace of the options.
func (c *call) sendChat(r *chatRequest, reply *chatReply, uneven *rand.Rand) {
	leaveUsageOut := c.behaviour.Fault == FaultNoUsage
	writing := c.generationTime(reply.longest())
	if !c.wait(c.opts.Latency + c.generationTime(reply.usage.ReasoningTokens/r.n)) {
		return
	}
	if r.stream {
		events := reply.events(r.includeUsage, leaveUsageOut)
		c.answerStream(events, reply.usage, writing/time.Duration(len(events)), uneven)
		return
	}
	if c.wait(writing) {
		c.answerWhole(indented(reply.completion(!leaveUsageOut)), reply.usage)
	}
}

// generationTime is how long the generation of so many tokens takes.
func (s *Server) generationTime(tokens int) time.Duration {
	if s.opts.TokensPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(tokens) / s.opts.TokensPerSecond * float64(time.Second))
}

// hash is the seed of everything that is made up for a request: equal for equal messages to the same model.
func (r *chatRequest) hash() uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, r.model, "\n", r.seed, "\n", r.messages.Raw)
	return h.Sum64()
}

// generate makes up the n answers to a request and counts their tokens.
func (c *call) generate(r *chatRequest, seed uint64) *chatReply {
	reply := &chatReply{id: c.ids.word("chatcmpl-", 29), model: r.snapshot, created: time.Now().Unix()}
	for i := range r.n {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		choice := chatChoice{finish: "stop"}
		thought := r.thinking(random)
		text := c.behaviour.Text
		switch {
		case r.tool.Exists():
			choice.tool = &toolCall{id: c.ids.word("call_", 24), name: r.tool.Get("name").String()}
			if !r.toolForced {
				choice.finish = "tool_calls"
			}
			text = fromSchema(r.tool.Get("parameters"), random)
		case text != "":
		case r.format.Get("type").String() == "json_schema":
			text = fromSchema(r.format.Get("json_schema.schema"), random)
		case r.format.Get("type").String() == "json_object":
			text = jsonAnswer(random, r.question)
		default:
			text = answer(random, r.question)
		}
		tokens := c.limit(r, &choice, text, thought)
		reply.usage.CompletionTokens += thought + tokens
		reply.usage.ReasoningTokens += thought
		reply.choices = append(reply.choices, choice)
	}
	return reply
}

// limit puts the text into the choice, ended at a stop sequence or at the token limit, of which thought is already used up.
// It returns the tokens of what is left.
func (c *call) limit(r *chatRequest, choice *chatChoice, text string, thought int) int {
	for _, stop := range r.stops {
		if choice.tool == nil {
			text, _, _ = strings.Cut(text, stop)
		}
	}
	name := 0
	if choice.tool != nil {
		name = tokenizer.Count(r.model, choice.tool.name)
	}
	if r.maxTokens > 0 {
		whole := text
		if text = tokenizer.Cut(r.model, text, r.maxTokens-thought-name); len(text) < len(whole) {
			choice.finish = "length"
		}
		name = min(name, r.maxTokens-thought)
	}
	choice.text, choice.pieces = text, pieces(text)
	if choice.tool != nil {
		choice.tool.arguments = text
	}
	return name + tokenizer.Count(r.model, text)
}

// thinking returns the hidden reasoning tokens of one choice, never more than the limit leaves.
func (r *chatRequest) thinking(random *rand.Rand) int {
	if !reasons(r.model) || r.effort == "none" || r.effort == "minimal" {
		return 0
	}
	thought := 64 * (1 + random.IntN(5))
	if r.maxTokens > 0 {
		thought = min(thought, r.maxTokens)
	}
	return thought
}

// longest returns the tokens of the longest choice, roughly; the choices are written at the same time.
func (r *chatReply) longest() int {
	return (r.usage.CompletionTokens - r.usage.ReasoningTokens) / max(1, len(r.choices))
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
