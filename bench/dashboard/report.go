package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// target is what each read may take.
const target = 50 * time.Millisecond

// report is what was measured.
type report struct {
	World    world
	Loading  time.Duration // zero: the data were there
	Sizes    []size
	Settings []string
	Figures  []figure
}

type size struct {
	Table             string
	Rows              int64
	Bytes, IndexBytes int64
}

// figure is how long one read took.
type figure struct {
	Name             string
	Cold             time.Duration // zero: not measured
	Median, P95, Max time.Duration
	CPU              time.Duration // of PostgreSQL's process and of this one, on average: no neighbour adds to it
}

func (f figure) missed() bool { return f.Median >= target }

// readCold makes each read once, after everybody forgot.
func (r *report) readCold(ctx context.Context, db *database, w world) error {
	for i := range w.reads(db.store(w.end)) {
		if err := db.forget(ctx); err != nil {
			return err
		}
		one := w.reads(db.store(w.end))[i] // of the new connection
		if err := db.sql.PingContext(ctx); err != nil {
			return err
		}
		took, err := timed(ctx, one)
		if err != nil {
			return err
		}
		r.Figures = append(r.Figures, figure{Name: one.name, Cold: took})
	}
	return nil
}

// readWarm makes each read as often as told, after it was made once.
func (r *report) readWarm(ctx context.Context, db *database, w world, runs int) error {
	db.sql.SetMaxOpenConns(1) // one process of PostgreSQL, whose CPU time is known
	for i, one := range w.reads(db.store(w.end)) {
		if len(r.Figures) <= i {
			r.Figures = append(r.Figures, figure{Name: one.name})
		}
		if _, err := timed(ctx, one); err != nil {
			return err
		}
		before, err := db.cpu(ctx)
		if err != nil {
			return err
		}
		times := make([]time.Duration, runs)
		for n := range times {
			var err error
			if times[n], err = timed(ctx, one); err != nil {
				return err
			}
		}
		after, err := db.cpu(ctx)
		if err != nil {
			return err
		}
		slices.Sort(times)
		f := &r.Figures[i]
		f.Median, f.P95, f.Max = times[runs/2], times[(runs*95+99)/100-1], times[runs-1]
		f.CPU = (after - before) / time.Duration(runs)
	}
	return nil
}

func timed(ctx context.Context, one read) (time.Duration, error) {
	began := time.Now()
	if err := one.run(ctx); err != nil {
		return 0, fmt.Errorf("%s: %w", one.name, err)
	}
	return time.Since(began), nil
}

func (r *report) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "median\tp95\tmax\tCPU\tcold\t\t \n")
	missed, slowest := 0, figure{}
	for _, f := range r.Figures {
		verdict := "ok"
		if f.missed() {
			verdict, missed = "MISSED", missed+1
		}
		if f.Median > slowest.Median {
			slowest = f
		}
		cold := "–"
		if f.Cold > 0 {
			cold = ms(f.Cold)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t %s\n", ms(f.Median), ms(f.P95), ms(f.Max), ms(f.CPU), cold, verdict, f.Name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d reads, %d at or above the target of %s; the slowest is %q with %s\n\n", len(r.Figures), missed, ms(target), slowest.Name, ms(slowest.Median))
	t = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "rows\ttable MB\tindexes MB\t \n")
	for _, s := range r.Sizes {
		fmt.Fprintf(t, "%d\t%.1f\t%.1f\t %s\n", s.Rows, float64(s.Bytes)/1e6, float64(s.IndexBytes)/1e6, s.Table)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	w := r.World
	_, err := fmt.Fprintf(out, "\n%s\n%d events of %d tenants and %d keys in %d days; PostgreSQL: %s\n", busy(), w.events, w.tenants, w.keys, w.days, strings.Join(r.Settings, ", "))
	if err == nil && r.Loading > 0 {
		_, err = fmt.Fprintf(out, "made in %s\n", r.Loading.Round(time.Second))
	}
	return err
}

// busy tells how many processes wanted the machine's CPUs meanwhile.
func busy() string {
	text, err := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(text), " ")
	if err != nil {
		load = "unknown"
	}
	return fmt.Sprintf("%d CPUs, load %s in the last minute", runtime.NumCPU(), load)
}

// ms writes a time in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
