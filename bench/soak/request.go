package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// request is a call to be made.
type request struct {
	endpoint string // such as "chat/completions"
	stream   bool
	told     bool // the answer tells its usage
	leave    int  // the client leaves after so many events; 0: it stays
	body     []byte
}

var words = strings.Fields("o cliente quer saber quando chega a entrega do pedido que fez na loja da esquina porque o prazo " +
	"acabou ontem e ninguém respondeu às mensagens sobre troca devolução boleto nota fiscal preço desconto frete grátis para São Paulo")

func sentence(random *rand.Rand, n int) string {
	picked := make([]string, n)
	for i := range picked {
		picked[i] = words[random.IntN(len(words))]
	}
	return strings.Join(picked, " ")
}

// pool is how many questions a customer with a cache asks.
const pool = 40

// draw makes up the next call of a caller.
func draw(random *rand.Rand, m marker, k kind) request {
	if k == cached || k == free {
		// A question of few, so that answers of the cache, and calls under way that share one, come up.
		random = rand.New(rand.NewPCG(uint64(m.tenant), uint64(random.IntN(pool))))
	}
	fields := map[string]any{"user": m.String()}
	switch n := random.IntN(100); {
	case n < 15:
		return embeddings(random, fields)
	case n < 35:
		return responses(random, fields, k)
	default:
		return chat(random, fields, m.fault)
	}
}

func chat(random *rand.Rand, fields map[string]any, f fault) request {
	r := request{endpoint: "chat/completions", stream: random.IntN(2) == 0 || f == slow, told: true}
	model := []string{"gpt-4.1-nano", "gpt-4.1-nano", "gpt-4.1-mini", "gpt-4o-mini", "gpt-5-nano"}[random.IntN(5)]
	fields["model"] = model
	fields["messages"] = []map[string]string{
		{"role": "system", "content": "Você responde em português."}, {"role": "user", "content": sentence(random, 3+random.IntN(80))},
	}
	switch n := random.IntN(10); {
	case model == "gpt-5-nano": // whose thinking counts as output
		fields["max_completion_tokens"] = 80 + random.IntN(80)
	case n < 7:
		fields["max_tokens"] = 5 + random.IntN(70)
	case n == 7:
		fields["max_tokens"], fields["n"] = 5+random.IntN(30), 2
	}
	if r.stream {
		fields["stream"] = true
		if r.told = random.IntN(2) == 0; r.told {
			fields["stream_options"] = map[string]bool{"include_usage": true}
		}
		if random.IntN(20) == 0 || f == slow && random.IntN(3) == 0 {
			r.leave = 1 + random.IntN(10)
		}
	}
	return r.with(fields)
}

func responses(random *rand.Rand, fields map[string]any, k kind) request {
	r := request{endpoint: "responses", stream: random.IntN(2) == 0, told: true}
	fields["model"], fields["input"] = "gpt-4.1-nano", sentence(random, 3+random.IntN(80))
	fields["store"] = random.IntN(3) == 0 && k != cached && k != free
	if random.IntN(4) > 0 {
		fields["max_output_tokens"] = 16 + random.IntN(60)
	}
	if r.stream {
		fields["stream"] = true
	}
	return r.with(fields)
}

func embeddings(random *rand.Rand, fields map[string]any) request {
	r := request{endpoint: "embeddings", told: true}
	fields["model"], fields["dimensions"] = "text-embedding-3-small", 8
	texts := make([]string, 1+random.IntN(3))
	for i := range texts {
		texts[i] = sentence(random, 2+random.IntN(40))
	}
	fields["input"] = texts
	return r.with(fields)
}

func (r request) with(fields map[string]any) request {
	body, err := json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprint("strings and numbers: ", err))
	}
	r.body = body
	return r
}
