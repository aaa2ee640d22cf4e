// Command soak proves that the books are exact: several replicas of the real binary, one PostgreSQL and a simulated
// provider run as processes, many customers call them, and meanwhile processes are killed, stopped and started again.
// In the end every call that a client saw, every answer that the provider's own journal tells of and every event of the
// ledger are held against each other, one by one. What is done to whom and when follows from a seed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	was, err := runRole(os.Args[1:])
	if !was {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, os.Args[1:])
		stop()
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// options say how a run goes.
type options struct {
	seed     uint64
	length   time.Duration // of the load
	replicas int
	tenants  int
	rate     int           // calls a second of all customers together
	grace    time.Duration // how long leases outlive a silent replica
	redis    bool
	calm     bool // nothing is killed or stopped
	race     bool // the product is built with the race detector
	binary   string
	keep     string // folder of the run; empty: a temporary one, which is kept only when something was wrong
}

func (o *options) parse(args []string) (asJSON bool, err error) {
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.Uint64Var(&o.seed, "seed", 1, "what happens follows from it")
	minutes := f.Float64("minutes", 10, "how long customers call")
	f.IntVar(&o.replicas, "replicas", 3, "processes of the product")
	f.IntVar(&o.tenants, "tenants", 24, "customers")
	f.IntVar(&o.rate, "rate", 150, "calls a second of all customers together, at most")
	f.DurationVar(&o.grace, "grace", 6*time.Second, "FILAIA_LEASE_GRACE: how long leases outlive a silent replica")
	f.BoolVar(&o.redis, "redis", true, "keep rate limits and cache in a Redis of the run's own")
	f.BoolVar(&o.calm, "calm", false, "kill and stop nothing")
	f.BoolVar(&o.race, "race", false, "build the product with the race detector")
	f.StringVar(&o.binary, "binary", "", "a built product (default: it is built)")
	f.StringVar(&o.keep, "keep", "", "folder to keep logs and journals in")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return false, err
	}
	o.length = time.Duration(*minutes * float64(time.Minute))
	switch {
	case o.length < 10*time.Second:
		return false, errors.New("-minutes: give at least 0.2")
	case o.replicas < 1 || o.replicas > 16:
		return false, errors.New("-replicas: give 1 to 16")
	case o.tenants < 1 || o.rate < 1:
		return false, errors.New("-tenants and -rate: give at least 1")
	}
	return asJSON, nil
}

// run soaks and prints. What does not add up is an error.
func run(ctx context.Context, args []string) error {
	var o options
	asJSON, err := o.parse(args)
	if err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return errors.New("processes are read from /proc, which only Linux has")
	}
	r, err := soakFor(ctx, o, os.Stderr)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if asJSON {
		err = r.printJSON(os.Stdout)
	} else {
		err = r.print(os.Stdout)
	}
	return errors.Join(err, r.err())
}
