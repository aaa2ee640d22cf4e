package alerts

import "time"

// KeptChoice is the page that lists what was kept as files, before it is sent.
type KeptChoice struct {
	Rows []KeptRow
	Send string
	CSRF string
	Now  time.Time
}

// KeptRow is one message.
type KeptRow struct {
	ID, What, Href, To string
	Tenant             string // empty: it is for the team
	At                 time.Time
}
