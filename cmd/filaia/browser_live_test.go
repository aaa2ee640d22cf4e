package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"
)

// prompt is long enough for a call to move a bar by some percent.
var prompt = strings.Repeat("Quantos pães cabem no forno? ", 40)

// calls adds up what calls used, by the provider's word.
type calls struct {
	Requests, Input, Output int64
}

// call asks the gateway as a customer's program does, with go-openai.
func call(s *server, key string) (openai.Usage, error) {
	config := openai.DefaultConfig(key)
	config.BaseURL = s.url() + "/v1"
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := openai.NewClientWithConfig(config).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model: "gpt-4.1-nano", MaxCompletionTokens: 60,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}},
	})
	return answer.Usage, err
}

// make makes a call that must work.
func (c *calls) make(s *server, key string) {
	s.t.Helper()
	used, err := call(s, key)
	if err != nil {
		s.t.Fatalf("the call failed: %v", err)
	}
	c.Requests++
	c.Input += int64(used.PromptTokens)
	c.Output += int64(used.CompletionTokens)
}

// usagePage is what a page of usage shows, read from what it draws.
type usagePage struct {
	Figures calls     // the cards on top
	Chart   calls     // what the chart draws; it knows no requests
	Table   int64     // the tokens in the table behind the chart
	Used    []int64   // of input and output, in the words beside the bars
	Bars    []float64 // how much of the bars is filled, in percent
}

// shown reads a page of usage.
const shown = `(() => {
	const number = text => Number((text || "").replace(/\D/g, ""));
	const sum = list => list.reduce((a, b) => a + b, 0);
	const all = selector => [...document.querySelectorAll(selector)];
	const figures = all("[data-part=figures] .stat-value").map(e => number(e.title));
	const [input, output] = echarts.getInstanceByDom(document.querySelector("[data-chart]")).getOption().series.map(s => sum(s.data));
	const meters = all("[data-part=quotas] .token-meter, [data-part=remaining] .remaining-kinds > div");
	return {
		figures: {requests: figures[0], input: figures[1], output: figures[2]},
		chart: {input, output},
		table: sum(all("[data-chart-table] tbody tr").map(row => number(row.lastElementChild.textContent))),
		used: meters.map(m => number(m.querySelector("svg").getAttribute("aria-label").match(/[\d.,]+/)[0])),
		bars: meters.map(m => parseFloat(m.querySelector(".meter-fill").getAttribute("width"))),
	};
})()`

// awaitUsage waits until the page shows exactly these calls, in everything it draws, and tells how long that took. The
// page must not have been loaded anew since mark.
func (b *tab) awaitUsage(what string, want calls, limits [2]int64) {
	b.t.Helper()
	began := time.Now()
	var last string
	reached := func() bool {
		got, err := tryRead[usagePage](b, shown)
		last = fmt.Sprintf("%+v %v", got, err)
		return err == nil && got.tells(want, limits)
	}
	for deadline := began.Add(patience); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: waited in vain for %+v; the page shows %s", what, want, last)
		}
	}
	b.t.Logf("%s: up to date after %s", what, time.Since(began).Round(time.Millisecond))
	if !read[bool](b, `window.marked === true`) {
		b.t.Errorf("%s: the page was loaded anew", what)
	}
}

// mark lets awaitUsage see that the page stays, and waits for its stream, so that what is measured is the way of a call.
func (b *tab) mark() {
	b.t.Helper()
	b.await("the stream", `(window.marked = true) && document.querySelector("[data-stream]") &&
		!document.querySelector("[data-stream-state][hidden], [data-stream-state].lost")`)
}

func (p usagePage) tells(want calls, limits [2]int64) bool {
	drawn := calls{Input: want.Input, Output: want.Output}
	if p.Figures != want || p.Chart != drawn || p.Table != want.Input+want.Output || len(p.Used) != 2 || len(p.Bars) != 2 {
		return false
	}
	for i, used := range []int64{want.Input, want.Output} {
		filled := 100 * float64(used) / float64(limits[i])
		if p.Used[i] != used || p.Bars[i] < filled-0.01 || p.Bars[i] > filled+0.01 {
			return false
		}
	}
	return true
}

// refusedSoon calls until the key is refused, which must be soon after it was revoked.
func refusedSoon(t *testing.T, s *server, key string) {
	t.Helper()
	began, passed := time.Now(), 0
	within(t, patience, "the revoked key is refused", func() bool {
		_, err := call(s, key)
		var refused *openai.APIError
		switch {
		case err == nil:
			passed++
			return false
		case errors.As(err, &refused) && refused.HTTPStatusCode == http.StatusUnauthorized && refused.Code == "invalid_api_key":
			return true
		case refused != nil && refused.HTTPStatusCode == http.StatusTooManyRequests: // so many passed that the plan is used up
			return false
		}
		t.Fatalf("the revoked key was answered %v", err)
		return true
	})
	t.Logf("the revoked key was refused after %s; %d calls passed before", time.Since(began).Round(time.Millisecond), passed)
}
