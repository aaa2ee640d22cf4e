package handlers

import (
	"regexp"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/mail"
	"github.com/fila-ia/filaia/views/ui"
)

// listLetters shows the messages that this server keeps as files.
func (p *Panel) listLetters(c *fiber.Ctx) error {
	mailer, err := p.mailer()
	if err != nil {
		return err
	}
	query := queryValues(c)
	letters, total, err := mailer.Letters(c.UserContext(), (ui.Page(query)-1)*ui.PerPage, ui.PerPage)
	if err != nil {
		return err
	}
	v := at(c)
	m := mail.OutboxModel{Frame: p.frame(c, v.Say.T("mail.outbox"), "mail"), Owner: v.User.Role.MayManageUsers(), Now: p.Now()}
	files := make([]string, len(letters))
	for i, l := range letters {
		files[i] = l.File
	}
	sent, err := p.Alerts.LettersSent(c.UserContext(), files)
	if err != nil {
		return err
	}
	for _, l := range letters {
		row := letterRow(l)
		row.Sent, row.Waiting = sent[l.File] == alert.Delivered, sent[l.File] == alert.Pending
		m.Rows = append(m.Rows, row)
	}
	t := v.Say.T
	m.Table = ui.TableModel{
		ID: "outbox-table", Path: mail.Path + "/outbox", Query: query, Label: t("mail.outbox"), CountKey: "mail.outbox_count", Total: int64(total),
		Columns: []ui.Column{{Label: t("mail.col.subject")}, {Label: t("mail.col.to")}, {Label: t("mail.col.at")}},
		Empty:   ui.EmptyModel{Icon: "inbox", Title: t("mail.outbox_empty"), Text: t("mail.outbox_empty_text")},
	}
	return p.render(c, mail.OutboxPage(m), mail.Table(m))
}

func letterRow(l alert.Letter) mail.Row {
	return mail.Row{File: l.File, Subject: l.Subject, To: l.To, Name: l.Name, At: l.At}
}

// endLink is a link that ends the mail to a customer's address, or agrees to it: whoever has it may.
var endLink = regexp.MustCompile(`(/(?:unsubscribe|confirm)/)[^\s"'<>?#&]+`)

// letter is the kept message that the path names. Who may only read gets it without its links that change something.
func (p *Panel) letter(c *fiber.Ctx) (alert.OpenLetter, error) {
	mailer, err := p.mailer()
	if err != nil {
		return alert.OpenLetter{}, err
	}
	l, err := mailer.Letter(c.Params("file"))
	if err != nil || at(c).User.Role.MayEdit() {
		return l, err
	}
	masked := func(text string) string { return endLink.ReplaceAllString(text, "${1}…") }
	l.Text, l.HTML, l.Raw = masked(l.Text), masked(l.HTML), nil
	for i := range l.Headers {
		l.Headers[i][1] = masked(l.Headers[i][1])
	}
	return l, nil
}

func (p *Panel) showLetter(c *fiber.Ctx) error {
	l, err := p.letter(c)
	if err != nil {
		return err
	}
	title := l.Subject
	if title == "" {
		title = at(c).Say.T("mail.no_subject")
	}
	m := mail.LetterModel{Frame: p.frame(c, title, "mail"), Row: letterRow(l.Letter), Headers: l.Headers, Text: l.Text, HTML: l.HTML != "", File: l.Raw != nil}
	return p.render(c, mail.LetterPage(m), nil)
}

func (p *Panel) letterHTML(c *fiber.Ctx) error {
	l, err := p.letter(c)
	if err != nil {
		return err
	}
	return framed(c, l.HTML)
}

// framePolicy is of a message in its frame: its own styles, and nothing else of any kind.
const framePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox"

// framed shows the HTML of a message inside one of our pages. It may do nothing: run no script, load nothing, send no form,
// and it is of no origin, so that it reaches neither our pages nor their cookies.
func framed(c *fiber.Ctx, html string) error {
	c.Set(fiber.HeaderContentSecurityPolicy, framePolicy)
	c.Set(fiber.HeaderXFrameOptions, "SAMEORIGIN")
	c.Type("html", "utf-8")
	return c.SendString(html)
}

func (p *Panel) letterFile(c *fiber.Ctx) error {
	l, err := p.letter(c)
	if err != nil {
		return err
	}
	if l.Raw == nil {
		return fault.New(fault.Forbidden, "problem.forbidden_edit")
	}
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+l.File+`"`) // its name has no quotes
	c.Set(fiber.HeaderContentType, "message/rfc822")
	return c.Send(l.Raw)
}
