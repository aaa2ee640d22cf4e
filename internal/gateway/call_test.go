package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestACallThatPanicsLeavesItsPlace(t *testing.T) {
	s := newStage(t, speaks(says{}))
	s.g.Rates = ratelimit.New(ratelimit.Options{})
	caller := &tenancy.Caller{TenantID: 7, TenantRates: tenancy.Rates{ParallelCalls: 1}}
	admit := func(previous func(context.Context) (StoredResponse, error)) (err error) {
		defer func() { _ = recover() }()
		_, _, err = s.g.Admit(t.Context(), NewID(), caller, Request{Model: "m", Choices: 1, Previous: previous})
		return err
	}
	admit(func(context.Context) (StoredResponse, error) { panic("broken") })
	for range 2 {
		err := admit(func(context.Context) (StoredResponse, error) {
			return StoredResponse{}, &Refusal{Reason: UnknownResponse}
		})
		var r *Refusal
		if !errors.As(err, &r) || r.Reason != UnknownResponse {
			t.Errorf("the place is still taken: %v", err)
		}
	}
}

func TestAnIDIsNotedOnce(t *testing.T) {
	var r recentResponses
	for n := range 3 {
		r.add(StoredResponse{ID: "resp_a", TenantID: 7, Tokens: int64(n)})
	}
	if s, ok := r.find(7, "resp_a"); !ok || s.Tokens != 2 || len(r.ids) != 1 {
		t.Errorf("%+v %v", s, r.ids)
	}
	r.forget("resp_a")
	if _, ok := r.find(7, "resp_a"); ok || len(r.ids) != 0 {
		t.Errorf("%v", r.ids)
	}
}

// TestACallIsAskedAboutWhereItWasAnswered: what a provider makes in the background is not known to any other.
func TestACallIsAskedAboutWhereItWasAnswered(t *testing.T) {
	for name, change := range map[string]func(*stage){
		"nothing happened": func(*stage) {},
		"switched off":     func(s *stage) { s.providers[0].Active = false },
		"deleted":          func(s *stage) { s.providers = s.providers[1:] },
		"moved":            func(s *stage) { s.providers[0].BaseURL = "p2" },
		"another of its name": func(s *stage) {
			s.providers = s.providers[1:]
			s.providers[0].Slug = "p1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, speaks(says{}), speaks(says{}))
				c := s.call(7)
				if a, err := c.Send(t.Context(), message); err == nil {
					a.Release()
				}
				change(s)
				s.reload()
				time.Sleep(24 * time.Hour)
				s.reload()
				a, err := c.Ask(t.Context(), &Message{})
				if err != nil {
					t.Fatal(err)
				}
				a.Release()
				if len(s.fake(1).asked) != 2 || len(s.fake(2).asked) != 0 {
					t.Errorf("%v, %v", s.fake(1).asked, s.fake(2).asked)
				}
				s.g.Models.Abort()
				if s.fake(1).aborted == 0 {
					t.Error("what is under way there is not broken off")
				}
				s.clean()
			})
		})
	}
}
