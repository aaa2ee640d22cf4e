package ratelimit

import "testing"

var roomy = Limits{Requests: 1 << 30, Tokens: 1 << 30, Parallel: 1 << 30}

func BenchmarkAcquireAndDone(b *testing.B) {
	for _, c := range []struct {
		name  string
		claim Claim
	}{
		{"no limits", Claim{Tenant: 1, Tokens: 100}},
		{"1 scope", ofPlan(1, roomy, 100)},
		{"3 scopes", Claim{Tenant: 1, Tokens: 100, Scopes: [3]Scope{{Key, 1, roomy}, {Tenant, 1, roomy}, {Plan, 1, roomy}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx, l := b.Context(), New(Options{})
			b.ReportAllocs()
			for b.Loop() {
				ticket, _, err := l.Acquire(ctx, c.claim)
				if err != nil {
					b.Fatal(err)
				}
				ticket.Done(50)
			}
		})
		b.Run(c.name+" in parallel", func(b *testing.B) {
			ctx, l := b.Context(), New(Options{})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ticket, _, err := l.Acquire(ctx, c.claim)
					if err != nil {
						b.Fatal(err)
					}
					ticket.Done(50)
				}
			})
		})
	}
}
