package ratelimit

import (
	"testing"

	"github.com/fila-ia/filaia/internal/redistest"
)

var roomy = Limits{Requests: 1 << 30, Tokens: 1 << 30, Parallel: 1 << 30}

var benchmarked = []struct {
	name  string
	claim Claim
}{
	{"no limits", Claim{Tenant: 1, Tokens: 100}},
	{"1 scope", ofPlan(1, roomy, 100)},
	{"3 scopes", Claim{Tenant: 1, Tokens: 100, Scopes: [3]Scope{{Key, 1, roomy}, {Tenant, 1, roomy}, {Plan, 1, roomy}}}},
}

func acquireAndDone(b *testing.B, l *Limiter) {
	ctx := b.Context()
	for _, c := range benchmarked {
		call := func() {
			ticket, _, err := l.Acquire(ctx, c.claim)
			if err != nil {
				b.Fatal(err)
			}
			ticket.Done(50)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
		b.Run(c.name+" in parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call()
				}
			})
		})
	}
}

func BenchmarkInProcess(b *testing.B) { acquireAndDone(b, New(Options{})) }

func BenchmarkInRedis(b *testing.B) {
	l, _ := shared(b, redistest.Start(b), patient)
	acquireAndDone(b, l)
	if h := l.Health(); h.Mode != Redis {
		b.Fatalf("%+v", h)
	}
}
