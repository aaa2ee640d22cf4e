package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

func retentionShow(ctx context.Context, w world, args []string) error {
	f := newFlags("retention show")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		return printRetention(ctx, w, f, s)
	})
}

func retentionSet(ctx context.Context, w world, args []string) error {
	f := newFlags("retention set")
	var r usage.Retention
	f.IntVar(&r.Months, "months", 0, "how many months after its end a month of single calls is kept, 2 or more (0: for ever)")
	f.need("months")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return f.tell(err)
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		if err := s.SetRetention(ctx, r); err != nil {
			return err
		}
		return printRetention(ctx, w, f, s)
	})
}

type dueShown struct {
	Name     string `json:"name"`
	Month    string `json:"month"`
	WaitsFor string `json:"waits_for"`
}

// printRetention tells how long single calls are kept, and what the server puts aside next.
func printRetention(ctx context.Context, w world, f *flags, s *store.Store) error {
	r, err := s.Retention(ctx)
	if err != nil {
		return err
	}
	due, err := s.DueMonths(ctx)
	if err != nil {
		return err
	}
	next, names := []dueShown{}, []string{}
	for _, m := range due {
		shown := dueShown{m.Name, m.Month.Format("2006-01"), waitInWords(m)}
		next = append(next, shown)
		name := shown.Month
		if shown.WaitsFor != "" {
			name += " (waits for " + shown.WaitsFor + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		names = []string{"nothing"}
	}
	out := struct {
		Months int        `json:"months"`
		Words  string     `json:"words"`
		Next   []dueShown `json:"next"`
	}{r.Months, retentionInWords(r), next}
	return f.print(w, out, []string{"MONTHS", "SINGLE CALLS ARE KEPT", "PUT ASIDE NEXT"},
		[][]string{{strconv.Itoa(r.Months), out.Words, strings.Join(names, ", ")}})
}

func retentionInWords(r usage.Retention) string {
	if r.Months == 0 {
		return "for ever"
	}
	return fmt.Sprintf("for %d months after the month in which they were made", r.Months)
}

func waitInWords(m usage.DueMonth) string {
	switch m.Waits {
	case usage.WaitPeriod:
		return "a billing period that is still open"
	case usage.WaitSpool:
		return "calls that may be in the spool of " + m.For
	}
	return ""
}

type archiveShown struct {
	Name       string     `json:"name"`
	Month      string     `json:"month"`
	DetachedAt time.Time  `json:"detached_at"`
	Rows       int64      `json:"rows"` // -1: not counted yet
	Bytes      int64      `json:"bytes"`
	DroppedAt  *time.Time `json:"dropped_at"`
}

func retentionList(ctx context.Context, w world, args []string) error {
	f := newFlags("retention list")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		months, err := s.ArchivedMonths(ctx)
		if err != nil {
			return err
		}
		out, rows := []archiveShown{}, [][]string{}
		for _, m := range months {
			shown := archiveShown{m.Name, m.Month.Format("2006-01"), m.DetachedAt, m.Rows, m.Bytes, nil}
			const minute = "2006-01-02 15:04"
			calls, dropped := id(m.Rows), "-"
			if m.Rows < 0 {
				calls = "being counted"
			}
			if !m.DroppedAt.IsZero() {
				shown.DroppedAt, dropped = &m.DroppedAt, m.DroppedAt.In(cfg.TimeZone).Format(minute)
			}
			out = append(out, shown)
			rows = append(rows, []string{m.Name, shown.Month, m.DetachedAt.In(cfg.TimeZone).Format(minute), calls, megabytes(m.Bytes), dropped})
		}
		return f.print(w, out, []string{"NAME", "MONTH", "PUT ASIDE", "CALLS", "SIZE", "DROPPED"}, rows)
	})
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

func retentionDrop(ctx context.Context, w world, args []string) error {
	f := newFlags("retention drop")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if len(f.rest) == 0 {
		return errors.New("give the name of the month to drop; filaia retention list shows them")
	}
	name := f.rest[0]
	if f.rest = f.rest[1:]; len(f.rest) > 0 {
		return f.noRest()
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		err := s.DropMonth(ctx, name)
		if fault.Is(err, fault.NotFound) {
			return fmt.Errorf("no month is put aside under the name %q; filaia retention list shows them", name)
		}
		if err != nil {
			return err
		}
		out := struct {
			Name    string `json:"name"`
			Dropped bool   `json:"dropped"`
		}{name, true}
		return f.print(w, out, []string{"NAME", "DROPPED"}, [][]string{{name, "true"}})
	})
}
