package tenancy

import "time"

// Change is a line of the audit log about one thing: who did what to it, and when.
type Change struct {
	At     time.Time
	Actor  string // an e-mail address, "command line", "system"
	Action string // such as "model.edit"
}
