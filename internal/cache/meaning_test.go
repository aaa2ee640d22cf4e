package cache

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sameVector says of all texts that they are alike, so that only the rules of meaning decide.
type sameVector struct {
	name  string
	calls atomic.Int64
}

func (e *sameVector) Name() string { return e.name }

func (e *sameVector) Embed(context.Context, string) ([]float32, int64, error) {
	e.calls.Add(1)
	return []float32{3, 4}, 7, nil
}

func question(text string) string {
	content, _ := json.Marshal(text)
	return `{"model":"m","messages":[{"role":"user","content":` + string(content) + `}]}`
}

// answered tells how the question two is answered where only one was asked before.
func answered(t *testing.T, one, two string) How {
	t.Helper()
	ctx, c := context.Background(), newCache(t, Options{Embedder: &sameVector{name: "stub"}})
	q := mustAsk(t, c, 1, chat, question(one), Smart)
	c.Find(ctx, &q, time.Hour)
	c.Store(ctx, &q, &Entry{Body: []byte("answer")}, time.Hour)
	c.Learn(ctx, &q)
	p := mustAsk(t, c, 1, chat, question(two), Smart)
	_, how, _ := c.FindAlike(ctx, &p, time.Hour)
	return how
}

func TestSmartMatchesWhatSaysTheSame(t *testing.T) {
	for _, pair := range []struct {
		how      How
		one, two string
	}{
		{ByExact, "Abre aos sábados?", "Abre aos sábados?"},
		{ByNormalised, "Abre aos sábados?", "abre aos sabados"},
		{ByNormalised, "Abre aos sábados?", "  ABRE  aos\tSÁBADOS?! "},
		{ByNormalised, "Qual é a capital do Brasil?", "qual e a capital do brasil..."},
		{ByNormalised, "Coração, maçã e avó", "coracao, maca e avo"},
		{ByNormalised, "Bom dia!", "“bom dia”"},
		{ByNormalised, "What's your name?", "what's your name"},
		{ByNormalised, "Cora\u00e7\u00e3o partido", "Corac\u0327a\u0303o partido"},
		{ByNormalised, "Quanto é 2+2?", "quanto e 2+2"},
		{ByNormalised, "ｆｕｌｌ ｗｉｄｔｈ", "full width"},
		{ByLikeness, "Qual é a capital do Brasil?", "Me diga qual é a capital do Brasil"},
		{ByLikeness, "Vocês abrem aos sábados?", "A loja de vocês abre no sábado?"},
		{ByLikeness, "Como faço para trocar a senha?", "De que jeito troco a senha?"},
		{ByLikeness, "Quero cancelar minha assinatura", "Gostaria do cancelamento da minha assinatura"},
		{ByLikeness, "Não consigo ver a fatura", "Nao estou conseguindo ver a fatura"},
		{ByLikeness, "I do not see the bill", "I don't see my bill"},
		{ByLikeness, "Tenho dez caixas", "Eu tenho 10 caixas"},
		{ByLikeness, "I have ten boxes", "I've got 10 boxes here"},
		{ByLikeness, "São vinte e cinco caixas", "Temos 25 caixas"},
		{ByLikeness, "There are twenty-five boxes", "We count 25 boxes"},
		{ByLikeness, "Custa dois mil e quinhentos", "O valor é 2500"},
		{ByLikeness, "It has one hundred and twenty parts", "It consists of 120 parts"},
		{ByLikeness, "O total é 1.234,50", "Total: 1,234.50"},
		{ByLikeness, "Custa R$ 10 cada caixa", "Sai a R$10 cada caixa"},
		{ByLikeness, "População de 1.234.567 pessoas", "São 1,234,567 pessoas"},
		{ByLikeness, `Traduza "bom dia" para mim`, `Pode traduzir "bom dia" por favor`},
		{ByLikeness, "Mande um e-mail para ana@exemplo.com.br", "Escreva um e-mail para ana@exemplo.com.br"},
		{ByLikeness, "Tell me about Brazil please", "I want to learn about Brazil"},
	} {
		if how := answered(t, pair.one, pair.two); how != pair.how {
			t.Errorf("%q, then %q: %v, want %v", pair.one, pair.two, how, pair.how)
		}
	}
}

func TestSmartTellsApartWhatMeansSomethingElse(t *testing.T) {
	for _, pair := range [][2]string{
		// negations
		{"Abre aos sábados?", "Não abre aos sábados?"},
		{"abre aos sábados?", "nao abre aos sabados"},
		{"Nunca viajo de avião", "Viajo de avião"},
		{"Café com leite", "Café sem leite"},
		{"Nenhum cliente reclamou hoje", "O cliente reclamou hoje"},
		{"Nem sempre chove aqui", "Sempre chove aqui"},
		{"Is it open?", "Isn't it open?"},
		{"I can come", "I can't come"},
		{"I can come", "I cannot come"},
		{"It works without a key", "It works with a key"},
		{"You should never reboot it", "You should reboot it"},
		{"There is no fee", "There is a fee"},
		{"São Paulo has no subway", "São Paulo has a subway"},
		{"EU has no tax here", "EU has tax here"},
		{"No hay cuota mensual", "Hay cuota mensual"},
		{"Não é que não queira", "Não é que queira"},
		{"Não abre no sábado mas abre no domingo", "Abre no sábado mas não abre no domingo"},
		{"Todos exceto eu vieram", "Todos e eu vieram"},
		{"dont stop it", "do stop it"},
		// numbers
		{"Tenho 10 caixas", "Tenho 100 caixas"},
		{"Tenho dez caixas", "Tenho cem caixas"},
		{"Tenho dez caixas", "Tenho 100 caixas"},
		{"O preço é 1,5 real", "O preço é 15 reais"},
		{"Pague 1.000 reais", "Pague 1,000 reais"},
		{"Pague 1.000 reais", "Pague 1 real"},
		{"Python 3.10 é bom", "Python 3.1 é bom"},
		{"De 10 para 20 pontos", "De 20 para 10 pontos"},
		{"Juros de 10% cobrados", "Juros de 10 cobrados"},
		{"Custa R$ 10 hoje", "Custa US$ 10 hoje"},
		{"Custa R$10 hoje", "Custa €10 hoje"},
		{"Vinte e cinco caixas", "Vinte e seis caixas"},
		{"Dois mil clientes", "Dois milhões de clientes"},
		{"two hundred boxes", "two thousand boxes"},
		{"Calcule 10² agora", "Calcule 102 agora"},
		{"Calcule 10² agora", "Calcule 10³ agora"},
		{"Abra às 10:30 por favor", "Abra às 10:00 por favor"},
		{"O resultado é -5 graus", "O resultado é 5 graus"},
		{"Quanto é 5!", "Quanto é 5"},
		{".5 de margem", "5 de margem"},
		{"x ≠ y sempre", "x = y sempre"},
		{"a > b aqui", "a < b aqui"},
		{"Três, quatro caixas", "Sete caixas"},
		// opposites
		{"Vocês abrem hoje?", "Vocês fecham hoje?"},
		{"When do you open?", "When do you close?"},
		{"Antes do almoço posso ir", "Depois do almoço posso ir"},
		{"What happens before the deadline?", "What happens after the deadline?"},
		{"Qual o maior lago?", "Qual o menor lago?"},
		{"Como ligar o alarme?", "Como desligar o alarme?"},
		{"Como ativar o plano?", "Como desativar o plano?"},
		{"Horário de entrada da equipe", "Horário de saída da equipe"},
		{"Quero comprar dólar", "Quero vender dólar"},
		{"Valor mínimo do pedido", "Valor máximo do pedido"},
		{"O aluno disse sim", "O aluno disse talvez"},
		{"Posso aumentar o limite?", "Posso diminuir o limite?"},
		{"Bloquear o cartão", "Desbloquear o cartão"},
		{"How do I install it?", "How do I uninstall it?"},
		{"Enable the feature", "Disable the feature"},
		{"É possível trocar?", "É impossível trocar?"},
		{"Quem enviou o pacote?", "Quem recebeu o pacote?"},
		{"Onde pago a conta?", "Quando pago a conta?"},
		{"Mais de um filho", "Menos de um filho"},
		{"Turn it on please", "Turn it off please"},
		{"Quanto custa por mês?", "Quanto custa por ano?"},
		{"Abre no sábado?", "Abre no domingo?"},
		{"Reunião em março", "Reunião em maio"},
		{"Chega hoje de manhã?", "Chega amanhã de manhã?"},
		{"Todos os clientes podem?", "Alguns clientes podem?"},
		{"Somente adultos entram", "Adultos entram"},
		// names, codes, quotations, order
		{"Fale sobre a cidade de Recife", "Fale sobre a cidade de Olinda"},
		{"Resuma o contrato do João", "Resuma o contrato do José"},
		{"Rastreie o pedido AB-123", "Rastreie o pedido AB-124"},
		{"Escreva para ana@exemplo.com", "Escreva para rui@exemplo.com"},
		{"Leia https://exemplo.com/a por favor", "Leia https://exemplo.com/b por favor"},
		{`Traduza "bom dia" para mim`, `Traduza "boa noite" para mim`},
		{"Traduza ‘gato’ para mim", "Traduza ‘pato’ para mim"},
		{"Decodifique dGVzdA09 por favor", "Decodifique dgvzda09 por favor"},
		{"Converter dólar para real", "Converter real para dólar"},
		{"O gato persegue o cachorro", "O cachorro persegue o gato"},
		{"Voo de São Paulo para Recife", "Voo de Recife para São Paulo"},
		{"Gostei 👍 dele", "Gostei 👎 dele"},
		// what is not compared at all
		{"sim", "claro"}, {"continue", "prossiga"},
		{"магазин открыт", "магазин не открыт"},
		{"мой дом", "мои дом"}, {"東京 は", "大阪 は"}, {"かき が", "がき が"},
		{"Corrija:\n  if a:\n    b", "Corrija:\nif a:\nb"},
		{"Explique ```a b```", "Explique ```a  b```"},
		{"?", "!"}, {"(1,2)", "[1,2]"},
	} {
		for _, p := range [][2]string{pair, {pair[1], pair[0]}} {
			if how := answered(t, p[0], p[1]); how != Missed {
				t.Errorf("%q is answered as %q: %v", p[1], p[0], how)
			}
		}
	}
}

// FuzzMeaning: no text makes reading it fail, and what a text says does not depend on the white space around it.
func FuzzMeaning(f *testing.F) {
	for _, text := range []string{"Não abre aos sábados?", "vinte e cinco mil e um", "R$1.234,56 e 10²!", "\"“„'`«", "don’t @a/b_C1", "x\u0338≠"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		one, two := meaningOf(text), meaningOf("  "+text+"\n")
		if string(one.turns) != string(two.turns) && !strings.ContainsAny(text, "\"“„«‘'`") {
			t.Errorf("%q, then %q", one.turns, two.turns)
		}
		normal, ok := normalise(nil, []byte(text))
		again, okAgain := normalise(nil, []byte(" "+text+" "))
		if ok != okAgain && !strings.HasPrefix(text, " ") && !strings.Contains(text, "\n") || ok && okAgain && string(normal) != string(again) {
			t.Errorf("%q, then %q", normal, again)
		}
	})
}
