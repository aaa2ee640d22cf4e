package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// read is one question that a page puts to the store.
type read struct {
	name string
	run  func(ctx context.Context) error
}

// asked makes a read of a question whose answer nobody looks at.
func asked[T any](name string, ask func(context.Context) (T, error)) read {
	return read{name, func(ctx context.Context) error { _, err := ask(ctx); return err }}
}

// How much pages ask for, as the handlers do.
const (
	callsPage, recentCalls  = 51, 10
	fullestPlans, topUsers  = 6, 10
	chartMinutes, chartDays = 60, 30
	changesRead             = 400
)

// reads are all that pages read, and what the command line and the call path read of usage.
func (w world) reads(s *store.Store) []read {
	list := w.overview(s)
	for _, one := range []struct {
		name   string
		tenant int64
	}{
		{"large tenant", w.large()}, {"medium tenant", w.medium()}, {"tiny tenant", w.tiny()},
		{"tenant of old calls only", w.stale()}, {"tenant without calls", w.silent()},
	} {
		list = append(list, w.panelOf(s, one.name, one.tenant)...)
		list = append(list, w.portalOf(s.Portal(), one.name, one.tenant)...)
	}
	return append(list, w.lists(s)...)
}

func (w world) day() usage.Period    { return usage.LastDays(w.end, 1, w.zone()) }
func (w world) thirty() usage.Period { return usage.LastDays(w.end, chartDays, w.zone()) }

// past is what thirty days are compared with, and they themselves but for today.
func (w world) past() usage.Period {
	return usage.Period{Start: usage.LastDays(w.end, 2*chartDays, w.zone()).Start, End: w.day().Start}
}

// before is an id of a call that many others came after.
func (w world) before(ago time.Duration) uuid.UUID {
	var id uuid.UUID
	ms := w.end.Add(-ago).UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80
	return id
}

const deep = 45 * 24 * time.Hour

// overview is the panel's start page and what it links to, of all tenants.
func (w world) overview(s *store.Store) []read {
	two := usage.LastDays(w.end, 2, w.zone())
	quarter := usage.LastDays(w.end, 90, w.zone())
	type points = []usage.Point
	return []read{
		asked("first steps", s.FirstSteps), asked("goals and growth", s.Growth), asked("names of tenants", s.TenantNames),
		asked("last hour by minute", func(ctx context.Context) (points, error) {
			return s.UsageMinutes(ctx, 0, usage.LastMinutes(w.end, chartMinutes))
		}),
		asked("today and yesterday by hour", func(ctx context.Context) (points, error) { return s.UsageHours(ctx, 0, two) }),
		asked("59 days before today by hour", func(ctx context.Context) (points, error) { return s.UsageHours(ctx, 0, w.past()) }),
		asked("90 days by hour", func(ctx context.Context) (points, error) { return s.UsageHours(ctx, 0, quarter) }),
		{"top tenants today", func(ctx context.Context) error { _, _, err := s.UsageByTenant(ctx, w.day(), topUsers); return err }},
		{"top tenants of 30 days", func(ctx context.Context) error { _, _, err := s.UsageByTenant(ctx, w.thirty(), topUsers); return err }},
		{"top tenants of 90 days", func(ctx context.Context) error { _, _, err := s.UsageByTenant(ctx, quarter, topUsers); return err }},
		asked("fullest plans", func(ctx context.Context) ([]usage.Allowance, error) { return s.Allowances(ctx, 0, fullestPlans) }),
		asked("latency", func(ctx context.Context) (usage.Latency, error) { return s.Latency(ctx, 0) }),
		asked("calls, first page", func(ctx context.Context) ([]usage.Call, error) { return s.Calls(ctx, 0, uuid.Nil, callsPage) }),
		asked("calls, 45 days back", func(ctx context.Context) ([]usage.Call, error) { return s.Calls(ctx, 0, w.before(deep), callsPage) }),
		asked("calls, before the first", func(ctx context.Context) ([]usage.Call, error) {
			return s.Calls(ctx, 0, w.before(w.end.Sub(w.begin())+time.Hour), callsPage)
		}),
		asked("refusals, first page", func(ctx context.Context) ([]tenancy.Refusal, error) { return s.Refusals(ctx, 0, uuid.Nil, callsPage) }),
		asked("refusals, 45 days back", func(ctx context.Context) ([]tenancy.Refusal, error) {
			return s.Refusals(ctx, 0, w.before(deep), callsPage)
		}),
	}
}

// panelOf is one tenant's usage as the panel shows it.
func (w world) panelOf(s *store.Store, who string, id int64) []read {
	period := usage.PeriodAt(w.end, 1+int(id)%28, w.zone())
	at := func(what string) string { return fmt.Sprintf("%s: %s", who, what) }
	return append(w.usageOf(s, who, id, period),
		asked(at("the tenant"), func(ctx context.Context) (tenancy.Tenant, error) { return s.Tenant(ctx, id) }),
		asked(at("period's totals (filaia usage)"), func(ctx context.Context) (usage.Current, error) { return s.CurrentUsage(ctx, id) }),
		asked(at("refusals"), func(ctx context.Context) ([]tenancy.Refusal, error) { return s.Refusals(ctx, id, uuid.Nil, callsPage) }),
	)
}

// portalOf is the same as its own people see it, held by row-level security.
func (w world) portalOf(p store.Portal, who string, id int64) []read {
	who = "portal of " + who
	period := usage.PeriodAt(w.end, 1+int(id)%28, w.zone())
	at := func(what string) string { return fmt.Sprintf("%s: %s", who, what) }
	return append(w.usageOf(p, who, id, period),
		asked(at("itself"), func(ctx context.Context) (tenancy.Tenant, error) { return p.Self(ctx, id) }),
		asked(at("keys"), func(ctx context.Context) ([]tenancy.Key, error) { return p.OwnKeys(ctx, id) }),
		asked(at("refusals"), func(ctx context.Context) ([]tenancy.Refusal, error) {
			return p.OwnRefusals(ctx, id, uuid.Nil, callsPage)
		}),
	)
}

// usageReader is what panel and portal read alike.
type usageReader interface {
	UsageMinutes(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error)
	UsageHours(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error)
	Allowances(ctx context.Context, tenantID int64, limit int) ([]usage.Allowance, error)
	Latency(ctx context.Context, tenantID int64) (usage.Latency, error)
	Calls(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]usage.Call, error)
	UsageByModel(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error)
	UsageByKey(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error)
}

func (w world) usageOf(from usageReader, who string, id int64, period usage.Period) []read {
	hours := func(what string, span usage.Period) read {
		return asked(who+": "+what, func(ctx context.Context) ([]usage.Point, error) { return from.UsageHours(ctx, id, span) })
	}
	shares := func(what string, span usage.Period, by func(context.Context, int64, usage.Period) ([]usage.Share, error)) read {
		return asked(who+": "+what, func(ctx context.Context) ([]usage.Share, error) { return by(ctx, id, span) })
	}
	calls := func(what string, before uuid.UUID) read {
		return asked(who+": "+what, func(ctx context.Context) ([]usage.Call, error) { return from.Calls(ctx, id, before, callsPage) })
	}
	return []read{
		asked(who+": last hour by minute", func(ctx context.Context) ([]usage.Point, error) {
			return from.UsageMinutes(ctx, id, usage.LastMinutes(w.end, chartMinutes))
		}),
		hours("today and yesterday by hour", usage.LastDays(w.end, 2, w.zone())), hours("59 days before today by hour", w.past()),
		shares("models today", w.day(), from.UsageByModel), shares("models of 30 days", w.thirty(), from.UsageByModel),
		shares("models of the period", period, from.UsageByModel),
		shares("keys today", w.day(), from.UsageByKey), shares("keys of 30 days", w.thirty(), from.UsageByKey), shares("keys of the period", period, from.UsageByKey),
		asked(who+": plans", func(ctx context.Context) ([]usage.Allowance, error) { return from.Allowances(ctx, id, fullestPlans) }),
		asked(who+": latency", func(ctx context.Context) (usage.Latency, error) { return from.Latency(ctx, id) }),
		calls("calls, first page", uuid.Nil), calls("calls, 45 days back", w.before(deep)),
	}
}

// lists are the pages of lists, and the call path's only question.
func (w world) lists(s *store.Store) []read {
	tenants := func(name string, q tenancy.ListQuery) read {
		return asked("tenants, "+name, func(ctx context.Context) (tenancy.Page[tenancy.Tenant], error) { return s.ListTenants(ctx, q) })
	}
	keys := func(name string, q tenancy.ListQuery) read {
		return asked("keys, "+name, func(ctx context.Context) (tenancy.Page[tenancy.Key], error) { return s.ListKeys(ctx, q) })
	}
	return []read{
		tenants("first page", tenancy.ListQuery{Page: 1}), tenants("by use", tenancy.ListQuery{Page: 1, Sort: "use", Desc: true}),
		tenants("by last call", tenancy.ListQuery{Page: 1, Sort: "last_call", Desc: true}), tenants("searched", tenancy.ListQuery{Page: 1, Search: "cliente 01"}),
		tenants("last page", tenancy.ListQuery{Page: max(1, w.tenants/tenancy.PageSize)}),
		keys("first page", tenancy.ListQuery{Page: 1}), keys("by last use", tenancy.ListQuery{Page: 1, Sort: "last_used", Desc: true}),
		keys("searched", tenancy.ListQuery{Page: 1, Search: "chave 77"}), keys("of the large tenant", tenancy.ListQuery{Page: 1, TenantID: w.large()}),
		asked("plans", func(ctx context.Context) (tenancy.Page[tenancy.Plan], error) {
			return s.ListPlans(ctx, tenancy.ListQuery{Page: 1})
		}),
		asked("plans on sale", s.PlansOnSale), asked("models", s.AllModels), asked("models on offer", s.Models), asked("providers", s.Providers),
		asked("forced breakers", s.BreakerForces),
		asked("breakers' history", func(ctx context.Context) ([]tenancy.BreakerChange, error) {
			return s.BreakerChanges(ctx, 0, changesRead)
		}),
		asked("users", func(ctx context.Context) (tenancy.Page[tenancy.User], error) {
			return s.ListUsers(ctx, tenancy.ListQuery{Page: 1})
		}),
		asked("a caller by its key", func(ctx context.Context) (*tenancy.Caller, error) {
			return s.CallerByHash(ctx, sha256.Sum256([]byte("key 1")))
		}),
	}
}
