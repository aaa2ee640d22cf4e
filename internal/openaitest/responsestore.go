package openaitest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"
)

// maxResponses bounds how many responses are stored; the oldest go first.
const maxResponses = 10_000

// responseStore keeps the responses that may be fetched or followed up.
type responseStore struct {
	mu    sync.Mutex
	byID  map[string]*storedResponse
	order []string // by age; ids of deleted ones, too
}

// storedResponse is a response as it ends. One of the background goes through "queued" and "in_progress" first.
type storedResponse struct {
	final    responseDoc
	messages []string // the conversation with the answer
	items    []string // the input
	pending  string   // the status of one that has not ended
	accepted time.Time
	usage    Usage
	count    tallies // where it counts once it is fetched in full; empty for what has counted
}

// stored makes the entry of a reply. Only one of the background is still to count.
func (reply *responseReply) stored(r *responseRequest, count tallies) *storedResponse {
	entry := &storedResponse{final: reply.final, items: r.items, messages: slices.Clip(r.messages), usage: reply.usage, accepted: time.Now()}
	for _, item := range reply.final.Output {
		if message := asMessage(gjson.ParseBytes(compact(item))); message != "" {
			entry.messages = append(entry.messages, message)
		}
	}
	if r.background && !r.stream {
		entry.pending = "queued"
		entry.count = count
	}
	return entry
}

func (s *responseStore) add(entry *storedResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]*storedResponse)
	}
	s.byID[entry.final.ID] = entry
	s.order = append(s.order, entry.final.ID)
	if len(s.order) > maxResponses {
		delete(s.byID, s.order[0])
		s.order = slices.Delete(s.order, 0, 1)
	}
}

// conversation returns the messages of a response and of all before it.
func (s *responseStore) conversation(id string) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.byID[id]
	if !ok {
		return nil, false
	}
	return entry.messages, true
}

// advance moves a response of the background on: at every fetch, or once each step has taken as long as it should.
func (e *storedResponse) advance(step time.Duration) {
	steps := 0
	switch {
	case e.pending == "":
		return
	case step > 0:
		steps = int(time.Since(e.accepted) / step)
	case e.pending == "queued":
		steps = 1
	default:
		steps = 2
	}
	switch {
	case steps >= 2:
		e.pending = ""
		if e.final.Status != "failed" || e.final.Usage != nil {
			e.count.answer(e.usage)
		}
	case steps == 1:
		e.pending = "in_progress"
	}
}

// now is the response as it is to be shown.
func (e *storedResponse) now() responseDoc {
	if e.pending != "" {
		return e.final.unfinished(e.pending)
	}
	return e.final
}

// storedResponse answers what is asked of /v1/responses/{id}, {id}/cancel and {id}/input_items.
func (c *call) storedResponse(rest string) {
	id, action, _ := strings.Cut(rest, "/")
	switch {
	case action == "" && c.ctx.IsGet():
		c.withResponse(id, func(e *storedResponse) {
			e.advance(c.opts.BackgroundStep)
			c.answerJSON(e.now())
		})
	case action == "" && c.ctx.IsDelete():
		c.withResponse(id, func(*storedResponse) {
			delete(c.responses.byID, id)
			c.answerJSON(struct {
				ID      string `json:"id"`
				Object  string `json:"object"`
				Deleted bool   `json:"deleted"`
			}{id, "response", true})
		})
	case action == "":
		c.only(fasthttp.MethodGet, nil)
	case action == "cancel":
		c.only(fasthttp.MethodPost, func() { c.withResponse(id, c.cancelResponse) })
	case action == "input_items":
		c.only(fasthttp.MethodGet, func() { c.withResponse(id, c.listItems) })
	default:
		c.fail(c.unknownAddress())
	}
}

// withResponse does something with a stored response while nobody else does.
func (c *call) withResponse(id string, do func(*storedResponse)) {
	c.responses.mu.Lock()
	defer c.responses.mu.Unlock()
	entry, ok := c.responses.byID[id]
	if !ok {
		c.fail(&apiError{status: 404, message: fmt.Sprintf("Response with id '%s' not found.", id)})
		return
	}
	do(entry)
}

// cancelResponse ends a response of the background that has not ended; one that has is answered as it is.
func (c *call) cancelResponse(e *storedResponse) {
	if !e.final.Background {
		c.fail(&apiError{status: 400, message: "Cannot cancel a synchronous response."})
		return
	}
	if c.opts.BackgroundStep > 0 {
		e.advance(c.opts.BackgroundStep)
	}
	if e.pending != "" {
		e.pending, e.final = "", e.final.unfinished("cancelled")
	}
	c.answerJSON(e.now())
}

// listItems lists a response's input, the newest first unless asked otherwise.
func (c *call) listItems(e *storedResponse) {
	query := c.ctx.QueryArgs()
	items := slices.Clone(e.items)
	if string(query.Peek("order")) != "asc" {
		slices.Reverse(items)
	}
	idOf := func(item string) string { return gjson.Get(item, "id").String() }
	if after := string(query.Peek("after")); after != "" {
		items = items[1+slices.IndexFunc(items, func(item string) bool { return idOf(item) == after }):]
	}
	list := struct {
		Object  string            `json:"object"`
		Data    []json.RawMessage `json:"data"`
		FirstID *string           `json:"first_id"`
		LastID  *string           `json:"last_id"`
		HasMore bool              `json:"has_more"`
	}{Object: "list", Data: []json.RawMessage{}}
	limit := 20
	if n, err := query.GetUint("limit"); err == nil {
		limit = min(max(n, 1), 100)
	}
	if len(items) > limit {
		items, list.HasMore = items[:limit], true
	}
	for _, item := range items {
		list.Data = append(list.Data, json.RawMessage(item))
	}
	if len(items) > 0 {
		list.FirstID, list.LastID = new(idOf(items[0])), new(idOf(items[len(items)-1]))
	}
	c.answerJSON(list)
}
