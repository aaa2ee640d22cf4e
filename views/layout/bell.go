package layout

import (
	"strconv"

	"github.com/fila-ia/filaia/internal/i18n"
)

// unseenText is the number on the bell; nobody reads a greater one than nine.
func unseenText(n int) string {
	if n > 9 {
		return "9+"
	}
	return strconv.Itoa(n)
}

// unseenWords says the number on the bell.
func unseenWords(p i18n.Printer, n int) string {
	switch {
	case n <= 0:
		return p.T("alert_events.inbox.nothing")
	case n > 9:
		return p.T("alert_events.inbox.unseen_many")
	}
	return p.T("alert_events.inbox.unseen", "n", n)
}
