// Command filaia is the gateway: its server, its migrations and its administration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // periods run in tenants' zones, also where the system knows none

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, os.Args[1:], world{getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	}()
	err := await(ctx, stop, ended, stopTime)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "filaia: "+oneLine(err))
		os.Exit(1)
	}
}

// stopTime is what a command gets to end after a signal: longer than all the waits of a stop together.
const stopTime = 2 * time.Minute

// await gives what a command ended with. After a first signal the command has limit to end by itself, because a
// database that says nothing would hold it for ever; a second signal ends the process at once.
func await(ctx context.Context, restoreSignals func(), ended <-chan error, limit time.Duration) error {
	defer restoreSignals()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	restoreSignals()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		return fmt.Errorf("not everything ended within %s of the signal; what was not committed is in the spool for the next start", limit)
	}
}

// world is what a command touches outside of it.
type world struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// command is one subcommand: its words, what it takes, and what it does.
type command struct {
	words   string
	summary string
	run     func(context.Context, world, []string) error
}

func commands() []command {
	return []command{
		{"serve", "start the gateway, the panel and the portal", serve},
		{"migrate up", "apply every missing migration", migrateUp},
		{"migrate down", "undo the newest migration", migrateDown},
		{"migrate status", "list migrations", migrateStatus},
		{"user create", "add a person who signs in", userCreate},
		{"plan create", "add a plan and publish it", planCreate},
		{"plan list", "list plans", planList},
		{"tenant create", "add a customer, subscribed from now on", tenantCreate},
		{"tenant list", "list customers", tenantList},
		{"tenant cap", "cap what a customer is charged above its plan", tenantCap},
		{"key create", "make an API key; its secret is shown once", keyCreate},
		{"key list", "list API keys", keyList},
		{"key limits", "change the limits and the cache of a key; only the flags given change", keyLimits},
		{"key revoke", "make an API key stop working", keyRevoke},
		{"provider create", "add a provider that answers calls", providerCreate},
		{"provider list", "list providers", providerList},
		{"provider edit", "change a provider; only the flags given change", providerEdit},
		{"provider test", "ask a provider for its models", providerTest},
		{"provider import", "take over models that a provider has", providerImport},
		{"provider delete", "remove a provider that no model is routed to", providerDelete},
		{"model create", "offer a model", modelCreate},
		{"model list", "list models with their routes and prices", modelList},
		{"model edit", "change a model; only the flags given change", modelEdit},
		{"model price", "set what a model costs from now or from a later moment on", modelPrice},
		{"model prices", "list what a model cost, costs and will cost", modelPrices},
		{"rate set", "set what one US$ costs in R$ from a day on", rateSet},
		{"rate list", "list exchange rates", rateList},
		{"usage", "what a customer used in the current period", usageShow},
		{"audit", "compare the books: single calls, hourly figures, quotas and leases; changes nothing", auditRun},
		{"retention show", "how long single calls are kept", retentionShow},
		{"retention set", "keep single calls for some months, or for ever", retentionSet},
		{"retention list", "list months whose single calls were put aside", retentionList},
		{"retention drop", "remove the single calls of a month that was put aside, for good", retentionDrop},
		{"demo seed", "fill an empty installation with made-up customers", demoSeed},
		{"demo serve", "serve made-up customers with the simulator, some of them calling", demoServe},
		{"version", "print the version", version},
	}
}

// run finds the command that args begin with and runs it with the rest.
func run(ctx context.Context, args []string, w world) error {
	all := commands()
	for _, c := range all {
		words := strings.Fields(c.words)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c.run(ctx, w, args[len(words):])
		}
	}
	if len(args) > 0 && !slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		return fmt.Errorf("unknown command %q; filaia help lists them", strings.Join(args, " "))
	}
	fmt.Fprintln(w.stdout, "Usage: filaia COMMAND [--json] [flags]; COMMAND --help lists its flags.")
	for _, c := range all {
		fmt.Fprintf(w.stdout, "  %-16s %s\n", c.words, c.summary)
	}
	return nil
}

// oneLine says an error as the command line does: in one line, and in words where it has a key of a catalogue.
func oneLine(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return i18n.NewPrinter(i18n.En, nil).T(f.Key, f.Args...)
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// Version is set by the build.
var versionName = "development"

func version(_ context.Context, w world, args []string) error {
	f := newFlags("version")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return f.print(w, map[string]string{"version": versionName}, []string{"VERSION"}, [][]string{{versionName}})
}
