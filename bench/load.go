package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loadSpec is one measurement's load.
type loadSpec struct {
	Address     string
	Key         string
	Stream      bool
	Connections int
	Calls       int
	Rate        int // calls per second whether or not earlier ones are answered; 0: each connection as fast as it can
	Questions   int // how many the calls are a mix of; 0: all ask the same
	From        int // how many calls of the mix were made before
	MaxTokens   int // output limit that the calls ask for; 0: none
}

func (s loadSpec) args() []string {
	return []string{
		"-address", s.Address, "-key", s.Key, fmt.Sprintf("-stream=%t", s.Stream), "-connections", fmt.Sprint(s.Connections),
		"-calls", fmt.Sprint(s.Calls), "-rate", fmt.Sprint(s.Rate), "-questions", fmt.Sprint(s.Questions), "-from", fmt.Sprint(s.From),
		"-max-tokens", fmt.Sprint(s.MaxTokens),
	}
}

// loadResult is what the load saw. Times are in milliseconds; with a rate they count from when a call was due, so that
// a stall is charged to all calls that it delayed.
type loadResult struct {
	Answered       int
	Hits           int // answers of the cache, and Shared: of another call under way
	Shared         int
	Failed         int
	FirstError     string
	Tokens         int64
	Events         int
	Seconds        float64
	P50, P99       float64
	FirstByteP99   float64
	firstByteTimes []time.Duration
	times          []time.Duration
}

const (
	prompt = `{"model":"gpt-4.1-nano","temperature":0.7,%s"messages":[` +
		`{"role":"system","content":"You answer the customers of a bakery, briefly and in Portuguese."},` +
		`{"role":"user","content":"%s"}]}`
	usualQuestion = "Quais pães vocês têm hoje, e até que horas a loja fica aberta? Quero 30 pãezinhos amanhã cedo."
)

func (s loadSpec) request(question string) []byte {
	options := ""
	if s.Stream {
		options = `"stream":true,"stream_options":{"include_usage":true},`
	}
	if s.MaxTokens > 0 {
		options += fmt.Sprintf(`"max_tokens":%d,`, s.MaxTokens)
	}
	body := fmt.Sprintf(prompt, options, question)
	return fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.Address, s.Key, len(body), body)
}

// loadRole makes the calls of one spec and tells what came of them.
func loadRole(args []string) (loadResult, error) {
	var s loadSpec
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&s.Address, "address", "", "host:port")
	f.StringVar(&s.Key, "key", "", "API key")
	f.BoolVar(&s.Stream, "stream", false, "ask for streams")
	f.IntVar(&s.Connections, "connections", 1, "connections")
	f.IntVar(&s.Calls, "calls", 1, "calls in all")
	f.IntVar(&s.Rate, "rate", 0, "calls per second (0: as fast as answers come)")
	f.IntVar(&s.Questions, "questions", 0, "questions of a mix (0: the same always)")
	f.IntVar(&s.From, "from", 0, "calls of the mix made before")
	f.IntVar(&s.MaxTokens, "max-tokens", 0, "output limit of each call (0: none)")
	if err := f.Parse(args); err != nil {
		return loadResult{}, err
	}
	return s.run()
}

func (s loadSpec) run() (loadResult, error) {
	clients := make([]*client, s.Connections)
	for i := range clients {
		var err error
		if clients[i], err = dial(s.Address); err != nil {
			return loadResult{}, err
		}
		defer clients[i].conn.Close()
	}
	requests := s.requests()
	var next atomic.Int64
	var group sync.WaitGroup
	results := make([]loadResult, len(clients))
	start := time.Now()
	for i, c := range clients {
		group.Go(func() { s.work(c, requests, start, &next, &results[i]) })
	}
	group.Wait()
	took := time.Since(start)
	var all loadResult
	for i := range results {
		all.add(&results[i])
	}
	all.Seconds = took.Seconds()
	all.P50, all.P99 = percentile(all.times, 50), percentile(all.times, 99)
	all.FirstByteP99 = percentile(all.firstByteTimes, 99)
	return all, nil
}

// requests are what the calls send, in their order; where they all ask the same, one.
func (s loadSpec) requests() [][]byte {
	if s.Questions == 0 {
		return [][]byte{s.request(usualQuestion)}
	}
	m := newMix(s.Questions)
	for range s.From {
		m.next()
	}
	requests := make([][]byte, s.Calls)
	for i := range requests {
		requests[i] = s.request(m.next())
	}
	return requests
}

// work is one connection: it takes calls by number until there are no more. A failed call ends its connection.
func (s loadSpec) work(c *client, requests [][]byte, start time.Time, next *atomic.Int64, r *loadResult) {
	for {
		n := next.Add(1) - 1
		if n >= int64(s.Calls) {
			return
		}
		due := time.Now()
		if s.Rate > 0 {
			due = start.Add(time.Duration(n) * time.Second / time.Duration(s.Rate))
			time.Sleep(time.Until(due))
		}
		a, err := c.call(requests[int(n)%len(requests)])
		if err != nil {
			r.Failed++
			r.FirstError = err.Error()
			return
		}
		r.Answered++
		r.Hits += a.hit
		r.Shared += a.shared
		r.Tokens += a.tokens
		r.Events += a.events
		r.times = append(r.times, time.Since(due))
		r.firstByteTimes = append(r.firstByteTimes, a.firstByte.Sub(due))
	}
}

func (r *loadResult) add(o *loadResult) {
	r.Answered += o.Answered
	r.Hits += o.Hits
	r.Shared += o.Shared
	r.Failed += o.Failed
	r.Tokens += o.Tokens
	r.Events += o.Events
	r.times = append(r.times, o.times...)
	r.firstByteTimes = append(r.firstByteTimes, o.firstByteTimes...)
	if r.FirstError == "" {
		r.FirstError = o.FirstError
	}
}

// percentile is in milliseconds, by nearest rank.
func percentile(times []time.Duration, p int) float64 {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[max(0, (len(times)*p+99)/100-1)].Seconds() * 1e3
}

// err tells when calls failed, or streams came short.
func (r *loadResult) err(s loadSpec) error {
	if r.Failed > 0 || r.Answered != s.Calls {
		return fmt.Errorf("%d of %d calls were answered: %s", r.Answered, s.Calls, strings.TrimSpace(r.FirstError))
	}
	if s.Stream && r.Events != s.Calls*streamEvents {
		return fmt.Errorf("%d streams gave %d events instead of %d each", s.Calls, r.Events, streamEvents)
	}
	return nil
}
