package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// kind is what sort of plan a customer has.
type kind int

const (
	small    kind = iota // a hard limit that is reached
	hot                  // the same, by many callers on all replicas at once
	large                // a hard limit that is not reached
	charging             // what lies above is charged
	ownKey               // one of its keys has a small plan of its own
	cached               // answers of the cache, half of whose tokens are billed
	free                 // answers of the cache that bill nothing
	over                 // a hard limit, and a provider that reports more than was asked for
	growing              // a hard limit that is raised when it is reached
	kinds
)

func (k kind) String() string {
	return [...]string{"small", "hot", "large", "charging", "own-key", "cached", "cached-free", "over", "growing"}[k]
}

func (k kind) plan() string {
	if k == ownKey {
		return charging.String()
	}
	return k.String()
}

// billedPercent is what the plan bills of an answer of the cache.
func (k kind) billedPercent() int64 {
	if k == cached {
		return 50
	}
	return 0
}

// callers is how many call at once.
func (k kind) callers() int {
	if k == hot {
		return 8
	}
	return 2
}

// customer is a tenant and its keys.
type customer struct {
	number int
	kind   kind
	id     int64

	mu     sync.Mutex
	keys   []*key
	barred []span // suspended, each from when that was told to when it was taken back
}

// key is an API key.
type key struct {
	id      int64
	secret  string
	plan    string    // of its own
	revoked time.Time // when that was told
}

// span is a stretch of time; one that lasts has no end.
type span struct{ from, to time.Time }

func (s span) overlaps(from, to time.Time) bool {
	return from.Before(s.to) && to.After(s.from)
}

// cli runs the product's own command line on the run's database.
type cli struct {
	binary string
	env    []string
}

func (c cli) run(ctx context.Context, answer any, args ...string) error {
	cmd := exec.CommandContext(ctx, c.binary, append(args, "--json")...)
	cmd.Env = c.env
	out, err := cmd.Output()
	if err != nil {
		text := ""
		if failed, ok := err.(*exec.ExitError); ok {
			text = string(failed.Stderr)
		}
		return fmt.Errorf("filaia %v: %w: %s", args, err, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("filaia %v: %w in %q", args, err, out)
	}
	return nil
}

// What a call takes on average. It only serves to find limits that are reached within a run.
const (
	averageIn  = 75
	averageOut = 48
)

// sell makes the plans, and customers of every kind in turn.
func (c cli) sell(ctx context.Context, o options) ([]*customer, error) {
	callers := 0
	for n := range o.tenants {
		callers += kindOf(n).callers()
	}
	each := o.length.Seconds() * float64(o.rate) / float64(callers) // calls of one caller
	for k := range kinds {
		if k == ownKey {
			continue
		}
		calls := each * float64(k.callers())
		for _, version := range plansOf(k, calls) {
			if err := c.run(ctx, nil, append([]string{"plan", "create"}, version...)...); err != nil {
				return nil, err
			}
		}
	}
	var all []*customer
	for n := range o.tenants {
		cu := &customer{number: n, kind: kindOf(n)}
		var made struct {
			ID int64 `json:"id"`
		}
		name := fmt.Sprintf("%s %d", cu.kind, n)
		if err := c.run(ctx, &made, "tenant", "create", "--name", name, "--plan", cu.kind.plan()); err != nil {
			return nil, err
		}
		cu.id = made.ID
		plans := []string{""}
		if cu.kind == ownKey {
			plans = append(plans, small.String())
		}
		for _, plan := range plans {
			if _, err := c.addKey(ctx, cu, plan); err != nil {
				return nil, err
			}
		}
		all = append(all, cu)
	}
	return all, nil
}

// kindOf gives every kind its turn; the first is hot, so that the smallest run has one.
func kindOf(n int) kind { return kind((n + int(hot)) % int(kinds)) }

// plansOf is the plan of a kind that makes so many calls, as the command line takes it.
func plansOf(k kind, calls float64) [][]string {
	part, overage := 0.35, "block"
	var more []string
	switch k {
	case large:
		part = 20
	case charging:
		part, overage, more = 0.2, "charge", []string{"--overage-price", "0.0001"}
	case cached, free:
		part, more = 20, []string{"--cache", "exact", "--cache-billed-percent", strconv.FormatInt(k.billedPercent(), 10)}
	case over:
		part = 0.8
	case growing:
		part = 0.2
	}
	plan := func(slug string, part float64) []string {
		in, out := strconv.Itoa(int(calls*averageIn*part)), strconv.Itoa(int(calls*averageOut*part))
		return append([]string{"--slug", slug, "--name", slug, "--price", "10", "--input-tokens", in, "--output-tokens", out, "--overage", overage}, more...)
	}
	plans := [][]string{plan(k.String(), part)}
	if k == growing {
		for step := 1; step <= growths; step++ {
			plans = append(plans, plan(grown(step), part*float64(step+1)))
		}
	}
	return plans
}

// growths is how often the limit of a growing customer can be raised.
const growths = 3

func grown(step int) string { return fmt.Sprintf("%s-%d", growing, step) }

// addKey makes a key, perhaps with a plan of its own.
func (c cli) addKey(ctx context.Context, cu *customer, plan string) (*key, error) {
	args := []string{"key", "create", "--tenant", strconv.FormatInt(cu.id, 10)}
	if plan != "" {
		args = append(args, "--plan", plan)
	}
	var made struct {
		ID  int64  `json:"id"`
		Key string `json:"key"`
	}
	if err := c.run(ctx, &made, args...); err != nil {
		return nil, err
	}
	k := &key{id: made.ID, secret: made.Key, plan: plan}
	cu.mu.Lock()
	defer cu.mu.Unlock()
	cu.keys = append(cu.keys, k)
	return k, nil
}

// pick is the key of a call, by a number that was drawn: one that was revoked is used on, now and then.
func (cu *customer) pick(n int) *key {
	cu.mu.Lock()
	defer cu.mu.Unlock()
	return cu.keys[n%len(cu.keys)]
}

// help is the list of commands.
func (c cli) help(ctx context.Context) (string, error) { return c.text(ctx, "help") }

// text runs a command for people, and gives all that it said.
func (c cli) text(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}
