package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// folded is the SQL of a text without case and without Portuguese accents. It needs neither an extension nor a
// locale, which a private cluster may lack.
func folded(expr string) string {
	return `lower(translate(` + expr + `, 'ÁÀÂÃÄÉÈÊËÍÌÎÏÓÒÔÕÖÚÙÛÜÇÑáàâãäéèêëíìîïóòôõöúùûüçñ', 'AAAAAEEEEIIIIOOOOOUUUUCNaaaaaeeeeiiiiooooouuuucn'))`
}

// matches is the SQL that is true when any of the texts contains the parameter, or the parameter is empty.
func matches(parameter string, texts ...string) string {
	sql := parameter + ` = ''`
	for _, text := range texts {
		sql += ` OR strpos(` + folded(text) + `, ` + folded(parameter) + `) > 0`
	}
	return `(` + sql + `)`
}

// listing is a list that pages can ask for: its rows, what they may be sorted by, and the sort when nothing is asked.
type listing struct {
	columns string // of a row
	from    string // FROM and WHERE
	sorts   map[string]string
	initial string // a key of sorts
	newest  bool   // the initial sort is downwards
	tie     string // column that makes the order total
}

// order is the ORDER BY for what was asked. What has no value comes last in both directions.
func (l listing) order(q tenancy.ListQuery) string {
	expr, ok := l.sorts[q.Sort]
	if !ok {
		expr, q.Desc = l.sorts[l.initial], l.newest
	}
	direction := "ASC"
	if q.Desc {
		direction = "DESC"
	}
	return fmt.Sprintf(" ORDER BY %s %s NULLS LAST, %s %s", expr, direction, l.tie, direction)
}

// selectPage reads one page of a list into rows, and counts them all.
func selectPage[Row any](ctx context.Context, db sqlx.QueryerContext, l listing, q tenancy.ListQuery, args ...any) (rows []Row, total int, err error) {
	if err := sqlx.GetContext(ctx, db, &total, `SELECT count(*) `+l.from, args...); err != nil {
		return nil, 0, fmt.Errorf("count: %w", err)
	}
	limit := fmt.Sprintf(" LIMIT %d OFFSET %d", tenancy.PageSize, q.Offset())
	if err := sqlx.SelectContext(ctx, db, &rows, `SELECT `+l.columns+` `+l.from+l.order(q)+limit, args...); err != nil {
		return nil, 0, fmt.Errorf("rows: %w", err)
	}
	return rows, total, nil
}
