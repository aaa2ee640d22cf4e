package emails

import (
	"errors"
	"slices"
)

// confirm asks an address that somebody has named whether it wants to be told. It says nothing of the customer but its name: its reader
// may be a stranger.
func (m *Message) confirm(pg *page) error {
	a := m.Ask
	if a == nil || a.Link == "" {
		return errors.New("a message that asks nothing")
	}
	say, company, who := m.Printer, Clean(a.Company), Clean(a.By)
	pg.tone, pg.label = info, say.T("alert_confirm.mail.label")
	pg.subject = bounded(say.T("alert_confirm.mail.subject", "company", company), subjectLength)
	pg.title = say.T("alert_confirm.mail.title", "company", company)
	by := say.T("alert_confirm.mail.by_team", "company", company, "host", m.host())
	if who != "" {
		by = say.T("alert_confirm.mail.by", "who", who, "company", company)
	}
	pg.lead = []string{by, say.T("alert_confirm.mail.what", "company", company)}
	for _, topic := range a.Topics {
		pg.next = append(pg.next, say.T("tenant_alerts.topic."+topic))
	}
	if pg.nextTitle = say.T("alert_confirm.mail.topics"); len(pg.next) > 0 {
		pg.next = []string{m.listed(pg.next)}
	}
	until := say.T("alert_confirm.mail.until", "when", say.DateTime(a.ExpiresAt))
	pg.next = append(pg.next, until, say.T("alert_confirm.mail.once"))
	pg.button = link{say.T("alert_confirm.mail.button"), a.Link}
	pg.why = []string{say.T("alert_confirm.mail.ignore")}
	pg.settings = link{say.T("alert_confirm.mail.not_me"), a.Link}
	pg.short = lines(pg.subject, by)
	return nil
}

// listed is "a, b e c".
func (m *Message) listed(words []string) string {
	words = slices.Clone(words)
	slices.Reverse(words) // enumerate turns them
	return m.enumerate(words)
}
