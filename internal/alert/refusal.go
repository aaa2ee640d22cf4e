package alert

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
)

// ErrRefused marks errors of a delivery that no later attempt mends: an address that does not exist, a channel that is gone.
// Everything else is tried again.
var ErrRefused = errors.New("refused for good")

// Refused marks err as one that no later attempt mends. The text stays that of err.
func Refused(err error) error { return refusal{err} }

type refusal struct{ error }

func (r refusal) Unwrap() error        { return r.error }
func (r refusal) Is(target error) bool { return target == ErrRefused }

// maxAnswer is how much is kept of what the other side said, in characters.
const maxAnswer = 500

// address is that of a web page. Those of chats are secret from the path on, and come back in errors.
var address = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/"'<>@]*@)?([^\s/"'<>?#]*)[^\s"'<>]*`)

// Answer is what is kept of the other side's words: one line, bounded, without what opens a door.
func Answer(words string) string {
	words = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(words, ""), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	words = address.ReplaceAllString(words, "$1$2")
	if r := []rune(words); len(r) > maxAnswer {
		words = string(r[:maxAnswer-1]) + "…"
	}
	return words
}
