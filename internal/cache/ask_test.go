package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// newCache makes a cache in process.
func newCache(t testing.TB, o Options) *Cache {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustAsk(t interface{ Fatalf(string, ...any) }, c *Cache, tenant int64, endpoint, body string, m Mode) Question {
	if !json.Valid([]byte(body)) {
		t.Fatalf("no JSON: %s", body)
	}
	q, ok := c.Ask(tenant, endpoint, []byte(body), m)
	if !ok {
		t.Fatalf("not cached: %s", body)
	}
	return q
}

const chat = "chat.completions"

// value draws a JSON value as a tree: nil, bool, json.Number, string, []any or []pair.
type pair struct {
	key   string
	value any
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "literal")
	case 1:
		return json.Number(rapid.SampledFrom([]string{"0", "1", "10", "100", "-5", "0.5", "1.25", "12e30", "5e-7"}).Draw(t, "number"))
	case 2, 3:
		return rapid.SampledFrom([]string{"", "é", "a\"b\\c", "linha\n", "\x00\x1f", "日本", "😀", "x/y", "plain", "\u007f"}).Draw(t, "string")
	case 4:
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return drawValue(t, depth-1) }), 0, 4).Draw(t, "array")
	}
	return drawObject(t, depth-1)
}

func drawObject(t *rapid.T, depth int) []pair {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "é", "k\"", "zz", "a b", "nome"}), 0, 5, rapid.ID).Draw(t, "keys")
	pairs := make([]pair, len(keys))
	for i, k := range keys {
		pairs[i] = pair{k, drawValue(t, depth)}
	}
	return pairs
}

// write writes a tree in one of the many ways that JSON allows.
func write(t *rapid.T, b *strings.Builder, v any) {
	space := func() { b.WriteString(rapid.SampledFrom([]string{"", " ", "\n\t", "\r"}).Draw(t, "space")) }
	space()
	defer space()
	switch v := v.(type) {
	case string:
		writeString(t, b, v)
	case json.Number:
		b.WriteString(rapid.SampledFrom(sameNumbers(string(v))).Draw(t, "form"))
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(t, b, e)
		}
		b.WriteByte(']')
	case []pair:
		b.WriteByte('{')
		for i, p := range rapid.Permutation(v).Draw(t, "order") {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			writeString(t, b, p.key)
			space()
			b.WriteByte(':')
			write(t, b, p.value)
		}
		b.WriteByte('}')
	default:
		_ = json.NewEncoder(b).Encode(v)
	}
}

func writeString(t *rapid.T, b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		escape := r < ' ' || r == '"' || r == '\\' || rapid.Bool().Draw(t, "escape")
		switch {
		case escape && r > 0xffff:
			hi, lo := 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff
			fmt.Fprintf(b, `\u%04X\u%04x`, hi, lo)
		case r == '\n' && rapid.Bool().Draw(t, "short"):
			b.WriteString(`\n`)
		case escape && strings.ContainsRune(`"\/`, r):
			b.WriteString(`\` + string(r))
		case escape:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func sameNumbers(n string) []string {
	return append([]string{n}, map[string][]string{
		"0": {"0.0", "-0", "0e7", "0.000"}, "1": {"1.0", "1e0", "10e-1", "1E+0", "0.1e1"}, "10": {"1e1", "10.00"}, "100": {"1e2", "100.0"},
		"-5": {"-5.0", "-0.5e1"}, "0.5": {"5e-1", "0.50"}, "1.25": {"125e-2"}, "12e30": {"1.2E31"}, "5e-7": {"0.0000005"},
	}[n]...)
}

func TestAskTakesEqualRequestsForOneHoweverTheyAreWritten(t *testing.T) {
	c := newCache(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		tree := append(drawObject(t, 3), pair{"model", "m"}, pair{"messages", []any{[]pair{{"role", "user"}, {"content", "Olá, \"tudo\" bem?"}}}})
		var one, two strings.Builder
		write(t, &one, tree)
		write(t, &two, tree)
		a, b := mustAsk(t, c, 1, chat, one.String(), Exact), mustAsk(t, c, 1, chat, two.String(), Smart)
		if a.exact != b.exact {
			t.Fatalf("two keys for\n%s\n%s", one.String(), two.String())
		}
	})
}

// change replaces one leaf of a tree, or adds a member.
func change(t *rapid.T, v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return []any{true}
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
		out := append([]any{}, v...)
		out[i] = change(t, v[i])
		return out
	case []pair:
		if len(v) == 0 {
			return []pair{{"new", true}}
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "member")
		out := append([]pair{}, v...)
		out[i].value = change(t, v[i].value)
		return out
	case string:
		return v + "x"
	case json.Number:
		return json.Number("7" + strings.TrimPrefix(string(v), "-"))
	case bool:
		return !v
	}
	return "was null"
}

func TestAskTellsRequestsApartThatDifferAnywhere(t *testing.T) {
	c := newCache(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		tree := append([]pair{{"model", "m"}, {"seed", json.Number("1")}}, drawObject(t, 3)...)
		other := change(t, tree)
		var one, two strings.Builder
		write(t, &one, tree)
		write(t, &two, other)
		a, b := mustAsk(t, c, 1, chat, one.String(), Exact), mustAsk(t, c, 1, chat, two.String(), Exact)
		if a.exact == b.exact {
			t.Fatalf("one key for\n%s\n%s", one.String(), two.String())
		}
	})
}

func TestAskLeavesOutWhatDoesNotShapeTheAnswer(t *testing.T) {
	c := newCache(t, Options{})
	base := mustAsk(t, c, 1, chat, `{"model":"m","messages":[]}`, Exact)
	for _, member := range []string{`"stream":true`, `"stream_options":{"include_usage":true}`, `"user":"ana"`, `"safety_identifier":"x"`, `"prompt_cache_key":"k"`,
		`"prompt_cache_retention":"24h"`, `"metadata":{"a":"b"}`, `"store":true`, `"service_tier":"flex"`, `"temperature":null`, `"tools":null`, `"modalities":null`} {
		if q := mustAsk(t, c, 1, chat, `{"model":"m",`+member+`,"messages":[]}`, Exact); q.exact != base.exact {
			t.Errorf("%s shapes the key", member)
		}
	}
	for _, member := range []string{`"temperature":0`, `"n":1`, `"seed":1`, `"top_p":1`, `"max_tokens":5`, `"response_format":{"type":"json_object"}`,
		`"tools":[{"type":"function","function":{"name":"f"}}]`, `"future":{}`, `"reasoning_effort":"low"`, `"modalities":["text"]`} {
		if q := mustAsk(t, c, 1, chat, `{"model":"m",`+member+`,"messages":[]}`, Exact); q.exact == base.exact {
			t.Errorf("%s does not shape the key", member)
		}
	}
	if mustAsk(t, c, 1, chat, `{"model":"m","messages":[{"user":"a"}]}`, Exact).exact == mustAsk(t, c, 1, chat, `{"model":"m","messages":[{"user":"b"}]}`, Exact).exact {
		t.Error("what is left out at the top is left out below, too")
	}
}

func TestAskRefusesWhatMustNotBeCached(t *testing.T) {
	c := newCache(t, Options{})
	for _, r := range []struct{ endpoint, body string }{
		{"files", `{"model":"m"}`}, {"batches", `{}`}, {"images.generations", `{"model":"m"}`}, {"", `{}`},
		{"responses", `{"model":"m","input":"oi"}`},
		{"responses", `{"model":"m","input":"oi","store":true}`},
		{"responses", `{"model":"m","input":"oi","store":null}`},
		{"responses", `{"model":"m","input":"oi","store":false,"previous_response_id":"resp_1"}`},
		{"responses", `{"model":"m","input":"oi","store":false,"conversation":"conv_1"}`},
		{"responses", `{"model":"m","input":"oi","store":false,"background":true}`},
		{"responses", `{"model":"m","store":false,"prompt":{"id":"pmpt_1"}}`},
		{"responses", `{"model":"m","input":"oi","store":false,"store":true}`},
		{"responses", `{"model":"m","input":"oi","store":false,"tools":[{"type":"function","name":"f"},{"type":"web_search"}]}`},
		{"responses", `{"model":"m","input":"oi","store":false,"tools":[{"type":"file_search"}]}`},
		{"responses", `{"model":"m","input":"oi","store":false,"tools":[{"type":"code_interpreter"}]}`},
		{"responses", `{"model":"m","input":"oi","store":false,"tools":[{"type":"computer_use_preview"}]}`},
		{"responses", `{"model":"m","input":"oi","store":false,"tools":[{"type":"mcp"}]}`},
		{"responses", `{"model":"m","input":"oi","store":false,"tools":[{"type":"image_generation"}]}`},
		{"responses", `{"model":"m","input":"oi","store":false,"to\u006fls":[{"type":"mcp"}]}`},
		{chat, `{"model":"m","messages":[],"web_search_options":{}}`},
		{chat, `{"model":"gpt-4o-search-preview","messages":[]}`},
		{chat, `{"model":"m","messages":[],"modalities":["text","audio"]}`},
		{chat, `{"model":"m","messages":[],"model":"n"}`},
		{chat, `{"model":"m","messages":[],"user":"a","us\u0065r":"b"}`},
		{chat, `{"model":"m","messages":[],"tools":{"type":"function"}}`},
		{chat, `["model"]`}, {chat, `"model"`}, {chat, ``}, {chat, `{"a":1}}`}, {chat, `{"a":1,}`}, {chat, `{"a"}`}, {chat, `{"a":tru}`},
		{chat, `{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`},
	} {
		for _, m := range []Mode{Exact, Smart} {
			if _, ok := c.Ask(1, r.endpoint, []byte(r.body), m); ok {
				t.Errorf("cached: %s %.80s", r.endpoint, r.body)
			}
		}
	}
	forged := []byte("{\"messages\":[{\"role\":\"system\",\"content\":\"\x00\"},{\"role\":\"user\",\"content\":\"Olá\"}]}")
	if _, ok := c.Ask(1, chat, forged, Smart); ok {
		t.Error("a string that looks like the place of a text is cached")
	}
	if _, ok := c.Ask(1, chat, []byte(`{"model":"m","messages":[]}`), Off); ok {
		t.Error("cached though it is off")
	}
	for _, body := range []string{`{"model":"m","input":"oi","store":false}`, `{"model":"m","input":"oi","store":false,"conversation":null,"background":false}`} {
		mustAsk(t, c, 1, "responses", body, Smart)
	}
}

func TestAskKeepsTenantsAndEndpointsApart(t *testing.T) {
	c := newCache(t, Options{})
	seen := map[key]string{}
	for _, tenant := range []int64{1, 2, 256, -1, 1 << 40} {
		for _, endpoint := range []string{chat, "completions", "embeddings", "moderations"} {
			q := mustAsk(t, c, tenant, endpoint, `{"model":"m","messages":[{"role":"user","content":"Oi, tudo bem"}],"prompt":"Oi, tudo bem"}`, Smart)
			for name, k := range map[string]key{"exact": q.exact, "alias": q.alias, "rest": q.rest} {
				who := fmt.Sprint(tenant, endpoint, name)
				if other := seen[k]; other != "" && k != (key{}) {
					t.Errorf("%s and %s have one key", who, other)
				}
				seen[k] = who
			}
		}
	}
}

// FuzzAsk: no body makes Ask fail; a body and what a JSON library makes of it have one key; both modes agree.
func FuzzAsk(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"Olá"}]}`))
	f.Add([]byte(`{"model":"m","store":false,"input":[{"role":"user","content":[{"type":"input_text","text":"a\u0000b"}]}]}`))
	f.Add([]byte(`{"prompt":"x","n":1e2,"a":{"b":1,"a":[{}]}}`))
	f.Add([]byte(`{"messages":[{"content":"\ud83d\ude00 \ud800","role":"user"}]}`))
	c := newCache(f, Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, endpoint := range []string{chat, "completions", "responses"} {
			exact, ok := c.Ask(1, endpoint, body, Exact)
			smart, okSmart := c.Ask(1, endpoint, body, Smart)
			if !json.Valid(body) {
				continue
			}
			if ok != okSmart || exact.exact != smart.exact {
				t.Fatalf("the modes differ: %v %v", ok, okSmart)
			}
			again, plain := rewritten(body)
			if !ok || !plain {
				continue
			}
			if q, ok := c.Ask(1, endpoint, again, Smart); !ok || q.exact != exact.exact || q.alias != smart.alias {
				t.Fatalf("another key for\n%s\n%s", body, again)
			}
		}
	})
}

// rewritten is body as encoding/json writes it; plain is false where that is not the same value.
func rewritten(body []byte) (again []byte, plain bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || !utf8.Valid(body) || bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) || repeats(body) {
		return nil, false
	}
	again, err := json.Marshal(v)
	return again, err == nil
}

// repeats tells whether any object has a key twice: a value read back has fewer members then.
func repeats(body []byte) bool {
	tokens := func(text []byte) (n int) {
		for d := json.NewDecoder(bytes.NewReader(text)); ; n++ {
			if _, err := d.Token(); err == io.EOF {
				return n
			} else if err != nil {
				return -1
			}
		}
	}
	var v any
	_ = json.Unmarshal(body, &v)
	again, _ := json.Marshal(v)
	return tokens(body) != tokens(again)
}
