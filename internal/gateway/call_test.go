package gateway

import (
	"context"
	"errors"
	"testing"

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
