package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

const (
	responseMissing = "problem.no_page"

	// responsesKept is twice as long as OpenAI keeps a stored response.
	responsesKept = 60 * 24 * time.Hour

	// maxResponseID is far above any provider's; a longer one would not fit into the index, and fail the commit for ever.
	maxResponseID = 500
)

// insertResponses notes whose the responses are that providers have stored. The first to come keeps an id: were it given
// to a second tenant, that one could read the first one's text.
func (t *tx) insertResponses(ctx context.Context, events []usage.Event) error {
	var stored []*usage.Event
	for i := range events {
		if id := events[i].Object; id != "" && len(id) <= maxResponseID {
			stored = append(stored, &events[i])
		}
	}
	if len(stored) == 0 {
		return nil
	}
	slices.SortFunc(stored, func(a, b *usage.Event) int { return strings.Compare(a.Object, b.Object) })
	const insert = `INSERT INTO responses (id, tenant_id, provider, model, tokens, created_at)
		SELECT DISTINCT ON (r.id) r.id, t.id, r.provider, r.model, r.tokens, timestamptz 'epoch' + r.at * interval '1 microsecond'
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) AS r (id, tenant, provider, model, tokens, at)
		JOIN tenants t ON t.id = r.tenant
		ORDER BY r.id, r.at
		ON CONFLICT (id) DO UPDATE SET tokens = excluded.tokens WHERE responses.tenant_id = excluded.tenant_id`
	type event = *usage.Event
	_, err := t.ExecContext(ctx, insert,
		texts(stored, func(e *event) string { return (*e).Object }),
		ints(stored, func(e *event) int64 { return (*e).TenantID }),
		texts(stored, func(e *event) string { return (*e).Provider }),
		texts(stored, func(e *event) string { return (*e).Model }),
		ints(stored, func(e *event) int64 { return max((*e).Served.Total(), (*e).Tokens.Total()) }),
		ints(stored, func(e *event) int64 { return (*e).CreatedAt.UnixMicro() }))
	if err != nil {
		return fmt.Errorf("insert responses: %w", err)
	}
	return nil
}

// KeepResponse notes whose a response is that is still being made, until its call is committed. What is known of it
// already stays, and an id too long to be kept is left out.
func (s *Store) KeepResponse(ctx context.Context, r tenancy.StoredResponse) error {
	if len(r.ID) > maxResponseID || askable(r.ID) == "" {
		return nil
	}
	const insert = `INSERT INTO responses (id, tenant_id, provider, model, tokens, created_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	if _, err := s.db.ExecContext(ctx, insert, r.ID, r.TenantID, r.Provider, r.Model, r.Tokens, s.now().UTC()); err != nil {
		return fmt.Errorf("keep a response of tenant %d: %w", r.TenantID, err)
	}
	return nil
}

// ResponseOwner tells which provider holds a stored response of the tenant, under which public model name it was made,
// and how many tokens it has with all that went before it. NotFound for an id that is unknown, or another tenant's.
func (s *Store) ResponseOwner(ctx context.Context, tenantID int64, id string) (provider, model string, tokens int64, err error) {
	return s.ForTenant(tenantID).ResponseOwner(ctx, id)
}

// ResponseOwner is Store.ResponseOwner of the tenant's own.
func (t *Tenant) ResponseOwner(ctx context.Context, id string) (provider, model string, tokens int64, err error) {
	var row struct {
		Provider string `db:"provider"`
		Model    string `db:"model"`
		Tokens   int64  `db:"tokens"`
	}
	err = t.read(ctx, func(tx *tx) error {
		const query = `SELECT provider, model, tokens FROM responses WHERE id = $1 AND tenant_id = $2`
		return known(tx.GetContext(ctx, &row, query, askable(id), t.id), responseMissing)
	})
	if err != nil {
		return "", "", 0, fmt.Errorf("owner of a response of tenant %d: %w", t.id, err)
	}
	return row.Provider, row.Model, row.Tokens, nil
}

// ForgetResponse notes that the provider has deleted a stored response. One that is not there, or another tenant's, stays
// as it is.
func (s *Store) ForgetResponse(ctx context.Context, tenantID int64, id string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM responses WHERE id = $1 AND tenant_id = $2`, askable(id), tenantID); err != nil {
		return fmt.Errorf("forget a response of tenant %d: %w", tenantID, err)
	}
	return nil
}

// askable is a text that may be looked for: of one that PostgreSQL's text cannot hold, as it may stand in an address,
// nothing is left, and nothing is called that.
func askable(text string) string {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return ""
	}
	return text
}

// SweepResponses removes what no provider has any more and tells how much it was.
func (s *Store) SweepResponses(ctx context.Context) (int64, error) {
	result, err := s.db.ExecContext(ctx, `DELETE FROM responses WHERE created_at < $1`, s.now().Add(-responsesKept))
	if err != nil {
		return 0, fmt.Errorf("sweep responses: %w", err)
	}
	return result.RowsAffected()
}
