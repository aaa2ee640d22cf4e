package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/tenancy"
)

const providerMissing = "providers.error.not_found"

// providerRow is a provider; its times are whole milliseconds.
type providerRow struct {
	ID              int64     `db:"id"`
	Slug            string    `db:"slug"`
	Name            string    `db:"name"`
	Kind            string    `db:"kind"`
	BaseURL         string    `db:"base_url"`
	APIVersion      string    `db:"api_version"`
	Credential      []byte    `db:"credential"`
	CredentialHint  string    `db:"credential_hint"`
	FromEnvironment bool      `db:"from_environment"`
	Active          bool      `db:"active"`
	CreatedAt       time.Time `db:"created_at"`
	limitsRow
}

// limitsRow is also what the audit log keeps of a provider's limits.
type limitsRow struct {
	ConnectMS             int64 `db:"connect_ms" json:"connect_ms"`
	FirstByteMS           int64 `db:"first_byte_ms" json:"first_byte_ms"`
	IdleMS                int64 `db:"idle_ms" json:"idle_ms"`
	TotalMS               int64 `db:"total_ms" json:"total_ms"`
	Retries               int   `db:"retries" json:"retries"`
	HedgeMS               int64 `db:"hedge_ms" json:"hedge_ms"`
	MaxParallel           int   `db:"max_parallel" json:"max_parallel"`
	MaxWaiting            int   `db:"max_waiting" json:"max_waiting"`
	MaxWaitMS             int64 `db:"max_wait_ms" json:"max_wait_ms"`
	BreakerFailurePercent int   `db:"breaker_failure_percent" json:"breaker_failure_percent"`
	BreakerMinCalls       int   `db:"breaker_min_calls" json:"breaker_min_calls"`
	BreakerWindowMS       int64 `db:"breaker_window_ms" json:"breaker_window_ms"`
	BreakerSlowMS         int64 `db:"breaker_slow_ms" json:"breaker_slow_ms"`
	BreakerOpenMS         int64 `db:"breaker_open_ms" json:"breaker_open_ms"`
}

const limitColumns = `connect_ms, first_byte_ms, idle_ms, total_ms, retries, hedge_ms, max_parallel, max_waiting, max_wait_ms,
	breaker_failure_percent, breaker_min_calls, breaker_window_ms, breaker_slow_ms, breaker_open_ms`

const providerColumns = `id, slug, name, kind, base_url, api_version, credential, credential_hint, from_environment, active, created_at, ` + limitColumns

func limitsOf(l tenancy.ProviderLimits) limitsRow {
	return limitsRow{
		ConnectMS: l.Connect.Milliseconds(), FirstByteMS: l.FirstByte.Milliseconds(), IdleMS: l.Idle.Milliseconds(), TotalMS: l.Total.Milliseconds(),
		Retries: l.Retries, HedgeMS: l.Hedge.Milliseconds(),
		MaxParallel: l.MaxParallel, MaxWaiting: l.MaxWaiting, MaxWaitMS: l.MaxWait.Milliseconds(),
		BreakerFailurePercent: l.BreakerFailurePercent, BreakerMinCalls: l.BreakerMinCalls, BreakerWindowMS: l.BreakerWindow.Milliseconds(),
		BreakerSlowMS: l.BreakerSlow.Milliseconds(), BreakerOpenMS: l.BreakerOpen.Milliseconds(),
	}
}

func (r limitsRow) limits() tenancy.ProviderLimits {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return tenancy.ProviderLimits{
		Connect: ms(r.ConnectMS), FirstByte: ms(r.FirstByteMS), Idle: ms(r.IdleMS), Total: ms(r.TotalMS),
		Retries: r.Retries, Hedge: ms(r.HedgeMS),
		MaxParallel: r.MaxParallel, MaxWaiting: r.MaxWaiting, MaxWait: ms(r.MaxWaitMS),
		BreakerFailurePercent: r.BreakerFailurePercent, BreakerMinCalls: r.BreakerMinCalls, BreakerWindow: ms(r.BreakerWindowMS),
		BreakerSlow: ms(r.BreakerSlowMS), BreakerOpen: ms(r.BreakerOpenMS),
	}
}

func (r providerRow) provider() tenancy.Provider {
	return tenancy.Provider{
		ID: r.ID, Slug: r.Slug, Name: r.Name, Kind: tenancy.ProviderKind(r.Kind), BaseURL: r.BaseURL, APIVersion: r.APIVersion,
		Credential: r.Credential, CredentialHint: r.CredentialHint, FromEnvironment: r.FromEnvironment, Active: r.Active,
		Limits: r.limits(), CreatedAt: r.CreatedAt,
	}
}

// Providers gives every provider by name, those that are switched off too. Credentials are sealed.
func (s *Store) Providers(ctx context.Context) ([]tenancy.Provider, error) {
	var rows []providerRow
	const query = `SELECT ` + providerColumns + ` FROM providers ORDER BY lower(name), id`
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("list providers: %w", err)
	}
	providers := make([]tenancy.Provider, len(rows))
	for i, r := range rows {
		providers[i] = r.provider()
	}
	return providers, nil
}

// Provider reads one provider. NotFound when there is none.
func (s *Store) Provider(ctx context.Context, id int64) (tenancy.Provider, error) {
	return oneProvider(ctx, s.db, `id = $1`, id)
}

// ProviderBySlug is Provider by slug.
func (s *Store) ProviderBySlug(ctx context.Context, slug string) (tenancy.Provider, error) {
	return oneProvider(ctx, s.db, `slug = $1`, slug)
}

func oneProvider(ctx context.Context, db sqlx.QueryerContext, where string, arg any) (tenancy.Provider, error) {
	var row providerRow
	if err := sqlx.GetContext(ctx, db, &row, `SELECT `+providerColumns+` FROM providers WHERE `+where, arg); err != nil {
		return tenancy.Provider{}, fmt.Errorf("provider %v: %w", arg, known(err, providerMissing))
	}
	return row.provider(), nil
}
