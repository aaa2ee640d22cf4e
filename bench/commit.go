package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// commitSpec is one measurement of how fast the spool moves into the database, on a private cluster of its own with
// the settings of the product. It is measured by a process of its own, in turn with a bare COPY of the same rows.
type commitSpec struct {
	Dir      string // of the cluster and the spools
	Events   int    // a round
	Rounds   int
	Batch    int // most events in one commit; 0: the ledger's default
	Replicas int // as many spools are committed at once, all of one customer; 1: one spool, of several customers
}

// flags have what is set as their defaults.
func (s *commitSpec) flags() *flag.FlagSet {
	f := flag.NewFlagSet(roleCommit, flag.ContinueOnError)
	f.StringVar(&s.Dir, "dir", s.Dir, "folder of the cluster and the spools")
	f.IntVar(&s.Events, "events", s.Events, "events a round")
	f.IntVar(&s.Rounds, "rounds", s.Rounds, "rounds")
	f.IntVar(&s.Batch, "batch", s.Batch, "most events in one commit; 0: the default")
	f.IntVar(&s.Replicas, "replicas", s.Replicas, "spools that are committed at once, all of one customer")
	return f
}

func (s commitSpec) args() (args []string) {
	s.flags().VisitAll(func(f *flag.Flag) { args = append(args, fmt.Sprintf("-%s=%v", f.Name, f.Value)) })
	return args
}

// commitSample is one round of one side.
type commitSample struct {
	PerSecond float64 // events
	OwnCPU    float64 // µs an event, of the process that commits
	AllCPU    float64 // and with all of PostgreSQL, a checkpoint at the end included
	P50, P99  float64 // ms a batch
	Batches   int
}

// commitResult is the rounds of both sides.
type commitResult struct{ Bare, Ledger []commitSample }

func (s commitSpec) run(ctx context.Context) (r commitResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{roleCommit}, s.args()...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		return r, fmt.Errorf("measure commits: %w", errors.Join(ctx.Err(), err))
	}
	return r, nil
}

// of takes one figure of each round, and its median.
func of(rounds []commitSample, figure func(commitSample) float64) float64 {
	values := make([]float64, len(rounds))
	for i, one := range rounds {
		values[i] = figure(one)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// commits measures how fast the spool moves into the database and what that costs, beside a bare COPY of the same rows
// into a table without indexes: from one replica, and from three whose calls are all of one customer.
func (b *bench) commits(ctx context.Context) error {
	const sustained = 15_000 // events/s
	for _, replicas := range []int{1, 3} {
		dir := filepath.Join(b.dir, fmt.Sprintf("commits-%d", replicas))
		if err := os.MkdirAll(dir, 0o755); err != nil { // PostgreSQL may run as another user
			return err
		}
		spec := commitSpec{Dir: dir, Events: b.size.commitEvents, Rounds: b.size.commitRounds, Replicas: replicas}
		r, err := spec.run(ctx)
		if err != nil {
			return err
		}
		name := "commits beside a bare COPY"
		if replicas > 1 {
			name = fmt.Sprintf("%d replicas of one customer", replicas)
		}
		add := func(what, unit string, figure func(commitSample) float64) *row {
			bare, own := of(r.Bare, figure), of(r.Ledger, figure)
			return b.report.add(row{
				Name: name + ": " + what, Unit: unit, Baseline: bare, Gateway: own, Compared: own / bare, Kind: kindRatio, Rounds: spec.Rounds,
			})
		}
		perSecond := add("events/s", "", func(s commitSample) float64 { return s.PerSecond })
		perSecond.Target, perSecond.Missed = fmt.Sprintf("≥ %d", sustained), perSecond.Gateway < sustained
		add("CPU per event, gateway", "µs", func(s commitSample) float64 { return s.OwnCPU })
		add("CPU per event, PostgreSQL", "µs", func(s commitSample) float64 { return s.AllCPU - s.OwnCPU })
		add("a batch, p50", "ms", func(s commitSample) float64 { return s.P50 })
		add("a batch, p99", "ms", func(s commitSample) float64 { return s.P99 })
	}
	return nil
}
