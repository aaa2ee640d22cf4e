package handlers

import (
	"context"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/operations"
)

// BookStore knows what audits found, what no limit could stop, and for how long single calls are kept.
type BookStore interface {
	LatestAudits(ctx context.Context, n int) ([]usage.Audit, error)
	Overruns(ctx context.Context, limit int) ([]usage.Overrun, error)
	Retention(ctx context.Context) (usage.Retention, error)
	SetRetention(ctx context.Context, r usage.Retention) error
	DueMonths(ctx context.Context) ([]usage.DueMonth, error)
	ArchivedMonths(ctx context.Context) ([]usage.ArchivedMonth, error)
}

// How much of each the page of the books shows.
const (
	auditsShown   = 9
	overrunsShown = 20
)

// books serves whether the figures agree, and how long single calls are kept.
func (p *Panel) books(r fiber.Router) {
	r.Get("/operations/books", p.showBooks)
	r.Post("/operations/books/audit", p.askAudit)
	r.Post("/operations/books/retention", p.needOwner, p.setRetention)
	r.Post("/operations/books/retention/preview", p.needOwner, p.previewRetention)
}

func (p *Panel) showBooks(c *fiber.Ctx) error {
	m, err := p.booksModel(c)
	if err != nil {
		return err
	}
	if wantsPartial(c) { // the form is not part of it
		return p.render(c, operations.LiveBooks(m), nil)
	}
	if m.Kept, err = p.keptModel(c); err != nil {
		return err
	}
	m.Kept.Typed = strconv.Itoa(m.Kept.Months)
	return p.render(c, operations.BooksPage(m), nil)
}

// booksModel is the page without its form.
func (p *Panel) booksModel(c *fiber.Ctx) (operations.BooksModel, error) {
	ctx, v := c.UserContext(), at(c)
	m := operations.BooksModel{
		Frame: p.frame(c, v.Say.T("operations.title"), "operations"), MayEdit: v.User.Role.MayEdit(), MayKeep: v.User.Role.MayManageUsers(), Now: p.Now(),
	}
	audits, err := p.Books.LatestAudits(ctx, auditsShown)
	if err != nil {
		return m, err
	}
	for _, a := range audits {
		m.Audits = append(m.Audits, audit(a))
	}
	m.Auditing, m.Failed = p.audits.state()
	overruns, err := p.Books.Overruns(ctx, overrunsShown)
	for _, o := range overruns {
		m.Overruns = append(m.Overruns, operations.Overrun{
			At: o.At, TenantID: strconv.FormatInt(o.TenantID, 10), Tenant: o.TenantName, Replica: o.Replica, Cause: string(o.Cause), Input: o.Input, Output: o.Output,
		})
	}
	return m, err
}

func audit(a usage.Audit) operations.Audit {
	m := operations.Audit{At: a.StartedAt, Took: a.Took, By: a.By, Periods: a.Periods, Differences: a.Differences}
	if m.By == (tenancy.ActorOf(context.Background())).Label {
		m.By = ""
	}
	for _, c := range a.Checks {
		m.Checks = append(m.Checks, operations.Check(c))
	}
	for _, d := range a.Details {
		m.Details = append(m.Details, operations.Difference{
			Check: d.Check, Subject: operations.Subject(d.AuditSubject), Hour: d.Hour, KeyID: d.KeyID, Model: d.Model, Replica: d.Replica, Table: d.Table,
			Figure: d.Figure, Expected: d.Expected, Found: d.Found,
		})
	}
	for _, n := range a.Notes {
		m.Notes = append(m.Notes, operations.Note{
			Kind: n.Kind, Subject: operations.Subject(n.AuditSubject), Replica: n.Replica, SeenAt: n.SeenAt, Input: n.Input, Output: n.Output, Month: n.Month,
		})
	}
	return m
}

// askAudit has the books audited beside this request.
func (p *Panel) askAudit(c *fiber.Ctx) error {
	p.audits.ask(tenancy.ActorOf(c.UserContext()))
	return p.redirect(c, "/operations/books")
}

// keptModel is what is known of single calls, without what was typed.
func (p *Panel) keptModel(c *fiber.Ctx) (operations.Kept, error) {
	ctx := c.UserContext()
	r, err := p.Books.Retention(ctx)
	if err != nil {
		return operations.Kept{}, err
	}
	due, err := p.Books.DueMonths(ctx)
	if err != nil {
		return operations.Kept{}, err
	}
	archived, err := p.Books.ArchivedMonths(ctx)
	m := operations.Kept{Months: r.Months, Fate: fate(r, p.Now())}
	for _, d := range due {
		m.Due = append(m.Due, operations.DueMonth{Month: d.Month, Waits: string(d.Waits), For: d.For})
	}
	for _, a := range archived {
		m.Archived = append(m.Archived, operations.ArchivedMonth{Name: a.Name, Month: a.Month, At: a.DetachedAt, Calls: a.Rows, Bytes: a.Bytes, DroppedAt: a.DroppedAt})
	}
	return m, err
}

// fate is what becomes of single calls under a retention that is valid.
func fate(r usage.Retention, now time.Time) operations.Fate {
	return operations.Fate{Known: true, Months: r.Months, Newest: r.Newest(now)}
}

func readRetention(f *form) usage.Retention {
	return usage.Retention{Months: int(min(max(f.Int("months"), -1), 1<<20))}
}

// previewRetention answers the form while one types.
func (p *Panel) previewRetention(c *fiber.Ctx) error {
	f := readForm(c)
	r, m := readRetention(f), operations.Fate{}
	if f.Join(r.Validate()) == nil {
		m = fate(r, p.Now())
	}
	text := operations.FateText(at(c).Say, m)
	return p.render(c, text, text)
}

func (p *Panel) setRetention(c *fiber.Ctx) error {
	f := readForm(c)
	r := readRetention(f)
	err := f.Join(r.Validate())
	if err == nil {
		if err = p.Books.SetRetention(c.UserContext(), r); err == nil {
			return p.done(c, "/operations/books", "operations.kept.saved")
		}
	}
	if !rejected(err) {
		return err
	}
	m, failed := p.booksModel(c)
	if failed == nil {
		m.Kept, failed = p.keptModel(c)
	}
	if failed != nil {
		return failed
	}
	m.Kept.Typed, m.Kept.Fate = short(f.Text("months"), 40), operations.Fate{}
	fields, _ := fieldErrors(at(c).Say, err)
	m.Kept.Error = fields["months"]
	return p.invalid(c, operations.BooksPage(m), nil)
}
