package openaitest

import (
	"math/rand/v2"
	"time"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// chat is POST /v1/chat/completions.
func (c *call) chat() {
	if c.fixed != nil {
		c.fixedChat(c.fixed)
		return
	}
	r, fail := c.parseChat(c.body)
	if fail != nil {
		c.fail(fail)
		return
	}
	seed := hash(r.model, r.seed, r.messages.Raw)
	reply := &chatReply{id: c.ids.word("chatcmpl-", 29), model: r.snapshot, created: time.Now().Unix()}
	reply.choices, reply.usage = c.generate(&r.task, seed)
	reply.usage.PromptTokens = tokenizer.CountChat(c.body)
	reply.usage.CachedTokens = c.prompts.cached(r.model, r.messages.Array(), reply.usage.PromptTokens)
	if c.behaviour.Usage != nil {
		reply.usage = *c.behaviour.Usage
	}
	c.sendChat(r, reply, rand.New(rand.NewPCG(seed, 0)))
}

// sendChat answers at the pace of the options.
func (c *call) sendChat(r *chatRequest, reply *chatReply, uneven *rand.Rand) {
	leaveUsageOut := c.behaviour.Fault == FaultNoUsage
	writing := c.writing(reply.usage, r.n)
	if !c.think(reply.usage, r.n) {
		return
	}
	if r.stream {
		events := reply.events(r.includeUsage, leaveUsageOut)
		if c.azure {
			events = append([][]byte{azurePrologue}, events...)
		}
		c.answerStream(dataEvents, events, reply.usage, writing/time.Duration(len(events)), uneven)
		return
	}
	if c.wait(writing) {
		c.answerWhole(indented(reply.completion(!leaveUsageOut)), reply.usage)
	}
}
