package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// load is the customers' callers.
type load struct {
	opts      options
	customers []*customer
	replicas  []*replica

	mu    sync.Mutex
	calls []*call
}

// callsOfOne is more calls than one caller makes, so that every call of a run has a number of its own.
const callsOfOne = 1_000_000

// run lets everybody call until ctx ends, and waits for the last answers.
func (l *load) run(ctx context.Context) {
	callers := 0
	for _, cu := range l.customers {
		callers += cu.kind.callers()
	}
	pause := time.Duration(callers) * time.Second / time.Duration(l.opts.rate) // from call to call of one caller
	var all sync.WaitGroup
	number := 0
	for _, cu := range l.customers {
		for range cu.kind.callers() {
			number++
			mine := number
			all.Go(func() { l.caller(ctx, cu, mine, pause) })
		}
	}
	all.Wait()
}

// caller makes one call after the other. What it asks, and whom, follows from the seed and its number.
func (l *load) caller(ctx context.Context, cu *customer, number int, pause time.Duration) {
	random := rand.New(rand.NewPCG(l.opts.seed, uint64(number)))
	var calls []*call
	for n := 0; ctx.Err() == nil; n++ {
		next := time.Now().Add(time.Duration((0.2 + 1.6*random.Float64()) * float64(pause)))
		m := marker{call: number*callsOfOne + n, tenant: cu.number, fault: drawFault(random, cu.kind == over)}
		if cu.kind == cached || cu.kind == free {
			m.fault = none // others may be given the answer
		}
		c := &call{marker: m, customer: cu, replica: random.IntN(len(l.replicas)), key: cu.pick(random.IntN(1 << 20)), request: draw(random, m, cu.kind)}
		c.make(l.replicas[c.replica].address)
		c.request.body = nil
		calls = append(calls, c)
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(next)):
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, calls...)
}

// write keeps what clients saw, a line of JSON each, for whoever looks into a run.
func (l *load) write(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	to := json.NewEncoder(out)
	for _, c := range l.calls {
		failed := ""
		if c.err != nil {
			failed = c.err.Error()
		}
		err = errors.Join(err, to.Encode(struct {
			Marker, Endpoint, End, Code, ID, Cache, Error string
			Tenant, Key                                   int64
			Replica, Status                               int
			Began, Ended                                  time.Time
			Stream, Told                                  bool
			Usage                                         tokens
		}{c.marker.String(), c.request.endpoint, c.end.String(), c.code, c.id, c.cache, failed, c.customer.id, c.key.id, c.replica, c.status,
			c.began, c.ended, c.request.stream, c.told, c.usage}))
	}
	return errors.Join(err, out.Flush())
}
