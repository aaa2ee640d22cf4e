package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// administer does what an operator does in between: it raises limits, suspends customers and takes them back, and
// replaces keys.
func (s *soak) administer(ctx context.Context, start time.Time) {
	random := rand.New(rand.NewPCG(s.opts.seed, 1<<32))
	raised := map[int]int{}
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(2000+random.IntN(3000)) * time.Millisecond):
		}
		cu := s.load.customers[random.IntN(len(s.load.customers))]
		var err error
		switch {
		case cu.kind == growing && raised[cu.number] < growths:
			raised[cu.number]++
			err = s.raise(ctx, cu, grown(raised[cu.number]))
		case cu.kind == ownKey || turn%2 == 0:
			err = s.replaceKey(ctx, cu)
		default:
			err = s.suspend(ctx, cu, time.Duration(500+random.IntN(3000))*time.Millisecond)
		}
		if err != nil && ctx.Err() == nil {
			s.diary.log("customer %d: %v", cu.number, err)
		}
	}
}

// persist tries again while PostgreSQL is away. The end of the load does not keep it from finishing.
func (s *soak) persist(ctx context.Context, act func(context.Context) error) (err error) {
	ctx = context.WithoutCancel(ctx)
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = act(attempt)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

func (s *soak) raise(ctx context.Context, cu *customer, slug string) error {
	err := s.persist(ctx, func(ctx context.Context) error {
		plan, err := s.store.PlanBySlug(ctx, slug)
		if err != nil {
			return err
		}
		_, err = s.store.ChangePlan(ctx, cu.id, plan.ID)
		return err
	})
	if err == nil {
		s.diary.log("customer %d moves to plan %s", cu.number, slug)
	}
	return err
}

func (s *soak) suspend(ctx context.Context, cu *customer, lasts time.Duration) error {
	if err := s.persist(ctx, func(ctx context.Context) error { return s.store.SuspendTenant(ctx, cu.id) }); err != nil {
		return fmt.Errorf("suspend: %w", err)
	}
	s.diary.log("customer %d is suspended for %s", cu.number, lasts)
	from := time.Now()
	time.Sleep(lasts)
	to := time.Now()
	cu.mu.Lock()
	cu.barred = append(cu.barred, span{from, to})
	cu.mu.Unlock()
	if err := s.persist(ctx, func(ctx context.Context) error { return s.store.ReactivateTenant(ctx, cu.id) }); err != nil {
		return fmt.Errorf("reactivate: %w", err)
	}
	return nil
}

// replaceKey makes a new key and revokes the oldest one, whose callers find out.
func (s *soak) replaceKey(ctx context.Context, cu *customer) error {
	cu.mu.Lock()
	old := cu.keys[0]
	for _, k := range cu.keys {
		if k.plan == "" && k.revoked.IsZero() {
			old = k
			break
		}
	}
	cu.mu.Unlock()
	err := s.persist(ctx, func(ctx context.Context) error {
		_, err := s.cli.addKey(ctx, cu, old.plan)
		return err
	})
	if err != nil {
		return err
	}
	err = s.persist(ctx, func(ctx context.Context) error {
		return s.cli.run(ctx, nil, "key", "revoke", "--id", strconv.FormatInt(old.id, 10))
	})
	if err != nil {
		return err
	}
	cu.mu.Lock()
	old.revoked = time.Now()
	cu.mu.Unlock()
	s.diary.log("customer %d: key %d is revoked, another made", cu.number, old.id)
	s.retire(cu, old)
	return nil
}

// retire takes a revoked key out of use a few seconds later, when it has been seen to be refused.
func (s *soak) retire(cu *customer, old *key) {
	time.AfterFunc(6*time.Second, func() {
		cu.mu.Lock()
		defer cu.mu.Unlock()
		for i, k := range cu.keys {
			if k == old {
				cu.keys = append(cu.keys[:i:i], cu.keys[i+1:]...)
			}
		}
	})
}
