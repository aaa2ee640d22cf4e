package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// priceRow is a price, or nothing where an outer join found none.
type priceRow struct {
	ProviderID  *int64     `db:"provider_id"`
	Since       *time.Time `db:"since"`
	Input       *int64     `db:"input_price_micros"`
	CachedInput *int64     `db:"cached_input_price_micros"`
	Output      *int64     `db:"output_price_micros"`
	Reasoning   *int64     `db:"reasoning_price_micros"`
	Request     *int64     `db:"request_price_micros"`
}

const priceColumns = `p.provider_id, p.since, p.input_price_micros, p.cached_input_price_micros, p.output_price_micros,
	p.reasoning_price_micros, p.request_price_micros`

// price is zero where there is none; Since tells the difference.
func (r priceRow) price() tenancy.Price {
	if r.Since == nil {
		return tenancy.Price{}
	}
	p := tenancy.Price{Since: r.Since.UTC(), Input: money.Micros(*r.Input), CachedInput: money.Micros(*r.CachedInput),
		Output: money.Micros(*r.Output), Reasoning: money.Micros(*r.Reasoning), Request: money.Micros(*r.Request)}
	if r.ProviderID != nil {
		p.ProviderID = *r.ProviderID
	}
	return p
}

// priceSlack is how far back a price may begin and still count as one that begins now: forms give whole minutes.
const priceSlack = time.Minute

// SetPrice appends a price to a model's history: of one provider, or with ProviderID 0 of every one without a price of its
// own. Since zero means now; a later moment takes effect by itself (see NextPriceAt). An earlier one is a Conflict, because
// the calls since then were charged at the price that held.
func (s *Store) SetPrice(ctx context.Context, model string, p tenancy.Price) error {
	if err := p.Validate(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockModel(ctx, model); err != nil {
			return err
		}
		return tx.insertPrice(ctx, model, p)
	})
	if err != nil {
		return fmt.Errorf("price of model %q: %w", model, err)
	}
	return nil
}

// insertPrice appends a price to the history of a locked or new model.
func (t *tx) insertPrice(ctx context.Context, model string, p tenancy.Price) error {
	p.Since = p.Since.UTC().Truncate(time.Microsecond)
	if p.Since.Before(t.now) {
		if !p.Since.IsZero() && p.Since.Before(t.now.Add(-priceSlack)) {
			return pastPrice()
		}
		p.Since = t.now
	}
	var newest *time.Time
	const last = `SELECT max(since) FROM model_prices WHERE model = $1 AND provider_id IS NOT DISTINCT FROM NULLIF($2::bigint, 0) AND since <= $3`
	if err := t.GetContext(ctx, &newest, last, model, p.ProviderID, t.now.Add(time.Millisecond)); err != nil {
		return err
	}
	if newest != nil && !p.Since.After(*newest) { // several at once: the last one holds
		p.Since = newest.UTC().Add(time.Microsecond)
	}
	const insert = `INSERT INTO model_prices (model, provider_id, since, input_price_micros, cached_input_price_micros, output_price_micros,
		reasoning_price_micros, request_price_micros, created_at) VALUES ($1, NULLIF($2, 0), $3, $4, $5, $6, $7, $8, $9)`
	_, err := t.ExecContext(ctx, insert, model, p.ProviderID, p.Since, p.Input, p.CachedInput, p.Output, p.Reasoning, p.Request, t.now)
	if err != nil {
		return known(err, modelMissing)
	}
	return t.audit(ctx, "price.set", modelSubject(model), 0, map[string]any{
		"provider_id": p.ProviderID, "since": p.Since, "input_usd_micros": p.Input, "cached_input_usd_micros": p.CachedInput,
		"output_usd_micros": p.Output, "reasoning_usd_micros": p.Reasoning, "request_usd_micros": p.Request,
	})
}

func pastPrice() error {
	f := fault.New(fault.Conflict, "models.error.price_in_past")
	f.Fields = []fault.Field{{Name: "since", Key: f.Key}}
	return f
}

// Prices gives a model's history of prices, the newest first, those that begin later too.
func (s *Store) Prices(ctx context.Context, model string) ([]tenancy.Price, error) {
	var rows []priceRow
	const query = `SELECT ` + priceColumns + ` FROM model_prices p WHERE p.model = $1 ORDER BY p.since DESC, p.provider_id NULLS FIRST`
	if err := s.db.SelectContext(ctx, &rows, query, model); err != nil {
		return nil, fmt.Errorf("prices of model %q: %w", model, err)
	}
	prices := make([]tenancy.Price, len(rows))
	for i, r := range rows {
		prices[i] = r.price()
	}
	return prices, nil
}

// NextPriceAt tells when the next price begins, so that whoever keeps prices in memory reads them again then; zero
// when none is to come.
func (s *Store) NextPriceAt(ctx context.Context) (time.Time, error) {
	var next *time.Time
	if err := s.db.GetContext(ctx, &next, `SELECT min(since) FROM model_prices WHERE since > $1`, s.now()); err != nil {
		return time.Time{}, fmt.Errorf("next price: %w", err)
	}
	if next == nil {
		return time.Time{}, nil
	}
	return next.UTC(), nil
}

// requirePrices refuses a model on offer with a route whose calls would cost nothing because no price holds now.
func (t *tx) requirePrices(ctx context.Context, model string) error {
	var missing bool
	const query = `SELECT EXISTS (SELECT FROM model_routes r JOIN models m ON m.name = r.model
		WHERE r.model = $1 AND m.active AND r.active AND NOT EXISTS (SELECT FROM model_prices p
			WHERE p.model = r.model AND (p.provider_id IS NULL OR p.provider_id = r.provider_id) AND p.since <= $2))`
	if err := t.GetContext(ctx, &missing, query, model, t.now); err != nil {
		return err
	}
	if missing {
		f := fault.New(fault.Conflict, "models.error.no_price")
		f.Fields = []fault.Field{{Name: "active", Key: f.Key}}
		return f
	}
	return nil
}
