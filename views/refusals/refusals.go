// Package refusals draws why calls were refused: the list, and one refusal with what to do about it. Customers and the
// team see the same pages with other advice.
package refusals

import (
	"time"

	"github.com/fila-ia/filaia/views/ui"
)

// Row is one refused call.
type Row struct {
	Href       string
	At         time.Time
	Tenant     string
	TenantHref string
	Key        string
	Model      string
	Title      string // what was in the way, in a few words
	Why        string // in a sentence
	Tone       ui.Tone
	HTTPStatus string
}

// List is a page of refused calls, newest first.
type List struct {
	Rows   []Row
	Now    time.Time
	Tenant bool   // with the customer's column
	More   string // address of the rows after these; empty at the end
	Empty  ui.EmptyModel
}

// ListModel is the page of refused calls.
type ListModel struct {
	Crumbs []ui.Link
	List   List
}

// UnknownModel is the page of a request of which nothing is known.
type UnknownModel struct {
	Crumbs []ui.Link
	List   string // where all refused calls are
}

// Model is one refused call.
type Model struct {
	Crumbs    []ui.Link
	Title     string
	Why       string
	Tone      ui.Tone
	Status    string // the HTTP status that was answered
	At        time.Time
	Now       time.Time
	RequestID string
	Figures   []ui.StatModel // the limit, what was asked, what remained, when it resets; none where no limit was in the way
	Steps     []Step
	Facts     []ui.Fact
}

// Step is one thing to do. Its link is optional.
type Step struct {
	Text string
	Link ui.Link
}
