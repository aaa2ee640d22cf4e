package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// What the provider answers: whole answers of some 1,000 bytes, streams of 50 chunks, one every 20 ms.
const (
	streamChunks = 50
	streamPieces = streamChunks - 3 // beside the text: role, end, usage
	streamEvents = streamChunks + 1 // [DONE]
	chunkPause   = 20 * time.Millisecond

	promptTokens     = 71
	completionTokens = 53
	answerText       = "Hoje temos pão francês, pão de queijo e broa de milho, e a loja fica aberta até as 20h. " +
		"Os seus 30 pãezinhos ficam reservados para amanhã a partir das 6h."
)

// Each side has its own key at the provider, by which that counts.
const (
	proxyKey    = "proxy"
	operatorKey = "operator"
)

// providerRole stands in for OpenAI. It takes commands line by line: "latency 50ms" before an answer, "pause 100ms" before
// each chunk of a stream (0: the usual one), and "stats KEY", which it answers with what it has answered that key.
func providerRole(in io.Reader, out io.Writer) error {
	var latency, pause atomic.Int64
	p, err := openaitest.New(openaitest.Options{
		Fixed: &openaitest.Fixed{PromptTokens: promptTokens, CompletionTokens: completionTokens, Body: answerText, Chunks: streamPieces, ChunkPause: chunkPause},
		Group: openaitest.ByKey,
		Script: func(*openaitest.Request) openaitest.Behaviour {
			return openaitest.Behaviour{Delay: time.Duration(latency.Load()), Pause: time.Duration(pause.Load())}
		},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	address, _ := strings.CutPrefix(p.URL(), "http://")
	fmt.Fprintln(out, strings.TrimSuffix(address, "/v1"))
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "latency", "pause":
			d, err := time.ParseDuration(argument)
			if err != nil {
				return err
			}
			map[string]*atomic.Int64{"latency": &latency, "pause": &pause}[command].Store(int64(d))
			fmt.Fprintln(out, "{}")
		case "stats":
			if err := json.NewEncoder(out).Encode(p.Stats().Groups["Bearer "+argument]); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// provider is the provider's process.
type provider struct{ *server }

// setLatency makes it wait before it answers.
func (p provider) setLatency(d time.Duration) error {
	var none struct{}
	return p.ask("latency "+d.String(), &none)
}

// setPause makes its streams slower, or again as usual.
func (p provider) setPause(d time.Duration) error {
	var none struct{}
	return p.ask("pause "+d.String(), &none)
}

// stats tells what it has answered a key.
func (p provider) stats(key string) (t openaitest.Totals, err error) {
	return t, p.ask("stats "+key, &t)
}
