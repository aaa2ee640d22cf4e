// Command bench measures the product: what a call costs, how much memory it takes, how much time it adds, and whether
// every call and token is in the books. It runs the real binary with its private PostgreSQL, and each figure stands
// beside that of a bare reverse proxy, measured in turn in the same run: only the ratio says something about the
// product, the rest is the machine. Provider, proxy, gateway and load are processes of their own, on loopback.
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
)

func main() {
	was, err := runRole(os.Args[1:])
	if !was {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, os.Args[1:])
		stop()
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures and prints. A figure beyond its target is no error, since a busy machine can cause it; books that do
// not balance are.
func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := f.Bool("short", false, "fewer calls: a minute and a half, and less certain")
	before := f.String("before", "", "another build of the product, to measure beside this one")
	only := f.String("only", "", "one step: memory, whole, open, streams, mix, redis, replicas, commits or alerts")
	asJSON := f.Bool("json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return errors.New("CPU and memory are read from /proc, which only Linux has")
	}
	size := full
	if *quick {
		size = short
	}
	r, err := measure(ctx, size, *before, *only)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if *asJSON {
		err = r.printJSON(os.Stdout)
	} else {
		err = r.print(os.Stdout)
	}
	return errors.Join(err, r.Books.err())
}
