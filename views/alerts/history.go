package alerts

import (
	"time"

	"github.com/fila-ia/filaia/views/ui"
)

// State is a dot and a word.
type State struct {
	Tone ui.Tone
	Word string
}

// Row is one alert in the history.
type Row struct {
	ID         int64
	Href       string
	What       string
	Tenant     string // whom it is about; empty for the installation
	Limit      string // the threshold, in a word
	Tone       ui.Tone
	State      State
	At         time.Time
	Told       string
	ToldExact  string
	ToldTone   ui.Tone
	New        bool // this person has not seen it
	Selectable bool // may be acknowledged by this person
}

// Chip is one of the choices that narrow the history.
type Chip struct {
	Label, Href string
	Count       int // -1: none is shown
	Active      bool
}

// Chips are choices of which one holds.
type Chips struct {
	Label string
	Chips []Chip
}

// HistoryModel is the page of what was raised.
type HistoryModel struct {
	Portal      bool
	Path        string // of the page, without its query
	Here        string // with its query: how it is refreshed
	Stream      string
	Mark        string // how the newest alerts stood; a stream that tells another mark makes the page refresh
	Filters     []Chips
	Metrics     []ui.Option
	Metric      string
	Kept        []ui.Link // names and values of the other filters, for the form that chooses a metric
	Tenant      *Chip     // narrowed to one customer; its address is without
	Rows        []Row
	Now         time.Time
	Total       int
	More        string // address of the rows after these; empty at the end
	Narrowed    bool   // by any filter
	Unseen      int
	UpTo        int64  // the newest alert that is shown
	Acknowledge string // where the chosen ones are posted; empty where this person may not
	CSRF        string
	Reader      bool      // of a customer: changes nothing
	MailNote    string    // to whom of the team e-mail is not theirs to set up
	Mail        []ui.Link // where e-mail is set up and its messages are, when it is not
	Unsent      *KeptMessages
}

// KeptMessages are messages that went into files before e-mail was set up, and still say something new.
type KeptMessages struct {
	Count int
	Send  string // where they are asked to be sent
}

// selectable tells whether any row can be chosen.
func (m HistoryModel) selectable() bool {
	if m.Acknowledge == "" {
		return false
	}
	for _, r := range m.Rows {
		if r.Selectable {
			return true
		}
	}
	return false
}

func (m HistoryModel) columns() string {
	if m.Acknowledge != "" {
		return "5"
	}
	return "4"
}

// InboxModel is what opens at the bell.
type InboxModel struct {
	Rows   []Row
	Now    time.Time
	Unseen int
	UpTo   int64
	All    string // address of the history
	Back   string // the page that is open, for those whose browser runs no script
	CSRF   string
}

// Moment is a step of an alert's course.
type Moment struct {
	Title, Note string
	At          time.Time // zero: not yet
	Tone        ui.Tone
	Done        bool
}

// Try is one attempt to deliver.
type Try struct {
	Number int
	At     time.Time
	Took   string
	State  State
	Answer string
}

// Message is one delivery.
type Message struct {
	ID        int64
	Icon      string
	Way       string // E-mail, Slack
	To        string
	Name      string
	Kind      string // "" for a plain alert
	State     State
	Due       string // when it is tried next, in words
	Tries     []Try
	Resend    string // where it is asked to be sent, or sent again; empty where it can't be
	Again     string // what the button for that says
	MessageID string
	Why       string // it was not sent; "": it was, or will be
	Ask       string // where its address is asked again whether it agrees; "": there is no need, or by somebody else
}

// EventModel is one alert with all that is known of it.
type EventModel struct {
	Portal      bool
	Crumbs      []ui.Link
	ID          int64
	Title       string
	State       State
	At, Now     time.Time
	Next        string
	Todo        *ui.Link
	Figures     []ui.StatModel
	Bar         *ui.QuotaModel
	Also        []ui.Link
	Course      []Moment
	Messages    []Message
	Facts       []ui.Fact
	Links       []ui.Link
	Acknowledge string // where that is posted; empty where it can't be
	Snooze      string
	SnoozeFor   string // what is snoozed, in words
	Snoozes     []ui.Option
	Snoozed     string // until when and by whom, in words
	Unsnooze    string
	CSRF        string
	Here        string
	Stream      string
	Mark        string
}
