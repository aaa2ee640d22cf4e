package breaker

import (
	"context"
	"testing"
	"time"
)

// BenchmarkEnter is what stands before every call: closed breaker, no cap, no pause.
func BenchmarkEnter(b *testing.B) {
	g := New(1, DefaultSettings(), func(Change) {})
	b.ReportAllocs()
	for b.Loop() {
		p, err := g.Enter(context.Background(), 1, "gpt-4.1-nano")
		if err != nil {
			b.Fatal(err)
		}
		p.Leave(Neutral)
	}
}

func BenchmarkReady(b *testing.B) {
	g := New(1, DefaultSettings(), func(Change) {})
	b.ReportAllocs()
	for b.Loop() {
		if ok, _ := g.Ready("gpt-4.1-nano"); !ok {
			b.Fatal("not ready")
		}
	}
}

// BenchmarkCall is all that the package costs a call: the order of its one route, and the whole pass.
func BenchmarkCall(b *testing.B) { benchmarkCalls(b, DefaultSettings()) }

// BenchmarkCappedCall has a cap, and a place is free.
func BenchmarkCappedCall(b *testing.B) {
	s := DefaultSettings()
	s.MaxParallel, s.MaxWaiting = 1000, 1000
	benchmarkCalls(b, s)
}

func benchmarkCalls(b *testing.B, s Settings) {
	g := New(1, s, func(Change) {})
	random := func() float64 { return 0.5 }
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ready, after := g.Ready("gpt-4.1-nano")
			Order([]Route{{Ready: ready, RetryAfter: after}}, random)
			p, err := g.Enter(context.Background(), 1, "gpt-4.1-nano")
			if err != nil {
				b.Error(err)
			}
			p.Answered(time.Millisecond, Success)
			p.Leave(Success)
		}
	})
}

func BenchmarkRefused(b *testing.B) {
	g := New(1, DefaultSettings(), func(Change) {})
	g.Force("", ForcedOpen)
	g.Force("gpt-4.1-nano", ForcedOpen)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Enter(context.Background(), 1, "gpt-4.1-nano"); err == nil {
			b.Fatal("let go")
		}
	}
}
