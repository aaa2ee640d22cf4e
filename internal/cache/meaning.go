package cache

import (
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// meaning is what of a text an embedding cannot be trusted with.
type meaning struct {
	// turns are, in their order, the words that make another question of nearly the same words: negations, numbers,
	// codes, quotations, names, opposites, days. Only texts with the same turns are compared: "não abre aos sábados" and
	// "abre aos sábados" lie close together, and so do 10 and 100.
	turns []byte
	wording
}

// wording tells the words of a text and their order, without the words.
type wording struct{ bag, order uint64 }

// swapped tells texts of the same words in another order: "de real para dólar" is not "de dólar para real".
func (w wording) swapped(o wording) bool { return w.bag == o.bag && w.order != o.order }

// word adds a word, unless it is so short that it only binds others.
func (w *wording) word(word string) {
	if utf8.RuneCountInString(word) <= 3 {
		return
	}
	h := fnv.New64a()
	h.Write([]byte(word))
	sum := h.Sum64()
	w.bag += sum
	w.order = (w.order ^ sum) * 0x100000001b3
}

// reader reads a text for its meaning.
type reader struct {
	meaning
	count      counter
	sentence   bool // a word here begins a sentence, so that a capital says nothing
	portuguese bool // the text is, so that "no" means in the
}

// meaningOf reads a text.
func meaningOf(text string) *meaning {
	r := &reader{sentence: true, portuguese: isPortuguese(text)}
	r.quotations(text)
	for field := range strings.FieldsSeq(text) {
		r.field(field)
	}
	r.turn(r.count.take())
	return &r.meaning
}

// turn adds a turn; kind keeps the number 5 and the word "5" apart.
func (r *reader) turn(kind byte, turn string) {
	if kind != 0 {
		r.turns = append(append(append(r.turns, kind), turn...), 0)
	}
}

// The kinds of turns.
const (
	aNumber    = '#'
	aCode      = '@'
	aSign      = '$'
	aQuotation = '"'
	aNegation  = '!'
	anOpposite = '~'
	aName      = '^'
)

// isPortuguese tells texts that hold a word which neither English nor Spanish has.
func isPortuguese(text string) bool {
	for field := range strings.FieldsSeq(text) {
		if portugueseWords[fold(strings.TrimFunc(field, bound))] {
			return true
		}
	}
	return false
}

// quotations adds what stands in quotation marks, as it stands there.
func (r *reader) quotations(text string) {
	for {
		at := strings.IndexAny(text, "\"“„«‘'`")
		if at < 0 {
			return
		}
		open, size := utf8.DecodeRuneInString(text[at:])
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		text = text[at+size:]
		if open == '\'' && at > 0 && (unicode.IsLetter(before) || unicode.IsDigit(before)) {
			continue // an apostrophe
		}
		to := strings.IndexAny(text, closing(open))
		if to < 0 {
			continue
		}
		r.turn(aQuotation, text[:to])
		_, size = utf8.DecodeRuneInString(text[to:])
		text = text[to+size:]
	}
}

func closing(open rune) string {
	switch open {
	case '“', '„':
		return "”“"
	case '«':
		return "»"
	case '‘':
		return "’"
	}
	return string(open)
}

// field reads what stands between two spaces.
func (r *reader) field(field string) {
	bare := string(trimEdges([]byte(field), bound))
	if bare == "" {
		r.sentence = r.sentence || strings.ContainsAny(field, sentenceEnds)
		r.turn(r.count.take())
		return
	}
	before, after, _ := strings.Cut(field, bare)
	begins := r.sentence || strings.ContainsAny(before, "\"“«(")
	r.sentence = strings.ContainsAny(after, sentenceEnds)
	folded := fold(bare)
	switch {
	case coded(folded):
		r.turn(r.count.take())
		r.code(bare, folded)
	default:
		r.words(bare, folded, begins)
	}
	if after != "" {
		r.turn(r.count.take()) // "vinte, cinco" is not 25
	}
}

// sentenceEnds stand before a capital that says nothing.
const sentenceEnds = ".!?:…"

// bound tells the punctuation around a word.
func bound(r rune) bool {
	switch r {
	case '(', ')', '[', ']', '{', '}', '–', '—', '`':
		return true
	}
	return edge(r)
}

func fold(text string) string { return string(appendFolded(nil, []byte(text), true)) }

// coded tells numbers, e-mail addresses, URLs, paths, identifiers.
func coded(word string) bool {
	return strings.ContainsFunc(word, func(r rune) bool {
		return unicode.IsNumber(r) || r == '@' || r == '/' || r == '\\' || r == '_'
	})
}

// code reads a number, its currency and its per cent; all else is taken as it stands.
func (r *reader) code(bare, folded string) {
	if caseMatters([]byte(bare)) {
		folded = bare
	}
	if at := strings.IndexFunc(folded, unicode.IsDigit); at > 0 {
		if money := folded[:at]; strings.ContainsFunc(money, currency) {
			r.turn(aSign, money)
			folded = folded[at:]
		}
	}
	number, percent := strings.CutSuffix(folded, "%")
	if plain, ok := plainNumber(number); ok {
		r.turn(aNumber, plain)
	} else {
		r.turn(aCode, number)
	}
	if percent {
		r.turn(aSign, "%")
	}
	r.word(folded)
}

func currency(r rune) bool { return unicode.Is(unicode.Sc, r) }

// words reads a word, or several bound by hyphens, and the signs among them.
func (r *reader) words(bare, folded string, begins bool) {
	folded = strings.ReplaceAll(folded, "’", "'")
	if strings.ContainsFunc(folded, currency) {
		r.turn(aSign, folded)
		return
	}
	if stem, ok := strings.CutSuffix(folded, "n't"); ok {
		r.turn(r.count.take())
		r.turn(aNegation, "not")
		r.word(stem)
		return
	}
	capital, _ := utf8.DecodeRuneInString(bare)
	name := unicode.IsUpper(capital) && !begins
	for part := range strings.FieldsFuncSeq(folded, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsMark(c) }) {
		r.oneWord(part, name && len(part) > 1) // "I" is no name
		name = false
	}
	for _, c := range folded {
		if unicode.IsSymbol(c) || stroke(c) || strings.ContainsRune("%&#*", c) {
			r.turn(r.count.take())
			r.turn(aSign, string(c))
		}
	}
}

// oneWord reads a word without accents and capitals. name tells that it was written as one.
func (r *reader) oneWord(word string, name bool) {
	r.word(word)
	if n, ok := numberWord(word); ok {
		r.turn(r.count.add(n))
		return
	}
	if (word == "e" || word == "and") && r.count.open {
		return // "vinte e cinco"
	}
	r.turn(r.count.take())
	if negation, ok := negations[word]; ok && !(r.portuguese && word == "no") {
		r.turn(aNegation, negation)
	} else if opposite := oppositeOf(word); opposite != "" {
		r.turn(anOpposite, opposite)
	} else if name {
		r.turn(aName, word)
	}
}
