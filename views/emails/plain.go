package emails

import (
	"strings"
	"unicode/utf8"
)

// lineLength is how long a line of plain text gets where words allow it; chartWidth is that of the longest bar.
const (
	lineLength = 76
	chartWidth = 32
)

// plain writes the message as text.
func plain(pg *page) string {
	var b strings.Builder
	paragraph := func(texts ...string) {
		for _, text := range texts {
			if text != "" {
				b.WriteString(wrapped(text, "", lineLength) + "\n\n")
			}
		}
	}
	paragraph(pg.banner, pg.greeting)
	b.WriteString(wrapped(pg.title, "", lineLength) + "\n" + strings.Repeat("=", min(utf8.RuneCountInString(pg.title), lineLength)) + "\n\n")
	paragraph(pg.lead...)
	plainFacts(&b, pg.facts)
	plainList(&b, pg)
	if len(pg.next) > 0 {
		b.WriteString(strings.ToUpper(pg.nextTitle) + "\n")
		for _, text := range pg.next {
			b.WriteString("- " + wrapped(text, "  ", lineLength-2) + "\n")
		}
		b.WriteString("\n")
	}
	for _, l := range []link{pg.button, pg.also} {
		if l.href != "" {
			b.WriteString(l.label + ":\n" + l.href + "\n\n")
		}
	}
	plainChart(&b, pg.chart)
	b.WriteString("-- \n")
	for _, text := range pg.why {
		b.WriteString(wrapped(text, "", lineLength) + "\n")
	}
	for _, l := range []link{pg.settings, pg.leave} {
		if l.href != "" {
			b.WriteString(l.label + ": " + l.href + "\n")
		}
	}
	b.WriteString(pg.sender + "\n")
	return b.String()
}

// plainFacts are two columns.
func plainFacts(b *strings.Builder, facts []fact) {
	if len(facts) == 0 {
		return
	}
	widest := 0
	for _, f := range facts {
		widest = max(widest, utf8.RuneCountInString(f.label))
	}
	for _, f := range facts {
		b.WriteString(f.label + ":" + strings.Repeat(" ", widest-utf8.RuneCountInString(f.label)+2) + f.value + "\n")
	}
	b.WriteString("\n")
}

func plainList(b *strings.Builder, pg *page) {
	if pg.listTitle != "" {
		b.WriteString(strings.ToUpper(pg.listTitle) + "\n")
	}
	for _, it := range pg.list {
		b.WriteString("* " + wrapped(it.title, "  ", lineLength-2) + "\n")
		b.WriteString("  " + it.label)
		if it.when != "" {
			b.WriteString(" - " + it.when)
		}
		b.WriteString("\n")
		if it.text != "" {
			b.WriteString("  " + wrapped(it.text, "  ", lineLength-2) + "\n")
		}
		b.WriteString("  " + it.href + "\n\n")
	}
	if pg.rest.href != "" {
		b.WriteString(pg.rest.label + ":\n" + pg.rest.href + "\n\n")
	}
}

// plainChart draws each day as a line: "22/11  ██████▒▒▒  123.456".
func plainChart(b *strings.Builder, c *chart) {
	if c == nil {
		return
	}
	b.WriteString(c.title + "\n")
	widest := 0
	for _, day := range c.bars {
		widest = max(widest, utf8.RuneCountInString(day.date))
	}
	for _, day := range c.bars {
		bars := strings.Repeat("█", day.input*chartWidth/chartHeight) + strings.Repeat("▒", day.output*chartWidth/chartHeight)
		b.WriteString(strings.Repeat(" ", widest-utf8.RuneCountInString(day.date)) + day.date + "  " + bars + " " + day.total + "\n")
	}
	b.WriteString("█ " + c.input + "   ▒ " + c.output + "\n\n")
}

// wrapped breaks a text between words, where it can; indent begins all lines but the first.
func wrapped(text, indent string, width int) string {
	var b strings.Builder
	length := 0
	for word := range strings.SplitSeq(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case length == 0:
		case length+1+n > width:
			b.WriteString("\n" + indent)
			length = 0
		default:
			b.WriteString(" ")
			length++
		}
		b.WriteString(word)
		length += n
	}
	return b.String()
}
