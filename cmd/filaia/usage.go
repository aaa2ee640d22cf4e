package main

import (
	"context"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

func usageShow(ctx context.Context, w world, args []string) error {
	f := newFlags("usage")
	tenant := f.Int64("tenant", 0, "id of the customer")
	f.need("tenant")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		u, err := s.CurrentUsage(ctx, *tenant)
		if err != nil {
			return tenantKnown(err, *tenant)
		}
		overage := tenancy.Charge
		if u.Hard {
			overage = tenancy.Block
		}
		out := struct {
			TenantID     int64           `json:"tenant_id"`
			Plan         string          `json:"plan"`
			PeriodStart  time.Time       `json:"period_start"`
			PeriodEnd    time.Time       `json:"period_end"`
			Requests     int64           `json:"requests"`
			Failures     int64           `json:"failures"`
			InputTokens  int64           `json:"input_tokens"`
			CachedTokens int64           `json:"cached_tokens"`
			OutputTokens int64           `json:"output_tokens"`
			LimitInput   int64           `json:"limit_input"`
			LimitOutput  int64           `json:"limit_output"`
			Overage      tenancy.Overage `json:"overage"`
			CostUSD      string          `json:"cost_usd"`
			ChargeBRL    string          `json:"charge_brl"`
		}{
			*tenant, u.PlanName, u.Period.Start, u.Period.End, u.Requests, u.Failures, u.Tokens.Input, u.Tokens.Cached, u.Tokens.Output,
			u.LimitInput, u.LimitOutput, overage, u.CostUSD.Plain(), u.ChargeBRL.Plain(),
		}
		const day = "2006-01-02 15:04"
		return f.print(w, out,
			[]string{"PLAN", "SINCE", "UNTIL", "REQUESTS", "INPUT", "OF", "OUTPUT", "OF", "COST US$", "CHARGE R$"},
			[][]string{{u.PlanName, u.Period.Start.In(u.Zone).Format(day), u.Period.End.In(u.Zone).Format(day), id(u.Requests), id(u.Tokens.Input),
				id(u.LimitInput), id(u.Tokens.Output), id(u.LimitOutput), u.CostUSD.Plain(), u.ChargeBRL.Plain()}})
	})
}
