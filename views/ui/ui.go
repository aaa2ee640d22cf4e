// Package ui is the kit every page of the panel and the portal is built from: headers, cards, tables, forms, figures,
// charts and dialogs, as templ components that take a view model.
//
// Texts arrive translated, except the kit's own few words, for which a component takes the page's i18n.Printer.
// Components keep to the page's Content-Security-Policy: no inline script, no inline style, no inline handler.
// Behaviour is attached by static/js/app.js to data-… attributes; without it pages still read, link and submit.
package ui

import (
	"strconv"

	"github.com/a-h/templ"
)

// Tone says how something stands. It chooses a colour; a word always goes with it.
type Tone string

// The tones.
const (
	Neutral Tone = "neutral"
	OK      Tone = "ok"
	Info    Tone = "info"
	Warn    Tone = "warn"
	Bad     Tone = "bad"
)

func (t Tone) class(prefix string) string {
	if t == "" {
		t = Neutral
	}
	return prefix + string(t)
}

func (t Tone) icon() string {
	switch t {
	case OK:
		return "circle-check"
	case Warn:
		return "alert-triangle"
	case Bad:
		return "alert-circle"
	}
	return "info-circle"
}

// Link is a text that leads somewhere. A crumb without Href is the page itself.
type Link struct {
	Label, Href string
}

// Kind is the weight of a button. A page has one Primary.
type Kind string

// The kinds of button. Default is the zero value.
const (
	Default Kind = ""
	Primary Kind = "primary"
	Danger  Kind = "danger"
	Quiet   Kind = "quiet"
)

func (k Kind) class() string {
	switch k {
	case Primary:
		return "btn btn-primary"
	case Danger:
		return "btn btn-danger"
	case Quiet:
		return "btn btn-quiet"
	}
	return "btn"
}

// ButtonModel is a button or a link that looks like one.
type ButtonModel struct {
	Label    string
	Icon     string // name for Icon, optional
	Kind     Kind
	Href     string           // LinkButton only
	Opens    string           // Button only: id of the dialog it opens
	Disabled bool             // Button only
	Attrs    templ.Attributes // anything further, such as hx-…
}

func itoa(n int) string { return strconv.Itoa(n) }
