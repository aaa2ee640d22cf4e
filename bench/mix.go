package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// rephrased is the percentage of a mix's calls that ask in another spelling.
const rephrased = 20

// mix is the questions of a shop's customers: few are asked all the time and many hardly ever, by Zipf's law with
// s = 1.1, and some in another spelling. It is the same in every run.
type mix struct {
	chance *rand.Rand
	rank   *rand.Zipf
	asked  int // different questions
}

// newMix makes a mix of at most 5,000 questions.
func newMix(questions int) *mix {
	chance := rand.New(rand.NewPCG(11, 2026))
	return &mix{chance, rand.NewZipf(chance, 1.1, 1, uint64(questions)-1), questions}
}

// next is what the next call asks.
func (m *mix) next() string {
	q := question(int(m.rank.Uint64()))
	if m.chance.IntN(100) >= rephrased {
		return q
	}
	for {
		if other := m.rephrase(q); other != q {
			return other
		}
	}
}

// question is the one of that rank: 10 ways to ask for 25 things at 20 places.
func question(rank int) string {
	ask := asks[rank%len(asks)]
	rank /= len(asks)
	return fmt.Sprintf(ask, things[rank%len(things)], places[rank/len(things)%len(places)])
}

// rephrase changes case, accents and punctuation by chance, perhaps nothing.
func (m *mix) rephrase(q string) string {
	switch m.chance.IntN(3) {
	case 1:
		q = strings.ToLower(q)
	case 2:
		q = strings.ToUpper(q)
	}
	if m.chance.IntN(2) == 1 {
		q = plain.Replace(q)
	}
	return strings.TrimSuffix(q, "?") + endings[m.chance.IntN(len(endings))]
}

var (
	endings = [...]string{"?", "", "??", "...", "?!"}
	plain   = strings.NewReplacer("á", "a", "â", "a", "ã", "a", "à", "a", "é", "e", "ê", "e", "í", "i", "ó", "o", "ô", "o", "õ", "o", "ú", "u", "ç", "c",
		"Á", "A", "Â", "A", "Ã", "A", "À", "A", "É", "E", "Ê", "E", "Í", "I", "Ó", "O", "Ô", "O", "Õ", "O", "Ú", "U", "Ç", "C")

	asks = [...]string{
		"Quanto custa %s na loja de %s?", "Vocês têm %s em %s?", "Até que horas vendem %s em %s?", "Vocês entregam %s em %s?",
		"Posso encomendar %s para amanhã em %s?", "Há promoção de %s na loja de %s?", "%s já acabou em %s?",
		"Quais são os ingredientes de %s em %s?", "Dá para reservar %s na unidade de %s?", "Quem é o responsável por %s em %s?",
	}
	things = [...]string{
		"pão francês", "pão de queijo", "broa de milho", "pão integral", "pão de fôrma", "bolo de cenoura", "bolo de fubá", "bolo de maçã", "coxinha",
		"empada de frango", "pastel de feira", "café coado", "café expresso", "chá de hortelã", "suco de maracujá", "água de coco", "torta de limão",
		"torta de morango", "sonho", "brigadeiro", "beijinho", "quindim", "pudim de leite", "rosca húngara", "pão sem glúten",
	}
	places = [...]string{
		"São Paulo", "Rio de Janeiro", "Belo Horizonte", "Brasília", "Goiânia", "Cuiabá", "Belém", "São Luís", "Fortaleza", "Maceió", "Salvador",
		"Vitória", "Curitiba", "Florianópolis", "Porto Alegre", "Niterói", "Santo André", "Ribeirão Preto", "Uberlândia", "Jundiaí",
	}
)

// mixed measures how many calls of a mix the cache answers once it has seen some, and what such a call costs.
func (b *bench) mixed(ctx context.Context) error {
	size := b.size
	warm := loadSpec{Connections: size.connections, Questions: size.questions, Calls: size.mixWarmup}
	spec := loadSpec{Connections: size.connections, Questions: size.questions, From: size.mixWarmup, Calls: size.mixCalls}
	for _, s := range []*side{b.exact, b.smart} {
		if _, err := s.measure(ctx, warm); err != nil {
			return err
		}
	}
	all, err := b.rounds(ctx, 1, spec, b.proxy, b.exact, b.smart)
	if err != nil {
		return err
	}
	r, of := b.report, fmt.Sprintf("mix of %d questions, ", size.questions)
	for i, mode := range []string{"exact", "smart"} {
		found := 100 * all[1+i].median(hits)
		r.plain(of+mode+": calls answered by the cache", "%", 0, found).atLeast(70)
	}
	for i, mode := range []string{"exact", "smart"} {
		r.ratio(of+mode+": CPU per call at full speed", "ms", pair{all[0], all[1+i]}, ownCPU)
	}
	return nil
}
