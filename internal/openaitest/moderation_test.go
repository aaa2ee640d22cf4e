package openaitest

import (
	"context"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
)

func TestModerationsFlagWhatTheySay(t *testing.T) {
	s, ctx := start(t, Options{}), context.Background()
	for text, want := range map[string]openai.ResultCategories{
		"Como vão as vendas? Quero comprar mil.": {},
		"Você é um IDIOTA!":                      {Harassment: true},
		"Eu quero morrer":                        {SelfHarm: true, SelfHarmIntent: true},
		"They kill people":                       {Violence: true},
		"a rare skill":                           {},
	} {
		answer, err := client(t, s).Moderations(ctx, openai.ModerationRequest{Input: text})
		if err != nil || len(answer.Results) != 1 || answer.Results[0].Categories != want || answer.Results[0].Flagged != (want != openai.ResultCategories{}) {
			t.Errorf("%q: %+v, %v", text, answer, err)
		}
		if score := answer.Results[0].CategoryScores.Violence; (score > 0.5) != want.Violence {
			t.Errorf("%q: %v", text, score)
		}
	}
	if stats := s.Stats(); stats.Answered != 5 || stats.PromptTokens != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestModerationInputsComeInManyForms(t *testing.T) {
	s := start(t, Options{})
	for input, results := range map[string]int64{
		`"a"`: 1, `["a","você é idiota"]`: 2,
		`[{"type":"text","text":"você é idiota"},{"type":"image_url","image_url":{"url":"https://exemplo.com.br/a.png"}}]`: 1,
	} {
		r := post(t, s, "/moderations", `{"input":`+input+`}`)
		last := gjson.Get(r.body, "results").Array()
		if r.status != 200 || int64(len(last)) != results || gjson.Get(r.body, "usage").Exists() || gjson.Get(r.body, "model").String() != "omni-moderation-2024-09-26" ||
			last[len(last)-1].Get("flagged").Bool() != (input != `"a"`) {
			t.Errorf("%s: %s", input, r.body)
		}
	}
	for _, body := range []string{`{}`, `{"input":1}`, `{"input":[]}`, `{"input":[{"type":"audio"}]}`, `{"model":"gpt-9","input":"a"}`} {
		if r := post(t, s, "/moderations", body); r.status < 400 || !gjson.Get(r.body, "error.message").Exists() {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	old := post(t, s, "/moderations", `{"model":"text-moderation-latest","input":"a"}`)
	if gjson.Get(old.body, "results.0.category_applied_input_types").Exists() || gjson.Get(old.body, "results.0.categories.illicit").Exists() {
		t.Errorf("%s", old.body)
	}
}
