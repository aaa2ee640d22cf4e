package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/usage"
)

// foldedTable is a table of sums of usage_hourly: the column of its time, what usage_hourly's rows are cut to, up to
// where it is folded, and what else a row belongs to.
type foldedTable struct{ name, at, cut, until, of string }

func foldedTables() []foldedTable {
	const day, hour = `date_trunc('day', hour, 'UTC')`, `hour`
	const days, hours = `date_trunc('day', (SELECT until FROM usage_folded), 'UTC')`, `(SELECT until FROM usage_folded)`
	return []foldedTable{
		{"usage_hours", "hour", hour, hours, ""},
		{"usage_tenant_hours", "hour", hour, hours, "tenant_id"},
		{"usage_tenant_days", "day", day, days, "tenant_id"},
		{"usage_key_days", "day", day, days, "tenant_id, key_id, period_id, model"},
	}
}

// query gives the rows that differ from the sums of usage_hourly since $1.
func (f foldedTable) query() string {
	grain := []string{"at"}
	if f.of != "" {
		grain = append(grain, strings.Split(f.of, ", ")...)
	}
	var sums, names, ours, theirs []string
	shown := []string{"coalesce(o.at, t.at)"}
	for _, column := range []string{"tenant_id", "key_id", "period_id", "model"} {
		switch {
		case strings.Contains(f.of, column):
			shown = append(shown, fmt.Sprintf("coalesce(o.%s, t.%[1]s)", column))
		case column == "model":
			shown = append(shown, "''")
		default:
			shown = append(shown, "0::bigint")
		}
	}
	for _, c := range hourColumns() {
		sums = append(sums, fmt.Sprintf("sum(%s)::bigint AS %[1]s", c.name))
		names = append(names, c.name)
		ours, theirs = append(ours, "o."+c.name), append(theirs, "t."+c.name)
		shown = append(shown, fmt.Sprintf("coalesce(o.%s, 0), coalesce(t.%[1]s, 0)", c.name))
	}
	of := strings.Join(append([]string{""}, grain[1:]...), ", ")
	return `WITH o AS (SELECT ` + f.cut + ` AS at` + of + `, ` + strings.Join(sums, ", ") + ` FROM usage_hourly
			WHERE hour >= $1::timestamptz AND hour < ` + f.until + ` GROUP BY ` + strings.Join(append([]string{f.cut}, grain[1:]...), ", ") + `),
		t AS (SELECT ` + f.at + ` AS at` + of + `, ` + strings.Join(names, ", ") + ` FROM ` + f.name + ` WHERE ` + f.at + ` >= $1::timestamptz)
		SELECT ` + strings.Join(shown, ", ") + ` FROM o FULL JOIN t USING (` + strings.Join(grain, ", ") + `)
		WHERE (` + strings.Join(ours, ", ") + `) IS DISTINCT FROM (` + strings.Join(theirs, ", ") + `) ORDER BY 1, 2, 3, 4, 5`
}

// compareFolded compares the sums that pages read of long spans with the hourly figures that they are made of.
func (a *auditor) compareFolded(ctx context.Context, t *sqlx.Tx) error {
	if a.Scope.PeriodID != 0 { // they are not of one period
		return nil
	}
	since := any("-infinity")
	if !a.Scope.Since.IsZero() {
		since = a.Scope.Since.UTC().Truncate(utcDay)
	}
	for _, table := range foldedTables() {
		if err := a.compareTable(ctx, t, table, since); err != nil {
			return fmt.Errorf("compare %s: %w", table.name, err)
		}
	}
	return nil
}

func (a *auditor) compareTable(ctx context.Context, t *sqlx.Tx, table foldedTable, since any) error {
	var count int64
	if err := t.GetContext(ctx, &count, `SELECT count(*) FROM `+table.name+` WHERE `+table.at+` >= $1::timestamptz`, since); err != nil {
		return err
	}
	a.Compared(usage.CheckFolded, count)
	rows, err := t.QueryContext(ctx, table.query(), since)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		d := usage.Difference{Check: usage.CheckFolded, Table: table.name}
		var hourly, folded figures
		into := []any{&d.Hour, &d.TenantID, &d.KeyID, &d.PeriodID, &d.Model}
		for i := range hourly {
			into = append(into, &hourly[i], &folded[i])
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		d.Hour = d.Hour.UTC()
		for i, c := range hourColumns() {
			if hourly[i] != folded[i] {
				d.Figure, d.Expected, d.Found = c.name, hourly[i], folded[i]
				a.Differ(d)
			}
		}
	}
	return rows.Err()
}

// nameTenants gives the names of the customers that are known by their id only.
func (a *auditor) nameTenants(ctx context.Context, t *sqlx.Tx) error {
	for i := range a.Details {
		d := &a.Details[i]
		if d.TenantID == 0 || d.Tenant != "" {
			continue
		}
		var name sql.NullString
		if err := t.GetContext(ctx, &name, `SELECT (SELECT name FROM tenants WHERE id = $1)`, d.TenantID); err != nil {
			return fmt.Errorf("name tenant %d: %w", d.TenantID, err)
		}
		d.Tenant = name.String
	}
	return nil
}
