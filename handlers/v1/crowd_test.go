package v1_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// counter is a provider that lets each call wait at its counter until it is served.
type counter struct {
	*httptest.Server
	serve chan struct{}

	mu     sync.Mutex
	atOnce int
	most   int
	served []string // the callers' "user", in order
}

// crowded makes a site with one provider of so many places and so much room to wait.
func crowded(t *testing.T, places, room int) (*site, *counter) {
	c := &counter{serve: make(chan struct{})}
	c.Server = httptest.NewServer(c)
	s := newSite(t, roomy(), openaitest.Options{})
	t.Cleanup(c.Close)
	s.limits(fmt.Sprintf(`base_url = '%s', max_parallel = %d, max_waiting = %d, max_wait_ms = 60000`, c.URL, places, room))
	return s, c
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.come(1, gjson.GetBytes(body, "user").Str)
	defer c.come(-1, "")
	stream := gjson.GetBytes(body, "stream").Bool()
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	talk := time.NewTicker(10 * time.Millisecond)
	defer talk.Stop()
	for served := false; !served; {
		if stream {
			fmt.Fprint(w, `data: {"id":"c","choices":[{"index":0,"delta":{"content":"oi"}}]}`, "\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-talk.C:
		case <-c.serve:
			served = true
		case <-r.Context().Done():
			return
		}
	}
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}`
	if stream {
		fmt.Fprint(w, `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, "\n\n", `data: {"id":"c","choices":[],`+usage+`}`, "\n\ndata: [DONE]\n\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"id":"c","choices":[{"index":0,"message":{"content":"oi"},"finish_reason":"stop"}],`+usage+`}`)
}

func (c *counter) come(n int, user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.atOnce += n
	c.most = max(c.most, c.atOnce)
	if n > 0 {
		c.served = append(c.served, user)
	}
}

func (c *counter) busy(n int) func() bool {
	return func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.atOnce == n }
}

// waiting tells whether so many calls stand in the line.
func (s *site) waiting(n int) func() bool {
	return func() bool { return s.guard("openai").Waiting == n }
}

func TestACrowdIsServedInTurnAndNeverBeyondTheCap(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		const places, large, small = 2, 40, 10
		s, c := crowded(t, places, large+small-places)
		neighbour := s.another("Vizinho")
		call := func(key, user string) answer {
			return s.do(http.MethodPost, "/chat/completions", key, chatBody(extra+`"user":"`+user+`",`))
		}
		var calls sync.WaitGroup
		come := func(n int, key, user string) {
			for range n {
				calls.Go(func() {
					if a := call(key, user); a.status != 200 || a.err != nil || errorType(a.body) != "" {
						t.Errorf("%s: %d %s %v", user, a.status, a.body, a.err)
					}
				})
			}
		}
		come(large, s.key, "large")
		eventually(t, "the first crowd stands in line", s.waiting(large-places))
		come(small, neighbour, "small")
		eventually(t, "everybody stands in line", s.waiting(large+small-places))

		a := call(s.key, "one too many")
		s.overloaded(a)
		for range large + small {
			c.serve <- struct{}{}
		}
		calls.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.most != places || len(c.served) != large+small {
			t.Errorf("%d calls were at the provider at once, %d in all", c.most, len(c.served))
		}
		early := strings.Count(strings.Join(c.served[:places+2*small], " "), "small")
		if early < small-1 { // in turn: every other one
			t.Errorf("of the first %d served, %d were of the tenant with few calls", places+2*small, early)
		}
		s.records(large + small + 1)
		if left := s.guard("openai"); left.Parallel != 0 || left.Waiting != 0 {
			t.Errorf("%+v", left)
		}
		s.unheld()
	})
}

func TestWaitingEndsInARefusal(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s, c := crowded(t, 1, 10)
		s.limits(`max_wait_ms = 50`)
		var first sync.WaitGroup
		first.Go(func() { s.post(chatBody("")) })
		eventually(t, "the place is taken", c.busy(1))
		s.overloaded(s.post(chatBody(extra)))
		s.second(openaitest.Options{})
		if a := s.post(chatBody(extra)); a.status != 200 || errorType(a.body) != "" { // retries are 0: this was no attempt
			t.Errorf("with another provider: %d %s", a.status, a.body)
		}
		c.serve <- struct{}{}
		first.Wait()
		s.unheld()
	})
}

func TestAStreamHoldsItsPlaceUntilItsEnd(t *testing.T) {
	for name, leaves := range map[string]bool{"read to the end": false, "its client leaves": true} {
		t.Run(name, func(t *testing.T) {
			s, c := crowded(t, 1, 1)
			s.gate.AbortDrain = 20 * time.Millisecond
			req, err := http.NewRequest(http.MethodPost, s.url+"/chat/completions", strings.NewReader(chatBody(forms["stream"])))
			s.must(err)
			req.Header.Set("Authorization", "Bearer "+s.key)
			res, err := http.DefaultClient.Do(req)
			s.must(err)
			defer res.Body.Close()
			if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			next := make(chan answer, 1)
			go func() { next <- s.post(chatBody("")) }()
			eventually(t, "the next call waits", s.waiting(1))
			if !c.busy(1)() || s.guard("openai").Parallel != 1 {
				t.Errorf("%+v", s.guard("openai"))
			}
			if leaves {
				res.Body.Close()
			} else {
				c.serve <- struct{}{}
			}
			eventually(t, "the next call has the place", s.waiting(0))
			c.serve <- struct{}{}
			if a := <-next; a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if c.most > 2 { // one that was broken off may be at the counter for a moment longer
				t.Errorf("%d calls were at the provider at once", c.most)
			}
			s.records(2)
			s.unheld()
		})
	}
}
