package main

import (
	"strings"
	"testing"
)

func TestMixRephrasesAFifthOfItsQuestionsWithoutAskingAnother(t *testing.T) {
	const questions, calls = 5000, 50_000
	fold := func(q string) string { return strings.ToLower(plain.Replace(strings.TrimRight(q, "?!."))) }
	known, folded := map[string]int{}, map[string]bool{}
	for rank := range questions {
		known[question(rank)], folded[fold(question(rank))] = 0, true
	}
	if len(known) != questions || len(folded) != questions {
		t.Fatalf("%d questions are %d different ones, and %d without accents", questions, len(known), len(folded))
	}
	m, again, others := newMix(questions), newMix(questions), 0
	for range calls {
		q := m.next()
		if q != again.next() {
			t.Fatal("a second mix asks otherwise")
		}
		if !folded[fold(q)] {
			t.Fatalf("%q is no question of the mix", q)
		}
		if _, as := known[q]; as {
			known[q]++
		} else {
			others++
		}
	}
	if share := 100 * float64(others) / calls; share < rephrased-1 || share > rephrased+1 {
		t.Errorf("%.1f %% of the calls ask in another spelling, want %d", share, rephrased)
	}
	// Zipf's law: the second question comes 2^-1.1 times as often as the first, the tenth 10^-1.1 times.
	first := float64(known[question(0)])
	for rank, want := range map[int]float64{1: 0.467, 9: 0.079} {
		if got := float64(known[question(rank)]) / first; got < want*0.85 || got > want*1.15 {
			t.Errorf("question %d comes %.3f times as often as the first, want %.3f", rank+1, got, want)
		}
	}
}

func TestRequestsOfAMixGoOnWhereTheLastOnesEnded(t *testing.T) {
	whole := loadSpec{Questions: 50, Calls: 30}.requests()
	rest := loadSpec{Questions: 50, Calls: 10, From: 20}.requests()
	for i := range rest {
		if string(rest[i]) != string(whole[20+i]) {
			t.Fatalf("call %d asks otherwise", 20+i)
		}
	}
}

func TestCommandCallsReadsWhatRedisCounts(t *testing.T) {
	got := commandCalls("# Commandstats\r\ncmdstat_evalsha:calls=120,usec=4,failed_calls=0\r\ncmdstat_mget:calls=7,usec=1\r\n")
	if len(got) != 2 || got["evalsha"] != 120 || got["mget"] != 7 {
		t.Errorf("got %v", got)
	}
}

func TestBooksBalanceOnlyWhenNothingIsMissing(t *testing.T) {
	good := books{Answered: tally{10, 100}, Recorded: tally{10, 100}, Provider: tally{6, 60}, Billed: tally{6, 60}, Saved: 4}
	if err := good.plus(good).err(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*books){
		"a call was not recorded":              func(b *books) { b.Recorded.Calls-- },
		"a token was recorded that nobody got": func(b *books) { b.Recorded.Tokens++ },
		"a call was not billed":                func(b *books) { b.Billed.Calls-- },
		"a token was billed twice":             func(b *books) { b.Billed.Tokens++ },
		"a hit reached the provider":           func(b *books) { b.Provider.Calls++; b.Billed.Calls++ },
		"a call failed":                        func(b *books) { b.Failures++ },
	} {
		b := good
		if spoil(&b); b.err() == nil {
			t.Errorf("%s: the books balance", name)
		}
	}
}
