package cache_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/usage"
)

// body2KB is a chat request of about 2 KB, as SDKs write them.
func body2KB(last string) []byte {
	return fmt.Appendf(nil, `{"model":"gpt-4.1-nano","messages":[{"role":"system","content":%q},{"role":"user","content":"Oi"},`+
		`{"role":"assistant","content":"Olá! Como posso ajudar?"},{"role":"user","content":%q}],"temperature":0.2,"max_tokens":300,`+
		`"stream":true,"stream_options":{"include_usage":true},"user":"cliente-17","tools":[{"type":"function","function":{"name":"horario",`+
		`"description":"Diz o horário de uma loja","parameters":{"type":"object","properties":{"loja":{"type":"string"},"dia":{"type":"string"}},"required":["loja"]}}}]}`,
		strings.Repeat("Você atende os clientes de uma loja de móveis com educação. ", 22), last)
}

func benchCache(b *testing.B) *cache.Cache {
	c, err := cache.New(cache.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func BenchmarkAsk(b *testing.B) {
	for _, m := range []cache.Mode{cache.Exact, cache.Smart} {
		b.Run(map[cache.Mode]string{cache.Exact: "exact", cache.Smart: "smart"}[m], func(b *testing.B) {
			c, body := benchCache(b), body2KB("Vocês abrem aos sábados?")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := c.Ask(42, "chat.completions", body, m); !ok {
					b.Fatal("not asked")
				}
			}
		})
	}
}

func BenchmarkAskAndFind(b *testing.B) {
	ctx := context.Background()
	for _, bench := range []struct {
		name   string
		stored string
		size   int
		mode   cache.Mode
	}{
		{"hit", "Vocês abrem aos sábados?", 600, cache.Exact},
		{"hit compressed 20 KB", "Vocês abrem aos sábados?", 20_000, cache.Exact},
		{"hit normalised", "VOCES abrem  aos sabados", 600, cache.Smart},
		{"miss", "Vocês abrem aos domingos?", 600, cache.Exact},
		{"miss smart", "Vocês abrem aos domingos?", 600, cache.Smart},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c, body := benchCache(b), body2KB("Vocês abrem aos sábados?")
			q, _ := c.Ask(42, "chat.completions", body2KB(bench.stored), bench.mode)
			c.Store(ctx, &q, &cache.Entry{Body: []byte(strings.Repeat("Sim, das 9h às 13h. ", bench.size/20+1)[:bench.size]), Tokens: usage.Tokens{Input: 1}}, time.Hour)
			b.ReportAllocs()
			for b.Loop() {
				q, ok := c.Ask(42, "chat.completions", body, bench.mode)
				e, how := c.Find(ctx, &q, time.Hour)
				if !ok || (e == nil) != strings.HasPrefix(bench.name, "miss") {
					b.Fatal(how)
				}
				if e != nil && len(e.Body) != bench.size {
					b.Fatal("another body")
				}
			}
		})
	}
}
