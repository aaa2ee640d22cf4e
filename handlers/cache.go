package handlers

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/cache"
	"github.com/fila-ia/filaia/views/ui"
)

// CacheStore keeps how the cache decides.
type CacheStore interface {
	CacheSettings(ctx context.Context) (tenancy.CacheSettings, error)
	SetCacheSettings(ctx context.Context, s tenancy.CacheSettings) error
}

// cache serves what answers that are given again bring, and how they are chosen.
func (p *Panel) cache(r fiber.Router) {
	r.Get("/cache", p.showCache)
	r.Post("/cache", p.setCache)
	r.Post("/cache/purge", p.purgeCache)
}

func (p *Panel) showCache(c *fiber.Ctx) error {
	settings, err := p.CacheRules.CacheSettings(c.UserContext())
	if err != nil {
		return err
	}
	m, err := p.cacheModel(c)
	if err != nil {
		return err
	}
	m.Values = map[string]string{"embedding_model": settings.EmbeddingModel, "threshold": likenessTyped(at(c).Say, settings.Threshold)}
	if name := settings.EmbeddingModel; name != "" && !slices.ContainsFunc(m.Models, func(o ui.Option) bool { return o.Value == name }) {
		m.Models = append(m.Models, ui.Option{Value: name, Label: name}) // chosen, and off offer since
	}
	return p.render(c, cache.Page(m), nil)
}

// likenessTyped writes 0.95 as a person would type it.
func likenessTyped(say i18n.Printer, likeness float64) string {
	text := strconv.FormatFloat(likeness, 'f', -1, 64)
	if say.Lang() != i18n.En {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

// noLikeness tells whether no model is chosen that tells how alike two questions are: then smart caching is exact.
func (p *Panel) noLikeness(ctx context.Context) (bool, error) {
	settings, err := p.CacheRules.CacheSettings(ctx)
	return settings.EmbeddingModel == "", err
}

// lacksLikeness tells whether a plan on sale promises more than that.
func (p *Panel) lacksLikeness(ctx context.Context) (bool, error) {
	if none, err := p.noLikeness(ctx); err != nil || !none {
		return false, err
	}
	onSale, err := p.Plans.PlansOnSale(ctx)
	return slices.ContainsFunc(onSale, func(one tenancy.Plan) bool {
		return one.Published != nil && one.Published.Terms.Cache == tenancy.CacheSmart
	}), err
}

// cacheDays is how far back the page looks.
const cacheDays = 30

func cacheShare(t usage.Totals) cache.Share {
	return cache.Share{Lookups: t.CacheLookups, Hits: t.CacheHits, Saved: t.SavedUSD}
}

// cacheModel is the page without the values of its form.
func (p *Panel) cacheModel(c *fiber.Ctx) (cache.PageModel, error) {
	ctx, v := c.UserContext(), at(c)
	m := cache.PageModel{Frame: p.frame(c, v.Say.T("cache.title"), "cache"), MayEdit: v.User.Role.MayEdit()}
	state := p.Operations.Cache()
	m.Memory = cache.Memory{Entries: state.Entries, Bytes: state.Bytes, Limit: state.Limit, Shared: state.Shared, Unhealthy: state.Unhealthy, Off: state.Off}
	now := p.Now()
	month := usage.LastDays(now, cacheDays, p.Zone)
	hours, err := p.Dashboard.UsageHours(ctx, 0, month)
	if err != nil {
		return m, err
	}
	m.Month = cacheShare(usage.Fill(month, usage.Day, p.Zone, hours).Sum())
	m.Today = cacheShare(usage.Fill(usage.LastDays(now, 1, p.Zone), usage.Day, p.Zone, hours).Sum())
	names, err := p.Users.TenantNames(ctx)
	if err != nil {
		return m, err
	}
	for _, t := range names {
		m.Customers = append(m.Customers, ui.Option{Value: strconv.FormatInt(t.ID, 10), Label: t.Name})
	}
	all, err := p.Models.AllModels(ctx)
	if err != nil {
		return m, err
	}
	m.Models = embedders(all)
	m.Lacking, err = p.lacksLikeness(ctx)
	return m, err
}

// embedders are the models on offer that can tell how alike two questions are: those named so, or all where none is.
func embedders(all []tenancy.Model) []ui.Option {
	var named, others []ui.Option
	for _, one := range all {
		option := ui.Option{Value: one.Name, Label: one.Name}
		switch {
		case !one.Active:
		case strings.Contains(strings.ToLower(one.Name), "embed"):
			named = append(named, option)
		default:
			others = append(others, option)
		}
	}
	if len(named) == 0 {
		return others
	}
	return named
}

func (p *Panel) setCache(c *fiber.Ctx) error {
	f := readForm(c)
	settings := tenancy.CacheSettings{EmbeddingModel: f.Text("embedding_model")}
	likeness, err := at(c).Say.ParseDecimal(f.Text("threshold"), 6)
	settings.Threshold = float64(likeness) / 1e6
	f.Check(err == nil && settings.Threshold >= 0.5 && settings.Threshold <= 1, "threshold", "models.error.threshold")
	if err = f.Err(); err == nil {
		if err = p.CacheRules.SetCacheSettings(c.UserContext(), settings); err == nil {
			return p.done(c, "/cache", "cache.saved")
		}
	}
	if !rejected(err) {
		return err
	}
	m, failed := p.cacheModel(c)
	if failed != nil {
		return failed
	}
	m.Values = map[string]string{"embedding_model": f.Text("embedding_model"), "threshold": f.Text("threshold")}
	m.Errors, m.Error = fieldErrors(at(c).Say, err)
	return p.invalid(c, cache.Page(m), nil)
}

func (p *Panel) purgeCache(c *fiber.Ctx) error {
	f := readForm(c)
	id := f.Int("tenant")
	if err := f.Err(); err != nil {
		return err
	}
	tenant, err := p.Tenants.Tenant(c.UserContext(), id)
	if err != nil {
		return err
	}
	if err := p.Operations.PurgeCache(c.UserContext(), tenant.ID); err != nil {
		return err
	}
	p.Log.InfoContext(c.UserContext(), "cache purged", "tenant", tenant.ID, "by", at(c).User.ID, "request_id", at(c).RequestID)
	return p.done(c, "/cache", "cache.purged", "name", tenant.Name)
}
