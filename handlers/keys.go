package handlers

import (
	"context"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/keys"
	"github.com/fila-ia/filaia/views/ui"
)

// KeyStore is what these pages need of the store.
type KeyStore interface {
	Key(ctx context.Context, id int64) (tenancy.Key, error)
	ListKeys(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.Key], error)
	CreateKey(ctx context.Context, d tenancy.KeyDraft) (tenancy.Key, tenancy.Secret, error)
	RotateKey(ctx context.Context, id int64, overlap time.Duration) (tenancy.Key, tenancy.Secret, error)
	RevokeKey(ctx context.Context, id int64) error
	keyEditor
}

type keyEditor interface {
	RenameKey(ctx context.Context, id int64, name string) error
	UpdateKeyLimits(ctx context.Context, id int64, rates tenancy.Rates, cache tenancy.CacheMode) error
}

// keys serves API keys.
func (p *Panel) keys(r fiber.Router) {
	r.Get("/keys", p.listKeys)
	r.Post("/keys", p.createKey)
	r.Get("/keys/new", p.needEditor, p.newKey)
	r.Get("/keys/:id", p.showKey)
	r.Get("/keys/:id/limits", p.needEditor, p.keyLimitsForm)
	r.Post("/keys/:id/limits", p.limitKey)
	r.Get("/keys/:id/rename", p.needEditor, p.renameKeyForm)
	r.Post("/keys/:id/rename", p.renameKey)
	r.Get("/keys/:id/rotate", p.needEditor, p.rotateKeyForm)
	r.Post("/keys/:id/rotate", p.rotateKey)
	r.Post("/keys/:id/revoke", p.revokeKey)
}

func (p *Panel) listKeys(c *fiber.Ctx) error {
	q := listQuery(c)
	q.TenantID = int64(c.QueryInt("tenant"))
	m, err := p.keyList(c, q, "/keys")
	if err != nil {
		return err
	}
	say := at(c).Say
	m.Frame = p.frame(c, say.T("nav.keys"), "keys")
	if q.TenantID != 0 {
		t, err := p.Tenants.Tenant(c.UserContext(), q.TenantID)
		if err != nil {
			return err
		}
		m.Table.Filters = append(m.Table.Filters, ui.Filter{Name: "tenant", Label: say.T("keys.field.tenant"), Options: []ui.Option{
			{Label: say.T("keys.filter.any_tenant")}, {Value: strconv.FormatInt(t.ID, 10), Label: t.Name},
		}})
	}
	return p.render(c, keys.ListPage(m), keys.Table(m))
}

// keyList is a list of keys at path, of the tenant of q or of all.
func (p *Panel) keyList(c *fiber.Ctx, q tenancy.ListQuery, path string) (keys.ListModel, error) {
	page, err := p.Keys.ListKeys(c.UserContext(), q)
	if err != nil {
		return keys.ListModel{}, err
	}
	v, say := at(c), at(c).Say
	m := keys.ListModel{Frame: p.frame(c, "", "keys"), OneTenant: path != "/keys", MayEdit: v.User.Role.MayEdit(), Now: p.Now()}
	for _, k := range page.Items {
		m.Rows = append(m.Rows, panelKey(k, m.Now))
	}
	columns := []ui.Column{
		{Label: say.T("keys.field.name"), Sort: "name"}, {Label: say.T("keys.field.tenant"), Sort: "tenant"}, {Label: say.T("keys.col.state")},
		{Label: say.T("keys.col.plan")}, {Label: say.T("keys.col.models")}, {Label: say.T("keys.col.limits")},
		{Label: say.T("keys.field.last_used"), Sort: "last_used"},
		{Label: say.T("keys.col.ends"), Sort: "expires"}, {Label: say.T("plans.col.actions"), Hidden: true},
	}
	newHref, search := "/keys/new", say.T("keys.search")
	if m.OneTenant {
		search = say.T("keys.search_one")
		columns = append(columns[:1:1], columns[2:]...)
		newHref += "?tenant=" + strconv.FormatInt(q.TenantID, 10)
	}
	m.Table = ui.TableModel{
		ID: "keys-table", Path: path, Query: queryValues(c), Label: say.T("nav.keys"), Search: search, Columns: columns,
		CountKey: "keys.count", Total: int64(page.Total),
		Filters: []ui.Filter{{Name: "status", Label: say.T("keys.col.state"), Options: []ui.Option{
			{Label: say.T("keys.filter.all")}, {Value: "active", Label: say.T("keys.filter.active")},
			{Value: "expired", Label: say.T("keys.filter.expired")}, {Value: "revoked", Label: say.T("keys.filter.revoked")},
		}}},
		Empty: ui.EmptyModel{Icon: "key", Title: say.T("keys.empty_title"), Text: say.T("keys.empty_text")},
	}
	if m.MayEdit {
		m.Table.Empty.Action = ui.LinkButton(ui.ButtonModel{Label: say.T("keys.new"), Icon: "plus", Kind: ui.Primary, Href: newHref})
	}
	return m, nil
}

func panelKey(k tenancy.Key, now time.Time) keys.Key {
	return keys.Key{
		ID: strconv.FormatInt(k.ID, 10), TenantID: strconv.FormatInt(k.TenantID, 10), TenantName: k.TenantName, Name: k.Name, Hint: k.Hint,
		State: keys.State(k.State(now)), Plan: k.PlanName, OwnPlan: k.PlanID != 0, Models: k.AllowedModels, CreatedAt: k.CreatedAt,
		LastUsedAt: orZero(k.LastUsedAt), ExpiresAt: orZero(k.ExpiresAt), RevokedAt: orZero(k.RevokedAt), Replaced: k.RotatedTo != 0,
		Rates: rateModel(k.Rates), Cache: string(k.Cache),
	}
}

// keysPath is where a tenant's keys are listed.
func keysPath(tenantID int64) string { return tenantPath(tenantID) + "/keys" }

func keyPath(id int64) string { return "/keys/" + strconv.FormatInt(id, 10) }

func (p *Panel) keyParam(c *fiber.Ctx) (tenancy.Key, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return tenancy.Key{}, err
	}
	return p.Keys.Key(c.UserContext(), id)
}

func (p *Panel) revokeKey(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	if err := p.Keys.RevokeKey(c.UserContext(), k.ID); err != nil {
		return err
	}
	return p.done(c, keysPath(k.TenantID), "keys.revoked", "name", k.Name)
}

func (p *Panel) renameKeyForm(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	return p.render(c, keys.RenamePage(p.renameModel(c, k, k.Name)), nil)
}

func (p *Panel) renameModel(c *fiber.Ctx, k tenancy.Key, value string) keys.EditModel {
	return keys.EditModel{
		Frame: p.frame(c, at(c).Say.T("keys.rename_title", "name", k.Name), "keys"), Key: panelKey(k, p.Now()), Value: value,
	}
}

func (p *Panel) renameKey(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	name := readForm(c).Text("name")
	err = p.Keys.RenameKey(c.UserContext(), k.ID, name)
	if rejected(err) {
		m := p.renameModel(c, k, name)
		m.Errors, m.Error = fieldErrors(at(c).Say, err)
		return p.invalid(c, keys.RenamePage(m), nil)
	}
	if err != nil {
		return err
	}
	return p.done(c, keysPath(k.TenantID), "keys.renamed")
}
