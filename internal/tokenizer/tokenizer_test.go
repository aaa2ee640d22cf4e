package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	tiktoken "github.com/tiktoken-go/tokenizer"
	"pgregory.net/rapid"
)

func TestCountEqualsOpenAIsTiktoken(t *testing.T) {
	file, err := os.Open("testdata/counts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, wrong := 0, 0
	for scanner := bufio.NewScanner(file); scanner.Scan(); lines++ {
		var want struct {
			Text          string
			O200k, Cl100k int
		}
		if err := json.Unmarshal(scanner.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if got := Count("gpt-4o", want.Text); got != want.O200k && wrong < 20 {
			wrong++
			t.Errorf("o200k %q: %d tokens, want %d", want.Text, got, want.O200k)
		}
		if got := Count("gpt-4", want.Text); got != want.Cl100k && wrong < 20 {
			wrong++
			t.Errorf("cl100k %q: %d tokens, want %d", want.Text, got, want.Cl100k)
		}
	}
	if lines < 1000 {
		t.Fatalf("read %d cases only", lines)
	}
}

func TestCountIsAtMostTheBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		for _, model := range []string{"gpt-4o", "gpt-4"} {
			if n := Count(model, text); n > len(text) || n == 0 && text != "" {
				t.Fatalf("%s: %d tokens in %d bytes", model, n, len(text))
			}
		}
	})
}

func TestNoTokenIsLongerThanLongestToken(t *testing.T) {
	for name, e := range map[string]*encoding{"o200k": o200k(), "cl100k": cl100k()} {
		longest := 0
		for token := range e.ranks {
			longest = max(longest, len(token))
		}
		if longest != LongestToken {
			t.Errorf("%s has a token of %d bytes", name, longest)
		}
	}
}

func TestCountIsAtLeastTheBytesByTheLongestToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]string{" ", "-", "=", "a", "\n", "é", "*", "\t"}).Draw(t, "unit")
		text := strings.Repeat(unit, rapid.IntRange(0, 600).Draw(t, "times")) + rapid.String().Draw(t, "rest")
		for _, model := range []string{"gpt-4o", "gpt-4"} {
			if n := Count(model, text); n*LongestToken < len(text) {
				t.Fatalf("%s: %d tokens in %d bytes", model, n, len(text))
			}
		}
	})
}

func TestLongRunsMergeAsShortOnesDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.StringOfN(rapid.SampledFrom([]rune("abcdeé-=漢 \n")), 2, scanLimit, scanLimit).Draw(t, "piece")
		for _, e := range []*encoding{o200k(), cl100k()} {
			short, long := e.merge(piece, nil), e.mergeLong(piece, nil)
			if len(short) != len(long) {
				t.Fatalf("%q: scan %d parts, heap %d", piece, len(short), len(long))
			}
			for i := range short {
				if short[i].start != long[i].start {
					t.Fatalf("%q: part %d starts at %d and %d", piece, i, short[i].start, long[i].start)
				}
			}
		}
	})
}

func TestCutKeepsAtMostTheLimitAndWholeCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		limit := rapid.IntRange(-1, 40).Draw(t, "limit")
		got := Cut("gpt-4o", text, limit)
		if !strings.HasPrefix(text, got) || !utf8.ValidString(got) {
			t.Fatalf("%q is not a prefix of whole characters of %q", got, text)
		}
		if limit >= Count("gpt-4o", text) && got != text {
			t.Fatalf("%q fits %d tokens but was cut to %q", text, limit, got)
		}
		if limit <= 0 && got != "" {
			t.Fatalf("limit %d kept %q", limit, got)
		}
	})
	if got := Cut("gpt-4o", "um dois três quatro", 2); Count("gpt-4o", got) != 2 {
		t.Fatalf("two tokens are %q", got)
	}
}

func TestModelsPickTheirEncoding(t *testing.T) {
	for model, want := range map[string]*encoding{
		"gpt-4": cl100k(), "gpt-4-turbo-2024-04-09": cl100k(), "gpt-4-32k": cl100k(), "gpt-3.5-turbo": cl100k(),
		"gpt-35-turbo": cl100k(), "text-embedding-3-small": cl100k(), "openai/gpt-4": cl100k(), "ft:gpt-3.5-turbo:acme::1": cl100k(),
		"gpt-4o": o200k(), "gpt-4o-mini": o200k(), "gpt-4.1-nano": o200k(), "gpt-4.5-preview": o200k(), "gpt-5-mini": o200k(),
		"o3": o200k(), "ft:gpt-4o-mini:acme::1": o200k(), "ft:gpt-4.1-nano:acme::1": o200k(), "llama-3.3": o200k(), "": o200k(),
	} {
		if encodingFor(model) != want {
			t.Errorf("%q has the wrong encoding", model)
		}
	}
}

func TestVocabulariesAreTheModules(t *testing.T) {
	for name, e := range map[tiktoken.Encoding]*encoding{tiktoken.O200kBase: o200k(), tiktoken.Cl100kBase: cl100k()} {
		codec, err := tiktoken.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		for token, rank := range e.ranks {
			if got, err := codec.Decode([]uint{uint(rank)}); err != nil || got != token {
				t.Fatalf("%s: rank %d is %q, the module says %q, %v", name, rank, token, got, err)
			}
		}
		if _, err := codec.Decode([]uint{uint(len(e.ranks))}); err == nil {
			t.Errorf("%s: the module knows more than %d ranks", name, len(e.ranks))
		}
	}
}

// A quadratic scanner or merge would still be at it when the test binary's time is up.
func TestCountEndsSoonOnHostileText(t *testing.T) {
	for _, unit := range []string{"\n ", " \n", "\t\r\n", "a", "ª", "ªA", " ", "'", "\u0301", "!\n"} {
		text := strings.Repeat(unit, 4<<20/len(unit))
		for _, next := range []func(string, int) int{nextO200k, nextCl100k} {
			for i := 0; i < len(text); {
				i = next(text, i)
			}
		}
	}
	if n := Count("gpt-4o", strings.Repeat("a", 256<<10)); n == 0 {
		t.Error("no tokens")
	}
}

func TestCountMayBeCalledConcurrently(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if n := Count("gpt-4o", "Olá, mundo!"); n != 4 {
				t.Errorf("%d tokens", n)
			}
		})
	}
	all.Wait()
}

func BenchmarkCount(b *testing.B) {
	text := strings.Repeat("Prezado cliente, segue o relatório de vendas do mês de março, com alta de 12,5%.\n\n", 30)[:2048]
	for _, model := range []string{"gpt-4o", "gpt-4"} {
		b.Run(model, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				Count(model, text)
			}
		})
	}
}
