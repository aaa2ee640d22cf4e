package openaitest

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestAnswersKeepToTheSubject(t *testing.T) {
	for question, want := range map[string]string{
		"Como vão as vendas?": "vendas",
		"Resuma o contrato de locação comercial, com as cláusulas.": "jurídico",
		"Por que a API dá erro 500?":                                "tecnologia",
		"Qual é o sentido da vida?":                                 "geral",
		"":                                                          "geral",
	} {
		subject := subjectOf(question)
		if subject.name != want {
			t.Errorf("%q is about %s, want %s", question, subject.name, want)
		}
		text := answer(rand.New(rand.NewPCG(1, 2)), question)
		said := 0
		for _, point := range subject.points {
			said += strings.Count(text, point)
		}
		if said < 2 || strings.Contains(text, "%!") {
			t.Errorf("%q is answered %q", question, text)
		}
	}
}

func TestQuotesFitOneLine(t *testing.T) {
	for question, want := range map[string]string{
		"  Tudo\n bem?  ":                     "Tudo bem",
		strings.Repeat("palavra ", 30):        strings.TrimSpace(strings.Repeat("palavra ", 11)) + "…",
		strings.Repeat("semespaço", 20):       "",
		"Como está a meta de 100% do mês %d?": "Como está a meta de 100% do mês %d",
	} {
		if got := quote(question); got != want {
			t.Errorf("%q is quoted %q, want %q", question, got, want)
		}
	}
}
