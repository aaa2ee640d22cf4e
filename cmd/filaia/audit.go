package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store"
)

// auditRun compares the books and fails where they do not agree.
func auditRun(ctx context.Context, w world, args []string) error {
	f := newFlags("audit")
	all := f.Bool("all", false, "every period; without a scope those that are open or ended within 62 days")
	since := f.String("since", "", "periods that end after this date, such as 2026-10-01")
	period := f.Int64("period", 0, "id of one period")
	settled := f.Bool("settled", false, "every replica has stopped: a lease that is left is a difference")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	scope, err := auditScope(*all, *since, *period)
	if err != nil {
		return err
	}
	scope.Settled = *settled
	return withBooks(ctx, w, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		scope.Grace = cfg.LeaseGrace
		a, err := s.RunAudit(ctx, scope)
		if err != nil {
			return err
		}
		if err := printAudit(w, f, a, cfg.TimeZone); err != nil {
			return err
		}
		if a.Differences > 0 {
			return fmt.Errorf("audit: %s", many(a.Differences, "difference"))
		}
		return nil
	})
}

// many says how many of something there are.
func many(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func auditScope(all bool, since string, period int64) (scope usage.AuditScope, err error) {
	given := 0
	for _, yes := range []bool{all, since != "", period != 0} {
		if yes {
			given++
		}
	}
	switch {
	case given > 1:
		return scope, errors.New("--all, --since and --period: give one of them")
	case period < 0:
		return scope, fmt.Errorf("--period: %d is no id of a period", period)
	case period != 0:
		return usage.AuditScope{PeriodID: period}, nil
	case all:
		return scope, nil
	case since == "":
		return usage.RecentScope(time.Now()), nil
	}
	if scope.Since, err = time.Parse(time.DateOnly, since); err != nil {
		return scope, fmt.Errorf("--since: %q is no date; give one such as 2026-10-01", since)
	}
	return scope, nil
}

// withBooks runs a command that reads the database as it is: it makes none and migrates none.
func withBooks(ctx context.Context, w world, fn func(context.Context, config.Config, *store.Store) error) error {
	cfg, err := config.Load(w.getenv)
	if err != nil {
		return err
	}
	if cfg.DatabaseURL == "" {
		if _, err := os.Stat(filepath.Join(cfg.DataDir, "pg")); err != nil {
			return fmt.Errorf("FILAIA_DATA_DIR: there is no database in %s; filaia serve makes one", cfg.DataDir)
		}
	}
	log := slog.New(slog.NewTextHandler(w.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	missing, err := migrations.Behind(ctx, db.DB())
	if err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("the database lacks %s and was left as it is; run filaia migrate up first", many(missing, "migration"))
	}
	return fn(tenancy.WithActor(ctx, tenancy.Actor{Label: "command line"}), cfg, db.Store)
}

// compared says in words what each check compares.
func compared(check string) string {
	switch check {
	case usage.CheckEventsHours:
		return "single calls with hourly figures, by hour, key and model"
	case usage.CheckEventsUsed:
		return "sum of single calls with tokens used, by period"
	case usage.CheckHoursUsed:
		return "sum of hourly figures with tokens used, by period"
	case usage.CheckLeases:
		return "sum of leases with tokens leased, by period"
	case usage.CheckLimits:
		return "used - overrun + leased with the limit, where a plan blocks"
	case usage.CheckOverruns:
		return "sum of noted overruns with overrun, by period"
	case usage.CheckFolded:
		return "sums of long spans with hourly figures"
	case usage.CheckOwners:
		return "every hourly figure and call has its period and customer"
	case usage.CheckPeriods:
		return "periods have a bucket and follow each other"
	case usage.CheckSettled:
		return "no lease is left"
	}
	return check
}

func printAudit(w world, f *flags, a *usage.Audit, zone *time.Location) error {
	rows := [][]string{}
	for _, c := range a.Checks {
		rows = append(rows, []string{c.Name, compared(c.Name), id(c.Rows), strconv.Itoa(c.Differences)})
	}
	out := struct {
		*usage.Audit
		TookMS int64 `json:"took_ms"`
	}{a, a.Took.Milliseconds()}
	if err := f.print(w, out, []string{"CHECK", "COMPARED", "ROWS", "DIFFERENCES"}, rows); err != nil || f.json {
		return err
	}
	if len(a.Details) > 0 {
		fmt.Fprintln(w.stdout)
		if err := printDifferences(w.stdout, a, zone); err != nil {
			return err
		}
	}
	fmt.Fprintln(w.stdout)
	for _, n := range a.Notes {
		fmt.Fprintln(w.stdout, noteInWords(n, zone))
	}
	fmt.Fprintf(w.stdout, "%s compared in %s.\n", many(a.Periods, "period"), a.Took.Round(time.Millisecond))
	return nil
}

func printDifferences(out io.Writer, a *usage.Audit, zone *time.Location) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CHECK\tCUSTOMER\tPERIOD\tWHERE\tFIGURE\tEXPECTED\tFOUND")
	for _, d := range a.Details {
		expected, found := id(d.Expected), id(d.Found)
		if d.Figure == usage.FigureStart {
			expected, found = instant(d.Expected, zone), instant(d.Found, zone)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Check, customer(d.AuditSubject), span(d.AuditSubject, zone), where(d, zone), d.Figure, expected, found)
	}
	if unlisted := a.Differences - len(a.Details); unlisted > 0 {
		fmt.Fprintf(t, "and %d more\n", unlisted)
	}
	return t.Flush()
}

func instant(micros int64, zone *time.Location) string {
	return time.UnixMicro(micros).In(zone).Format("2006-01-02T15:04:05.999999")
}

func customer(s usage.AuditSubject) string {
	switch {
	case s.Tenant != "":
		return fmt.Sprintf("%s (%d)", s.Tenant, s.TenantID)
	case s.TenantID != 0:
		return fmt.Sprintf("unknown (%d)", s.TenantID)
	}
	return "all"
}

func span(s usage.AuditSubject, zone *time.Location) string {
	switch {
	case !s.Start.IsZero():
		return fmt.Sprintf("%s to %s (%d)", s.Start.In(zone).Format(time.DateOnly), s.End.In(zone).Format(time.DateOnly), s.PeriodID)
	case s.PeriodID != 0:
		return fmt.Sprintf("(%d)", s.PeriodID)
	}
	return "-"
}

// where tells which hour, key, model, table or replica a difference is about.
func where(d usage.Difference, zone *time.Location) string {
	text := d.Table
	if !d.Hour.IsZero() {
		text += " " + d.Hour.In(zone).Format("2006-01-02 15:04")
	}
	if d.KeyID != 0 {
		text += fmt.Sprintf(" key %d", d.KeyID)
	}
	for _, word := range []string{d.Model, d.Replica} {
		if word != "" {
			text += " " + word
		}
	}
	if text == "" {
		return "-"
	}
	return text
}

func noteInWords(n usage.AuditNote, zone *time.Location) string {
	switch n.Kind {
	case usage.NoteDetached:
		return fmt.Sprintf("Note: the single calls of %s were put aside; periods with calls in it are compared by their hourly figures only.", n.Month.Format("2006-01"))
	case usage.NoteAbandoned:
		seen := "is unknown"
		if !n.SeenAt.IsZero() {
			seen = "was last heard of at " + n.SeenAt.In(zone).Format("2006-01-02 15:04:05")
		}
		return fmt.Sprintf("Note: leases left by a dead replica: %s, which %s, holds %d input and %d output tokens of %s, period %s.",
			n.Replica, seen, n.Input, n.Output, customer(n.AuditSubject), span(n.AuditSubject, zone))
	}
	return "Note: " + n.Kind
}
