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
	topics := make([]string, len(a.Topics))
	for i, topic := range a.Topics {
		topics[i] = say.T("tenant_alerts.topic." + topic)
	}
	if len(topics) > 0 {
		pg.facts = append(pg.facts, fact{say.T("alert_confirm.mail.topics"), m.listed(topics)})
	}
	pg.facts = append(pg.facts, fact{say.T("alert_confirm.mail.until"), say.DateTime(a.ExpiresAt)})
	pg.lead = append(pg.lead, say.T("alert_confirm.mail.once"))
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
