package openaitest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"
)

func TestStatsAddUpWhatClientsSaw(t *testing.T) {
	s := start(t, Options{Group: ByUser})
	var (
		mu   sync.Mutex
		all  sync.WaitGroup
		want = Stats{Groups: map[string]Totals{}}
	)
	for worker := range 8 {
		all.Go(func() {
			for i := range 25 {
				user := fmt.Sprint("tenant-", (worker+i)%3)
				body := fmt.Sprintf(`{"user":%q,"stream":%t,"model":"gpt-4.1-nano","stream_options":%s,"messages":[{"role":"user","content":"%d"}]}`,
					user, i%2 == 0, [2]string{"{\"include_usage\":true}", "null"}[i%2], i)
				r, err := send(s, http.MethodPost, "/chat/completions", body, "Bearer sk-test")
				if err != nil || r.status != 200 {
					t.Errorf("%+v, %v", r, err)
					return
				}
				usage := usageOf(r.body)
				mu.Lock()
				for _, t := range []*Totals{&want.Totals} {
					addTo(t, usage)
				}
				group := want.Groups[user]
				addTo(&group, usage)
				want.Groups[user] = group
				mu.Unlock()
			}
		})
	}
	all.Wait()
	got := s.Stats()
	if got.Totals != want.Totals || len(got.Groups) != 3 || got.Requests != 200 {
		t.Errorf("%+v, want %+v", got.Totals, want.Totals)
	}
	for user, totals := range want.Groups {
		if got.Groups[user] != totals {
			t.Errorf("%s: %+v, want %+v", user, got.Groups[user], totals)
		}
	}
}

// usageOf finds the usage in an answer, streamed or not.
func usageOf(body string) gjson.Result {
	if usage := gjson.Get(body, "usage"); usage.IsObject() {
		return usage
	}
	events := strings.Split(body, "\n\n")
	return gjson.Get(strings.TrimPrefix(events[len(events)-3], "data: "), "usage")
}

func addTo(t *Totals, usage gjson.Result) {
	t.Requests++
	t.Answered++
	t.PromptTokens += usage.Get("prompt_tokens").Int()
	t.CompletionTokens += usage.Get("completion_tokens").Int()
}

func TestGroupsFollowKeyHeaderOrUser(t *testing.T) {
	for name, c := range map[string]struct {
		group func(*Request) string
		want  string
	}{
		"key":    {ByKey, "Bearer sk-test"},
		"header": {ByHeader("Content-Length"), fmt.Sprint(len(hello))},
		"user":   {ByUser, ""},
	} {
		s := start(t, Options{Group: c.group})
		post(t, s, "/chat/completions", hello)
		groups := s.Stats().Groups
		if _, ok := groups[c.want]; ok != (c.want != "") || len(groups) > 1 {
			t.Errorf("%s: %+v", name, groups)
		}
	}
}

func TestAbandonedStreamsCountAsCut(t *testing.T) {
	s := start(t, Options{TokensPerSecond: 40})
	s.Next(Behaviour{Text: strings.Repeat("palavra ", 500)})
	ctx, leave := context.WithCancel(context.Background())
	stream, err := client(t, s).CreateChatCompletionStream(ctx, ask("oi"))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	leave()
	until(t, "the stream is over", func() bool { return s.Stats().Cut == 1 })
	if stats := s.Stats(); stats.Answered != 0 || stats.CompletionTokens != 0 {
		t.Errorf("%+v", stats)
	}
}
