package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestAnAnnouncedPriceHoldsFromItsMomentOn buys at one price, and after a moment at another, without a restart. What was
// bought before keeps its cost.
func TestAnAnnouncedPriceHoldsFromItsMomentOn(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	i.serve()
	tenant, key := i.customer("preco", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	db := i.database()
	cost := func() (list []int64) {
		rows, err := db.DB().Query(`SELECT cost_usd_micros FROM usage_events WHERE tenant_id = $1 ORDER BY id`, tenant)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var micros int64
			if err := rows.Scan(&micros); err != nil {
				t.Fatal(err)
			}
			list = append(list, micros)
		}
		return list
	}
	buy := func(n int) int64 {
		if r := i.chat(key, question); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		eventually(t, fmt.Sprintf("call %d is in the books", n), func() bool { return len(cost()) == n })
		return cost()[n-1]
	}
	before := buy(1)
	at := time.Now().Add(2 * time.Second)
	i.run(nil, "model", "price", "--name", "gpt-4.1-nano", "--input-price", "200", "--output-price", "800", "--since", at.Format(time.RFC3339Nano))
	n := 1
	eventually(t, "the new price holds", func() bool { n++; return buy(n) > 500*before }) // a thousandfold, but rounded
	if time.Now().Before(at) {
		t.Error("it held before its moment")
	}
	if cost()[0] != before {
		t.Error("the past was priced again")
	}
}

// TestProvidersAreChangedWithoutARestart makes a second provider, moves a model to it, and switches the first one off.
func TestProvidersAreChangedWithoutARestart(t *testing.T) {
	first, second := provider(t, openaitest.Options{}), provider(t, openaitest.Options{})
	i := newInstall(t, first.URL())
	s := i.serve()
	_, key := i.customer("troca", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	if r := i.chat(key, question); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	const secret = "sk-canary-second-house"
	if out, errText, err := i.try(secret, "provider", "create", "--slug", "reserva", "--name", "Reserva", "--kind", "compatible", "--base-url", second.URL(), "--key-stdin"); err != nil {
		t.Fatalf("%v %s %s", err, out, errText)
	}
	i.run(nil, "model", "edit", "--name", "gpt-4.1-nano", "--route", "reserva:meu-modelo:1:1", "--route", "openai::2:1")
	eventually(t, "the second provider answers", func() bool { return i.chat(key, question).status == http.StatusOK && second.Stats().Answered > 0 })
	if strings.Contains(s.output.String(), secret) {
		t.Error("the credential is in the log")
	}
}

// TestQuestionsAlikeShareAnAnswer compares questions by the embeddings of a model of the catalogue.
func TestQuestionsAlikeShareAnAnswer(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	i.serve()
	_, key := i.customer("parecido", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--cache", "smart")
	_, err := i.database().DB().Exec(`INSERT INTO settings (name, value) VALUES ('cache', '{"embedding_model":"text-embedding-3-small","threshold":0.8}')`)
	if err != nil {
		t.Fatal(err)
	}
	how := func(question string) string { return i.chat(key, chatOf(question)).header.Get("X-Fila-Cache") }
	if got := how("Qual é o prazo de entrega para Recife?"); got != "miss" {
		t.Fatal(got)
	}
	n := 0
	eventually(t, "a question alike is answered from the cache", func() bool {
		n++
		how(fmt.Sprintf("Qual é o prazo de entrega para Recife, cliente %d?", n)) // learns with each settings' reload
		return how("Qual o prazo da entrega para Recife?") == "hit"
	})
	if got := how("Qual não é o prazo de entrega para Recife?"); got == "hit" {
		t.Error("a negation is taken for alike")
	}
}
