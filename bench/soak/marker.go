package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// marker says which call a request belongs to and what the provider is to do with it. It travels in "user", which the
// gateway passes untouched, and which does not keep the cache from answering.
type marker struct {
	call   int
	tenant int // number of the customer in this run
	fault  fault
}

// fault is what the provider does wrong, a letter.
type fault byte

const (
	none      fault = '-'
	error500  fault = 'e' // on the first attempt
	down      fault = 'd' // 500 on every attempt
	throttled fault = 't' // 429 on the first attempt
	refused   fault = 'c' // the connection is reset before the answer, on the first attempt
	torn      fault = 'r' // and in the middle of it
	truncated fault = 'h' // the answer ends half-way
	midway    fault = 'm' // an error event, or a 500
	silent    fault = 'u' // no usage is told
	excessive fault = 'x' // more usage is reported than was asked for
	slow      fault = 's' // a stream whose events come one by one over seconds
)

func (m marker) String() string { return fmt.Sprintf("soak-%d-%d-%c", m.call, m.tenant, m.fault) }

func parseMarker(text string) (m marker, ok bool) {
	n, err := fmt.Sscanf(text, "soak-%d-%d-%c", &m.call, &m.tenant, &m.fault)
	return m, n == 3 && err == nil
}

// rates of faults, in calls of ten thousand.
var faultRates = []struct {
	fault fault
	rate  int
}{
	{error500, 80}, {down, 15}, {throttled, 40}, {refused, 40}, {torn, 40}, {truncated, 30}, {midway, 30}, {silent, 80}, {slow, 300},
}

func drawFault(random *rand.Rand, over bool) fault {
	if over && random.IntN(12) == 0 {
		return excessive
	}
	n := random.IntN(10_000)
	for _, f := range faultRates {
		if n -= f.rate; n < 0 {
			return f.fault
		}
	}
	return none
}

// excess is what a call that is reported too high says: more than any call of the load asks for.
var excess = openaitest.Usage{PromptTokens: 700, CompletionTokens: 900}

// behaviour is what the provider does with an attempt. How long it takes follows from the seed and the call.
func (m marker) behaviour(seed uint64, path string, first bool) openaitest.Behaviour {
	random := rand.New(rand.NewPCG(seed, uint64(m.call)))
	b := openaitest.Behaviour{
		Delay: time.Duration(random.IntN(300)*random.IntN(100)/100) * time.Millisecond,
		Pause: time.Duration(random.IntN(6)) * time.Millisecond,
		After: 1 + random.IntN(8),
	}
	switch m.fault {
	case down:
		b.Status = 500
	case slow:
		b.Pause = 60 * time.Millisecond
	case silent:
		b.Fault = openaitest.FaultNoUsage
	case excessive:
		usage := excess
		if path == "/v1/embeddings" {
			usage.CompletionTokens = 0 // it has none
		}
		b.Usage = &usage
	}
	if !first {
		return b
	}
	switch m.fault {
	case error500:
		b.Status = 500
	case throttled:
		b.Status, b.Header = 429, map[string]string{"retry-after-ms": "20"}
	case refused:
		b.Fault = openaitest.FaultRefuse
	case torn:
		b.Fault = openaitest.FaultReset
	case truncated:
		b.Fault = openaitest.FaultTruncate
	case midway:
		b.Fault = openaitest.FaultErrorEvent
	}
	return b
}
