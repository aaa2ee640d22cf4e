package openaitest

import (
	"math/rand/v2"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// respond is POST /v1/responses.
func (c *call) respond() {
	r, fail := c.parseResponse(c.body)
	if fail != nil {
		c.fail(fail)
		return
	}
	reply := c.makeResponse(r)
	if r.store {
		c.responses.add(reply.stored(r, c.count))
	}
	switch {
	case r.background && !r.stream:
		c.acceptResponse(reply)
	case r.stream:
		c.streamResponse(r, reply)
	default:
		if c.think(reply.usage, 1) && c.wait(c.writing(reply.usage, 1)) {
			c.answerResponse(reply)
		}
	}
}

// responseReply is a generated response: how it ends, and what a stream tells on the way there.
type responseReply struct {
	final  responseDoc
	items  []any // what is put out, even where the response fails later
	choice chatChoice
	usage  Usage
	cut    bool // ended without a usage, so that it does not count as answered
}

// makeResponse makes a response up.
func (c *call) makeResponse(r *responseRequest) *responseReply {
	choices, usage := c.generate(&r.task, hash(r.model, r.chat))
	usage.PromptTokens = tokenizer.CountChat(r.chat)
	usage.CachedTokens = c.prompts.cached(r.model, gjson.GetBytes(r.chat, "messages").Array(), usage.PromptTokens)
	if c.behaviour.Usage != nil {
		usage = *c.behaviour.Usage
	}
	reply := &responseReply{choice: choices[0], usage: usage, final: r.document(c.ids.hex("resp_"), time.Now().Unix())}
	doc := &reply.final
	if c.behaviour.Fault == FaultFailed {
		reply.cut, reply.items = c.behaviour.Usage == nil, c.outputItems(&reply.choice, usage.ReasoningTokens > 0, "completed")
		doc.Status, doc.Error = "failed", &responseError{Code: "server_error", Message: serverError().message}
		if !reply.cut {
			doc.Usage = usage.response()
		}
		return reply
	}
	doc.Status, doc.CompletedAt = "completed", new(time.Now().Unix())
	if reply.choice.finish == "length" {
		doc.Status, doc.CompletedAt = "incomplete", nil
		doc.IncompleteDetails = &incompleteDetails{Reason: "max_output_tokens"}
	}
	reply.items = c.outputItems(&reply.choice, usage.ReasoningTokens > 0, doc.Status)
	doc.Output = reply.items
	if c.behaviour.Fault != FaultNoUsage {
		doc.Usage = usage.response()
	}
	return reply
}

// answerResponse answers a response that is not streamed.
func (c *call) answerResponse(reply *responseReply) {
	if !reply.cut {
		c.answerWhole(indented(reply.final), reply.usage)
		return
	}
	c.count.cut(reply.usage)
	c.answerJSON(reply.final)
}

// acceptResponse answers at once that a response will come. It counts as answered when it is fetched in full.
func (c *call) acceptResponse(reply *responseReply) {
	doc := reply.final.unfinished("queued")
	switch c.behaviour.Fault {
	case NoFault, FaultNoUsage, FaultFailed:
		c.answerJSON(doc)
	default:
		c.answerWhole(indented(doc), Usage{})
	}
}

func (c *call) streamResponse(r *responseRequest, reply *responseReply) {
	if !c.think(reply.usage, 1) {
		return
	}
	uneven := rand.New(rand.NewPCG(hash(r.chat), 0))
	events := reply.events(r, uneven)
	pause := c.writing(reply.usage, 1) / time.Duration(len(events))
	if c.behaviour.Fault != FaultFailed {
		c.answerStream(responseEvents, events, reply.usage, pause, uneven)
		return
	}
	after := min(max(c.behaviour.After, 0), len(events)-1)
	end := &responseEvent{Type: "response.failed", SequenceNumber: after, Response: &reply.final}
	ending := endWhole
	if reply.cut {
		ending = endCut
	}
	c.sendStream(responseEvents, append(events[:after], end.encode()), ending, reply.usage, pause, uneven)
}

// countResponse is POST /v1/responses/input_tokens.
func (c *call) countResponse() {
	r, fail := c.parseResponse(c.body)
	if fail != nil {
		c.fail(fail)
		return
	}
	c.answerJSON(struct {
		Object      string `json:"object"`
		InputTokens int    `json:"input_tokens"`
	}{"response.input_tokens", tokenizer.CountChat(r.chat)})
}
