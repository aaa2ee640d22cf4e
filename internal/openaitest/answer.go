package openaitest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// answer makes up a reply in business Portuguese: it takes the question up, says a few things on its subject, and closes.
func answer(random *rand.Rand, question string) string {
	var b strings.Builder
	if quoted := quote(question); quoted != "" {
		fmt.Fprintf(&b, choose(random, openings), quoted)
	} else {
		b.WriteString(choose(random, plainOpenings))
	}
	points := draw(random, subjectOf(question).points, 2+random.IntN(3))
	if random.IntN(3) == 0 {
		b.WriteString(choose(random, listLeads))
		for i, point := range points {
			fmt.Fprintf(&b, "\n%d. %s", i+1, point)
		}
		b.WriteString("\n\n")
	} else {
		for _, point := range points {
			b.WriteString(" " + point)
		}
		b.WriteByte(' ')
	}
	b.WriteString(choose(random, closings))
	return b.String()
}

// jsonAnswer makes up a reply for response_format json_object.
func jsonAnswer(random *rand.Rand, question string) string {
	subject := subjectOf(question)
	document := struct {
		Assunto   string   `json:"assunto"`
		Resposta  string   `json:"resposta"`
		Pontos    []string `json:"pontos"`
		Confianca float64  `json:"confianca"`
	}{
		subject.name, choose(random, closings), draw(random, subject.points, 2),
		float64(70+random.IntN(29)) / 100,
	}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings and a finite number
	}
	return string(text)
}

// quote shortens a question to what fits between quotation marks on one line.
func quote(question string) string {
	const longest = 90 // characters
	words := strings.Fields(question)
	for i := len(words); i > 0; i-- {
		line := strings.Join(words[:i], " ")
		if len([]rune(line)) > longest {
			continue
		}
		if i < len(words) {
			return line + "…"
		}
		return strings.TrimRight(line, "?!. ")
	}
	return ""
}

// subjectOf finds what most of a question's words are about; the last subject fits when none does.
func subjectOf(question string) subject {
	lower := strings.ToLower(question)
	best, most := subjects[len(subjects)-1], 0
	for _, s := range subjects {
		found := 0
		for _, key := range s.keys {
			if strings.Contains(lower, key) {
				found++
			}
		}
		if found > most {
			best, most = s, found
		}
	}
	return best
}

func choose(random *rand.Rand, from []string) string { return from[random.IntN(len(from))] }

// draw takes n different ones, in the order they have.
func draw(random *rand.Rand, from []string, n int) []string {
	n = min(n, len(from))
	var drawn []string
	for i, s := range from {
		if random.IntN(len(from)-i) < n-len(drawn) {
			drawn = append(drawn, s)
		}
	}
	return drawn
}
