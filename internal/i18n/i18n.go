// Package i18n speaks to people in their language: catalogues of texts by key, and numbers, money, dates and
// durations as Brazilians (the default) and English readers write them.
//
// Catalogues are locales/<lang>/<family>.json: flat objects from key to text with {name} placeholders. A value may
// also be {"one": "…", "other": "…"}; the argument "n" then chooses. Tests hold both languages to the same keys and
// placeholders, and every key used in the sources to a text.
package i18n

import (
	"fmt"
	"strings"
	"time"
)

// Lang is a language of the catalogues, as a BCP 47 tag.
type Lang string

// The languages on offer. PtBR is the default.
const (
	PtBR Lang = "pt-BR"
	En   Lang = "en"
)

// Langs lists the languages on offer, the default first.
func Langs() []Lang { return []Lang{PtBR, En} }

// Parse gives the language of a tag such as "pt-BR", "pt" or "en-GB"; ok is false for any other language.
func Parse(tag string) (lang Lang, ok bool) {
	primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
	switch primary {
	case "pt":
		return PtBR, true
	case "en":
		return En, true
	}
	return PtBR, false
}

// Match chooses a person's language: what the cookie says, else the most wanted known language of an
// Accept-Language header (RFC 9110 §12.5.4), else PtBR.
func Match(acceptLanguage, cookie string) Lang {
	if lang, ok := Parse(cookie); ok {
		return lang
	}
	best, bestWeight := PtBR, 0.0
	for part := range strings.SplitSeq(acceptLanguage, ",") {
		tag, params, _ := strings.Cut(part, ";")
		lang, ok := Parse(tag)
		if !ok {
			continue
		}
		weight := 1.0
		if q, found := strings.CutPrefix(strings.TrimSpace(params), "q="); found {
			if _, err := fmt.Sscanf(q, "%g", &weight); err != nil {
				continue
			}
		}
		if weight > bestWeight {
			best, bestWeight = lang, weight
		}
	}
	return best
}

// Printer writes for one person: their language and time zone. It is a small value; the zero Printer writes
// Portuguese in UTC.
type Printer struct {
	lang Lang
	zone *time.Location
}

// NewPrinter makes a Printer. A nil zone means UTC.
func NewPrinter(lang Lang, zone *time.Location) Printer { return Printer{lang, zone} }

// Lang is the language written.
func (p Printer) Lang() Lang {
	if p.lang == "" {
		return PtBR
	}
	return p.lang
}

// Zone is the time zone in which moments are shown.
func (p Printer) Zone() *time.Location {
	if p.zone == nil {
		return time.UTC
	}
	return p.zone
}

// mostPlaces is as many decimals as a message shows of a number.
const mostPlaces = 6

// T is the text of key with its placeholders filled from args, which are name, value pairs:
// p.T("plans.count", "n", 3). Numbers are written with the language's marks, lengths of time as Duration does, everything
// else as fmt does. The argument "n" chooses between one and other. A key without a text is returned itself.
func (p Printer) T(key string, args ...any) string {
	msg, ok := loaded()[p.Lang()][key]
	if !ok {
		return key
	}
	text := msg.Other
	if msg.One != "" && isOne(args) {
		text = msg.One
	}
	if len(args) == 0 || !strings.Contains(text, "{") {
		return text
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(args[i])+"}", p.value(args[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func isOne(args []any) bool {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "n" {
			return fmt.Sprint(args[i+1]) == "1"
		}
	}
	return false
}

func (p Printer) value(v any) string {
	switch n := v.(type) {
	case int:
		return p.Int(int64(n))
	case int32:
		return p.Int(int64(n))
	case int64:
		return p.Int(n)
	case time.Duration:
		return p.Duration(n)
	case float64:
		return p.short(n, mostPlaces)
	}
	return fmt.Sprint(v)
}
