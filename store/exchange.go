package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

type rateRow struct {
	Day    time.Time    `db:"day"`
	BRL    money.Micros `db:"brl_micros"`
	Source string       `db:"source"`
}

func (r rateRow) rate() tenancy.ExchangeRate {
	return tenancy.ExchangeRate{Day: midnight(r.Day), BRL: r.BRL, Source: r.Source}
}

// midnight is the date of a moment, in the moment's own zone, at midnight UTC.
func midnight(at time.Time) time.Time {
	year, month, day := at.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// ExchangeRate gives the rate that holds at a moment: of the newest day up to its date in its own zone. NotFound when
// there is none.
func (s *Store) ExchangeRate(ctx context.Context, at time.Time) (tenancy.ExchangeRate, error) {
	var row rateRow
	const query = `SELECT day, brl_micros, source FROM exchange_rates WHERE day <= $1 ORDER BY day DESC LIMIT 1`
	if err := s.db.GetContext(ctx, &row, query, midnight(at)); err != nil {
		return tenancy.ExchangeRate{}, fmt.Errorf("exchange rate of %s: %w", at.Format(time.DateOnly), known(err, "rates.error.not_found"))
	}
	return row.rate(), nil
}

// SetExchangeRate keeps a day's rate, in place of the one it may have.
func (s *Store) SetExchangeRate(ctx context.Context, r tenancy.ExchangeRate) error {
	if err := r.Validate(); err != nil {
		return err
	}
	day := midnight(r.Day)
	name := day.Format(time.DateOnly)
	err := s.inTx(ctx, func(tx *tx) error {
		const upsert = `INSERT INTO exchange_rates (day, brl_micros, source, recorded_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (day) DO UPDATE SET brl_micros = EXCLUDED.brl_micros, source = EXCLUDED.source, recorded_at = EXCLUDED.recorded_at`
		if _, err := tx.ExecContext(ctx, upsert, day, r.BRL, r.Source, tx.now); err != nil {
			return err
		}
		return tx.audit(ctx, "exchange_rate.set", "exchange_rate:"+name, 0, map[string]any{"brl_micros": r.BRL, "source": r.Source})
	})
	if err != nil {
		return fmt.Errorf("set exchange rate of %s: %w", name, err)
	}
	return nil
}

// ExchangeRates gives the newest days first, at most limit.
func (s *Store) ExchangeRates(ctx context.Context, limit int) ([]tenancy.ExchangeRate, error) {
	var rows []rateRow
	const query = `SELECT day, brl_micros, source FROM exchange_rates ORDER BY day DESC LIMIT $1`
	if err := s.db.SelectContext(ctx, &rows, query, limit); err != nil {
		return nil, fmt.Errorf("list exchange rates: %w", err)
	}
	rates := make([]tenancy.ExchangeRate, len(rows))
	for i, r := range rows {
		rates[i] = r.rate()
	}
	return rates, nil
}
