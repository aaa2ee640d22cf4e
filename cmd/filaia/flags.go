package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// flags is a command's flags, with --json on every one. Flags and positions may be mixed.
type flags struct {
	*flag.FlagSet
	json     bool
	required []string
	rest     []string // what is not a flag
}

func newFlags(name string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet("filaia "+name, flag.ContinueOnError)}
	f.SetOutput(io.Discard) // errors are told once, by main
	f.BoolVar(&f.json, "json", false, "print JSON")
	return f
}

// need marks flags without which the command cannot run.
func (f *flags) need(names ...string) { f.required = append(f.required, names...) }

func (f *flags) parse(w world, args []string) error {
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.SetOutput(w.stdout)
				f.Usage()
			}
			return err
		}
		if f.NArg() == 0 {
			break
		}
		f.rest = append(f.rest, f.Arg(0))
		args = f.Args()[1:]
	}
	given := map[string]bool{}
	f.Visit(func(one *flag.Flag) { given[one.Name] = true })
	var missing []string
	for _, name := range f.required {
		if !given[name] {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s is required; %s --help lists all flags", strings.Join(missing, ", "), f.Name())
	}
	return nil
}

// noRest refuses words that no flag takes.
func (f *flags) noRest() error {
	if len(f.rest) > 0 {
		return fmt.Errorf("%q is not expected; %s --help lists all flags", f.rest[0], f.Name())
	}
	return nil
}

// print writes value as JSON, or the rows as a table.
func (f *flags) print(w world, value any, heads []string, rows [][]string) error {
	if f.json {
		e := json.NewEncoder(w.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(value)
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heads, "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// list splits "a, b" into its items; nothing gives none.
func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
