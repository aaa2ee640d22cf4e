package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
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

// rates takes limits a minute and at once; of says whose they are, as in " of this key alone".
func (f *flags) rates(r *tenancy.Rates, of string) {
	f.IntVar(&r.RequestsPerMinute, "rpm", 0, "requests per minute"+of+" (0: no limit)")
	f.IntVar(&r.TokensPerMinute, "tpm", 0, "tokens per minute"+of+" (0: no limit)")
	f.IntVar(&r.ParallelCalls, "parallel", 0, "calls at once"+of+" (0: no limit)")
}

// need marks flags without which the command cannot run.
func (f *flags) need(names ...string) { f.required = append(f.required, names...) }

func (f *flags) parse(w world, args []string) error {
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.SetOutput(w.stdout)
				f.Usage()
				return err
			}
			return f.unreadable(err)
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

// badValue takes apart how the flag package says that it cannot read a value.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]+): `)

// unreadable says of a flag that cannot be read what was given and what is accepted.
func (f *flags) unreadable(err error) error {
	text := err.Error()
	if m := badValue.FindStringSubmatch(text); m != nil {
		accepted := "a whole number"
		if g, ok := f.Lookup(m[2]).Value.(flag.Getter); ok {
			if _, ok := g.Get().(time.Duration); ok {
				accepted = "a time with its unit, such as 500ms, 10s or 5m"
			}
		}
		if b, ok := f.Lookup(m[2]).Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			accepted = "true or false"
		}
		return fmt.Errorf("--%s: %s is not accepted; give %s", m[2], m[1], accepted)
	}
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return fmt.Errorf("--%s is no flag of this command; %s --help lists all flags", name, f.Name())
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return fmt.Errorf("--%s needs a value; %s --help lists all flags", name, f.Name())
	}
	return err
}

// flagOf names the flag of a rejected field where it is not the field's own name.
var flagOf = map[string]string{
	"expires_at": "expires", "routes": "route", "max_output_tokens": "max-output", "cached_input_price": "cached-price", "cache_billed": "cache-billed-percent",
}

// tell says rejected fields as flags: which, what was given and what is accepted. Other errors pass.
func (f *flags) tell(err error) error {
	var rejected *fault.Error
	if !errors.As(err, &rejected) || len(rejected.Fields) == 0 {
		return err
	}
	say := i18n.NewPrinter(i18n.En, nil)
	var parts []string
	for _, field := range rejected.Fields {
		name := flagOf[field.Name]
		if name == "" {
			name = strings.ReplaceAll(field.Name, "_", "-")
		}
		head, text := "--"+name, say.T(field.Key, field.Args...)
		// A password is no flag, and so is never repeated.
		if given := f.Lookup(name); given != nil && !strings.Contains(text, "“"+given.Value.String()+"”") {
			head = fmt.Sprintf("%s %q", head, given.Value.String())
		}
		parts = append(parts, head+": "+text)
	}
	return errors.New(strings.Join(parts, "; "))
}

// over gives what flags are bound to the values that reset sets, but for the flags that were given: only they change.
func (f *flags) over(reset func()) {
	given := map[string]string{}
	f.Visit(func(one *flag.Flag) { given[one.Name] = one.Value.String() })
	reset()
	for name, value := range given {
		f.Set(name, value) //nolint:errcheck // it was set to this before
	}
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
