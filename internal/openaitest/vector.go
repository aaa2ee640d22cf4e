package openaitest

import (
	"hash/fnv"
	"math"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The vectors of embeddings have a likeness that can be relied on: texts that differ by case, accents, punctuation, word order
// or the small words are near each other (a cosine above 0.9), texts on different things are not. They are bags of word stems
// and of the stems' trigrams, hashed.

// The weights of a text's features. A small word, such as an article, hardly counts.
const (
	stemWeight    = 1.0
	trigramWeight = 0.35
	smallWeight   = 0.1
	// A negation turns a question round: a cache that takes one for the other must not find them alike.
	negationWeight = 2.0
)

// spread is how many places of the vector a feature has, so that two features that share one still differ.
const spread = 16

// embedding returns the vector of a text: as many numbers as dimensions, of length 1.
func embedding(text string, dimensions int) []float32 {
	vector := make([]float64, dimensions)
	words := strings.FieldsFunc(fold(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, word := range words {
		switch {
		case isSmall(word):
			addFeature(vector, "w:"+word, smallWeight)
			continue
		case isNegation(word):
			addFeature(vector, "w:not", negationWeight)
			continue
		}
		s := stem(word)
		addFeature(vector, "w:"+s, stemWeight)
		letters := []rune("^" + s + "$")
		for i := range len(letters) - 2 {
			addFeature(vector, "t:"+string(letters[i:i+3]), trigramWeight)
		}
	}
	if len(words) == 0 {
		addFeature(vector, "raw:"+text, 1)
	}
	return normalised(vector)
}

// fold takes case and accents away.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(text))
}

// addFeature adds a weight to the places of a feature, with signs that are as arbitrary as the places.
func addFeature(vector []float64, feature string, weight float64) {
	h := fnv.New64a()
	h.Write([]byte(feature))
	bits := h.Sum64()
	for range spread {
		// One step of SplitMix64, a generator whose every output is well mixed.
		bits += 0x9e3779b97f4a7c15
		z := (bits ^ bits>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		if z>>63 == 0 {
			vector[z%uint64(len(vector))] += weight
		} else {
			vector[z%uint64(len(vector))] -= weight
		}
	}
}

func normalised(vector []float64) []float32 {
	sum := 0.0
	for _, f := range vector {
		sum += f * f
	}
	out := make([]float32, len(vector))
	if sum == 0 { // features that cancel each other out in few dimensions
		out[0] = 1
		return out
	}
	for i, f := range vector {
		out[i] = float32(f / math.Sqrt(sum))
	}
	return out
}

// endings are taken off words, the longest that leaves enough of the word.
var endings = []string{
	"amentos", "amento", "imentos", "imento", "mente", "coes", "cao", "ando", "endo", "indo", "aram", "eram", "iram",
	"ings", "ing", "aria", "eria", "ado", "ada", "ido", "ida", "ar", "er", "ir", "es", "ed", "as", "os", "s", "a", "o", "e",
}

// stem takes a folded word's ending off: one of Portuguese or English, plurals first.
func stem(word string) string {
	word = strings.TrimSuffix(word, "s")
	for _, ending := range endings {
		if s, ok := strings.CutSuffix(word, ending); ok && len(s) >= 4 {
			return s
		}
	}
	return word
}

func isNegation(word string) bool {
	switch word {
	case "nao", "nem", "nunca", "jamais", "sem", "not", "never", "without", "t": // as in "can't"
		return true
	}
	return false
}

// isSmall tells the words that say little on what a text is about.
func isSmall(word string) bool {
	switch word {
	case "a", "o", "as", "os", "um", "uma", "uns", "umas", "de", "do", "da", "dos", "das", "em", "no", "na", "nos", "nas",
		"e", "ou", "que", "se", "por", "pelo", "pela", "pelos", "pelas", "para", "pra", "com", "ao", "aos", "me", "meu", "minha",
		"meus", "minhas", "nosso", "nossa", "nossos", "nossas", "seu", "sua", "seus", "suas", "eu", "voce", "voces",
		"ele", "ela", "isso", "isto", "esse", "essa", "este", "esta", "qual", "quais", "como", "sao", "ser", "estao",
		"foi", "era", "posso", "pode", "podem", "podemos", "poderia", "faco", "faz", "fazer", "devo", "preciso", "quero",
		"gostaria", "saber", "favor", "oi", "ola", "bom", "dia", "ha", "tem", "ter", "dizer", "diga", "informe", "tudo", "bem",
		"the", "an", "of", "to", "in", "on", "for", "with", "and", "or", "is", "are", "was", "be", "does", "can", "could",
		"would", "i", "my", "our", "your", "you", "we", "it", "this", "that", "what", "which", "how", "please", "hi", "hello",
		"tell", "about", "at", "by", "from", "there":
		return true
	}
	return false
}
