package gateway

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// hedge has another provider asked after a second.
func hedge(l *tenancy.ProviderLimits) { l.Hedge = time.Second }

func TestASlowProviderIsOvertaken(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{after: time.Minute, body: `{"from":1}`}), speaks(says{after: time.Second, body: `{"from":2}`}))
		s.limit(hedge)
		o := call(s)
		if o.status != 200 || o.provider != "p2" || o.body != `{"from":2}` || o.took != 2*time.Second {
			t.Errorf("%+v", o)
		}
		time.Sleep(time.Hour) // the first one ends in its own time
		s.clean()
		if log := s.logged(); strings.Count(log, "hedged call") != 1 || !strings.Contains(log, "provider=p1") || !strings.Contains(log, "id=req_7") {
			t.Errorf("the log says %q", log)
		}
	})
}

func TestAnOvertakenStreamIsBrokenOffAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{after: time.Minute}), speaks(says{}))
		s.limit(hedge)
		a, err := s.call(7).Stream(context.Background(), message)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if f := s.fake(1); f.atOnce != 0 || f.given != 0 {
			t.Errorf("%d calls are still at the one that was overtaken", f.atOnce)
		}
		if text, err := io.ReadAll(a); err != nil || len(text) == 0 {
			t.Errorf("the winner gave %q, %v", text, err)
		}
		a.Close()
		s.clean()
	})
}

func TestTheFirstSuccessWins(t *testing.T) {
	for name, c := range map[string]struct {
		first, second says
		provider      string
		status        int
		took          time.Duration
	}{
		"the first, in time":             {says{}, says{}, "p1", 200, 0},
		"the first, after all":           {says{after: 2 * time.Second}, says{after: time.Minute}, "p1", 200, 2 * time.Second},
		"the first, as the second fails": {says{after: 5 * time.Second}, says{status: 500}, "p1", 200, 5 * time.Second},
		"the second, as the first fails": {says{after: 2 * time.Second, status: 500}, says{after: 3 * time.Second}, "p2", 200, 4 * time.Second},
		"the caller's mistake":           {says{after: time.Minute}, says{status: 400}, "p2", 400, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, call func(*stage) outcome) {
				s := newStage(t, speaks(c.first), speaks(c.second))
				s.limit(hedge)
				o := call(s)
				if o.provider != c.provider || o.status != c.status || o.took != c.took {
					t.Errorf("%+v", o)
				}
				time.Sleep(time.Hour)
				s.clean()
			})
		})
	}
}

func TestACallIsHedgedOnce(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		slow := says{status: 500, after: 3 * time.Second}
		s := newStage(t, speaks(slow), speaks(slow), speaks(slow))
		s.limit(hedge)
		s.limit(retries(3))
		o := call(s)
		n := len(s.fake(1).asked) + len(s.fake(2).asked) + len(s.fake(3).asked)
		if o.status != 500 || n != 5 { // four attempts, and one beside the first
			t.Errorf("%+v after %d attempts", o, n)
		}
		if o.took < 4*time.Second+3*3*time.Second {
			t.Errorf("took %v", o.took)
		}
		s.clean()
	})
}

func TestOnlyAnotherProviderIsAskedBesides(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{after: 5 * time.Second}))
		s.models[0].Routes = append(s.models[0].Routes, tenancy.Route{ProviderID: 1, UpstreamModel: "another", Priority: 2, Active: true})
		s.limit(hedge)
		if o := call(s); o.status != 200 || o.took != 5*time.Second || len(s.fake(1).asked) != 1 {
			t.Errorf("%+v", o)
		}
		s.clean()
	})
}

func TestAHedgeTakesAPlaceOrNone(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{after: 5 * time.Second}), speaks(says{}))
		s.limit(hedge)
		s.providers[1].Limits.MaxParallel, s.providers[1].Limits.MaxWaiting = 1, 1
		s.reload()
		pass, err := s.g.Models.Houses()[1].Guard.Enter(context.Background(), 1, "m-p2")
		if err != nil {
			t.Fatal(err)
		}
		if o := call(s); o.status != 200 || o.provider != "p1" || o.took != 5*time.Second {
			t.Errorf("while the hedge waits in line: %+v", o)
		}
		synctest.Wait()
		if snap := s.g.Models.Houses()[1].Guard.Snapshot(); snap.Waiting != 0 || snap.Parallel != 1 {
			t.Errorf("the hedge is still in the line: %+v", snap)
		}
		s.providers[1].Limits.MaxWaiting = 0
		s.reload()
		if o := call(s); o.status != 200 || o.provider != "p1" || o.took != 5*time.Second {
			t.Errorf("where the line is full: %+v", o)
		}
		pass.Leave(0)
		s.clean()
		if len(s.fake(2).asked) != 0 || strings.Contains(s.logged(), "hedged") {
			t.Error("the second was asked")
		}
	})
}

func TestAHedgeThatFindsNoPlaceLeavesTheFirstItsRetries(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{after: 2 * time.Second, status: 500}, says{}), speaks(says{}))
		s.limit(hedge)
		s.providers[1].Limits.MaxParallel, s.providers[1].Limits.MaxWaiting = 1, 0
		s.reload()
		pass, err := s.g.Models.Houses()[1].Guard.Enter(context.Background(), 1, "m-p2")
		if err != nil {
			t.Fatal(err)
		}
		if o := call(s); o.status != 200 || o.provider != "p1" || len(s.fake(1).asked) != 2 {
			t.Errorf("%+v", o)
		}
		pass.Leave(0)
		s.clean()
	})
}

func TestAbortEndsBothOfAHedgedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{after: 10 * time.Second, err: away(errRefused)}), speaks(says{}))
		s.limit(hedge)
		s.providers[1].Limits.MaxParallel, s.providers[1].Limits.MaxWaiting, s.providers[1].Limits.MaxWait = 1, 1, time.Hour
		s.reload()
		pass, err := s.g.Models.Houses()[1].Guard.Enter(context.Background(), 1, "m-p2")
		if err != nil {
			t.Fatal(err)
		}
		go func() { time.Sleep(10 * time.Second); s.g.Models.Abort() }()
		if o := s.whole(7); o.refusal == nil || !errors.Is(o.refusal, errRefused) || o.took != 10*time.Second {
			t.Errorf("%+v", o)
		}
		pass.Leave(0)
		s.clean()
	})
}

func TestTheBodyOfAHedgedCallIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &keeper{fake: speaks(says{after: time.Minute})}
		s := newStage(t, speaks(), speaks(says{}))
		s.g.Models = NewModels(s, func(p tenancy.Provider) (Upstream, error) {
			if p.Slug == "p1" {
				return seen, nil
			}
			return s.fakes[p.Slug], nil
		}, nil, s.g.Log)
		s.limit(hedge)
		memory := []byte("the caller's")
		a, err := s.call(7).Send(context.Background(), func(string) *Message { return &Message{Body: memory} })
		if err != nil {
			t.Fatal(err)
		}
		a.Release()
		synctest.Wait()
		copy(memory, "another one!")
		if got := string(seen.body); got != "the caller's" {
			t.Errorf("the attempt that goes on sends %q", got)
		}
		time.Sleep(time.Hour)
		s.clean()
	})
}

// keeper is a fake that shows what it is being sent.
type keeper struct {
	*fake
	body []byte
}

func (k *keeper) Send(ctx context.Context, m *Message) (Answer, error) {
	k.body = m.Body
	return k.fake.Send(ctx, m)
}
