package webhook

import (
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
)

// Names of customers, plans and keys are in the texts, and anybody may choose them: a house's own marks are written so that
// they are read as they stand, and nobody is called by a name such as "@everyone".

// fit writes text for a house: every rune through escape, at most limit UTF-16 units (which is what the houses count, or less),
// and never half a mark.
func fit(text string, limit int, escape func(rune) string) string {
	text = strings.ToValidUTF8(text, "�")
	var b strings.Builder
	used := 0
	before := ' '
	for _, r := range text {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			r = ' '
		}
		piece := escape(r)
		if r == '@' && !unicode.IsLetter(before) && !unicode.IsDigit(before) {
			piece += "\u200b" // what follows is no name any more; addresses of e-mail stay whole
		}
		size := units(piece)
		if used+size > limit-1 { // a place for the mark that something is missing
			b.WriteString("…")
			break
		}
		b.WriteString(piece)
		used, before = used+size, r
	}
	return b.String()
}

func units(text string) (n int) {
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}

// asIs is for houses and fields that read no marks.
func asIs(r rune) string { return string(r) }

// slackMark keeps &, < and > from commanding, and the marks of bold, italic, struck and code from marking.
func slackMark(r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '*':
		return "∗"
	case '~':
		return "∼"
	case '`':
		return "ˋ"
	}
	return string(r)
}

// discordMark puts a backslash before whatever Markdown reads.
func discordMark(r rune) string {
	if strings.ContainsRune("\\*_~`|>#[]()<", r) {
		return "\\" + string(r)
	}
	return string(r)
}

// htmlMark is for Telegram's subset of HTML.
func htmlMark(r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '"':
		return "&quot;"
	}
	return string(r)
}

func escaped(text string, escape func(rune) string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteString(escape(r))
	}
	return b.String()
}

// button is what the link to act says.
func button(n alert.Notice) string {
	return i18n.NewPrinter(n.Language, n.Zone).T("channels.message.open")
}
