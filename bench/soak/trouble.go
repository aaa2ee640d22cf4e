package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// what is a kind of trouble.
type what string

const (
	killOne        what = "kill -9 of replica"
	killAll        what = "kill -9 of all replicas at once"
	restart        what = "SIGTERM and restart of replica"
	freezeLong     what = "SIGSTOP past the grace of replica"
	freezeShort    what = "SIGSTOP within the grace of replica"
	killPostgres   what = "kill -9 of PostgreSQL"
	freezePostgres what = "SIGSTOP of PostgreSQL"
	killRedis      what = "kill -9 of Redis"
	cutProvider    what = "all connections of the provider cut"
)

// trouble is one event of a run: what, to which replica, and for how long.
type trouble struct {
	what    what
	replica int // -1: none, or all
	after   time.Duration
	lasts   time.Duration
}

func (t trouble) String() string {
	text := string(t.what)
	if t.replica >= 0 {
		text += " " + strconv.Itoa(t.replica)
	}
	if t.lasts > 0 {
		text += " for " + t.lasts.Round(100*time.Millisecond).String()
	}
	return text
}

// schedule draws what happens and when. Every kind has its turn, in an order of chance, before any comes again; a run that
// is long enough has PostgreSQL away for a minute.
func schedule(o options) []trouble {
	random := rand.New(rand.NewPCG(o.seed, 0))
	kinds := []what{killOne, killAll, restart, freezeLong, freezeShort, killPostgres, freezePostgres, cutProvider, killOne, killPostgres, freezeLong}
	if o.redis {
		kinds = append(kinds, killRedis)
	}
	seconds := func(from, to float64) time.Duration {
		return time.Duration((from + random.Float64()*(to-from)) * float64(time.Second))
	}
	var all []trouble
	var bag []what
	minuteAway := o.length >= 5*time.Minute
	for at := seconds(4, 6); ; at += seconds(3, 6) {
		if len(bag) == 0 {
			for _, i := range random.Perm(len(kinds)) {
				bag = append(bag, kinds[i])
			}
		}
		t := trouble{what: bag[0], after: at, replica: -1}
		bag = bag[1:]
		switch t.what {
		case killOne:
			t.replica, t.lasts = random.IntN(o.replicas), seconds(0, 1.5*o.grace.Seconds())
		case killAll:
			t.lasts = seconds(0, 2)
		case restart:
			t.replica = random.IntN(o.replicas)
		case freezeLong:
			t.replica, t.lasts = random.IntN(o.replicas), seconds(1.2*o.grace.Seconds(), 2*o.grace.Seconds())
		case freezeShort:
			t.replica, t.lasts = random.IntN(o.replicas), seconds(0.2*o.grace.Seconds(), 0.7*o.grace.Seconds())
		case killPostgres:
			if t.lasts = seconds(1, 10); minuteAway {
				t.lasts, minuteAway = time.Minute, false
			}
		case freezePostgres:
			t.lasts = seconds(2, 6)
		case killRedis:
			t.lasts = seconds(0, 3)
		}
		if at += t.lasts; at > o.length-5*time.Second {
			return all
		}
		all = append(all, t)
	}
}

// troubles are those that were made, with their times.
type troubles struct {
	mu   sync.Mutex
	made []made
}

// made is one trouble from its beginning until all was well again.
type made struct {
	trouble
	span
}

func (t *troubles) add(one made) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made = append(t.made, one)
}

// hit gives the troubles of some kinds that a replica had between two moments; those of all replicas are its own, too.
func (t *troubles) hit(replica int, from, to time.Time, kinds ...what) (found []made) {
	for _, one := range t.made {
		if one.replica != -1 && one.replica != replica || !one.overlaps(from, to) {
			continue
		}
		for _, k := range kinds {
			if one.what == k {
				found = append(found, one)
			}
		}
	}
	return found
}

// trouble makes the run's troubles, one after the other. One that lasts longer than it should, since the machine is busy,
// pushes the next ones back.
func (s *soak) trouble(ctx context.Context, start time.Time) {
	if s.opts.calm {
		return
	}
	var late time.Duration
	for _, t := range schedule(s.opts) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(start.Add(t.after + late))):
		}
		s.diary.log("%s", t)
		from := time.Now()
		if err := s.apply(t); err != nil {
			s.diary.log("%s: %v", t.what, err)
		}
		s.troubles.add(made{t, span{from, time.Now()}})
		if took := time.Since(from) - t.lasts; took > 2*time.Second {
			late += took
		}
	}
}

// apply makes one trouble, waits as long as it lasts, and returns when all runs again. It is not cut short: what was
// stopped must go on.
func (s *soak) apply(t trouble) error {
	ctx := context.Background()
	wait := func() { time.Sleep(t.lasts) }
	switch t.what {
	case killOne:
		one := s.replicas[t.replica]
		one.kill()
		wait()
		return s.again(ctx, one)
	case killAll:
		var all sync.WaitGroup
		for _, one := range s.replicas {
			all.Go(one.kill)
		}
		all.Wait()
		wait()
		return s.again(ctx, s.replicas...)
	case restart:
		one := s.replicas[t.replica]
		if err := one.stop(60 * time.Second); err != nil {
			return err
		}
		return s.again(ctx, one)
	case freezeLong, freezeShort:
		one := s.replicas[t.replica]
		one.freeze()
		wait()
		one.thaw()
		return one.ready(ctx, 2*time.Minute)
	case killPostgres:
		s.pg.kill()
		wait()
		return s.pg.start(ctx)
	case freezePostgres:
		thaw := s.pg.freeze()
		wait()
		thaw()
	case killRedis:
		s.redis.server.kill()
		wait()
		return s.redis.start()
	case cutProvider:
		return s.provider.reset()
	default:
		return fmt.Errorf("no such trouble")
	}
	return nil
}

// again starts replicas and waits until they are ready.
func (s *soak) again(ctx context.Context, replicas ...*replica) error {
	for _, one := range replicas {
		if err := one.start(); err != nil {
			return err
		}
	}
	for _, one := range replicas {
		if err := one.ready(ctx, 2*time.Minute); err != nil {
			return err
		}
	}
	return nil
}
