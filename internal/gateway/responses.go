package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Responses finds who made a stored response.
type Responses interface {
	// ResponseOwner gives fault.NotFound for one that is unknown or another tenant's.
	ResponseOwner(ctx context.Context, tenantID int64, id string) (provider, model string, tokens int64, err error)
	// KeepResponse notes whose a response is that is still being made; what is known of it already stays.
	KeepResponse(ctx context.Context, r StoredResponse) error
	ForgetResponse(ctx context.Context, tenantID int64, id string) error
}

// StoredResponse is a response that a provider keeps for a tenant.
type StoredResponse = tenancy.StoredResponse

// recentResponses knows the responses of this replica that may not be in the database yet.
type recentResponses struct {
	mu   sync.Mutex
	byID map[string]StoredResponse
	ids  []string // the oldest first
}

// maxRecent is far above what is made between two commits.
const maxRecent = 10_000

func (r *recentResponses) add(s StoredResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string]StoredResponse{}
	}
	if _, known := r.byID[s.ID]; !known {
		if len(r.ids) == maxRecent {
			delete(r.byID, r.ids[0])
			r.ids = r.ids[1:]
		}
		r.ids = append(r.ids, s.ID)
	}
	r.byID[s.ID] = s
}

func (r *recentResponses) find(tenantID int64, id string) (StoredResponse, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.byID[id]
	return s, ok && s.TenantID == tenantID
}

func (r *recentResponses) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.byID[id]; known {
		delete(r.byID, id)
		r.ids = slices.DeleteFunc(r.ids, func(one string) bool { return one == id })
	}
}

// Stored notes a response before the call has ended: it may be asked for at once.
func (c *Call) Stored(id string) { c.g.recent.add(c.stored(id)) }

// stored is a response under way. What it will have used is not known: as much as is held, if somebody continues it.
func (c *Call) stored(id string) StoredResponse {
	e := &c.event
	return StoredResponse{ID: id, TenantID: e.TenantID, Provider: e.Provider, Model: e.Model, Tokens: c.hold.Held.In + c.hold.Held.Out}
}

// keepPatience is how long the answer to a call waits until the database knows its response.
const keepPatience = time.Second

// Keep is Stored for a response that is made in the background: other replicas are asked for it before the call has ended.
func (c *Call) Keep(id string) {
	s := c.stored(id)
	c.g.recent.add(s)
	kept := make(chan error, 1)
	go func() { kept <- c.g.Responses.KeepResponse(context.Background(), s) }() // drivers wait for a silent database
	timer := time.NewTimer(keepPatience)
	defer timer.Stop()
	var err error
	select {
	case err = <-kept:
	case <-timer.C:
		err = errNoAnswer
	}
	if err != nil {
		c.g.Log.Warn("a response made in the background is known to this replica alone until it ends", "id", c.event.RequestID, "error", err)
	}
}

// Ask sends a question of our own about the call's response to the provider that makes it. It is asked even when calls do
// not go there any more: it has been paid to answer.
func (c *Call) Ask(ctx context.Context, m *Message) (Answer, error) {
	if c.route == nil {
		return nil, &Refusal{Reason: ProviderAway, Cause: errNoRoute}
	}
	own := c.route.house
	// As the provider is reached now, with a new credential perhaps, unless it has moved.
	if now := c.g.Models.list.Load().bySlug[own.Provider.Slug]; now != nil && now.Provider.BaseURL == own.Provider.BaseURL {
		own = now
	} else {
		c.g.Models.houses.useOld(own)
	}
	return own.Upstream.Send(ctx, m)
}

// Another replica's responses are in the database once it has committed them: a short wait is worth it.
const (
	ownerTries = 4
	ownerPause = 150 * time.Millisecond
)

// RecentResponse is FindResponse without asking the database; false: it is not known to this replica.
func (g *Gateway) RecentResponse(caller *tenancy.Caller, id string) (StoredResponse, bool) {
	return g.recent.find(caller.TenantID, id)
}

// FindResponse tells which provider keeps a response of the caller's tenant; UnknownResponse where there is none.
func (g *Gateway) FindResponse(ctx context.Context, caller *tenancy.Caller, id string) (StoredResponse, error) {
	if s, ok := g.recent.find(caller.TenantID, id); ok {
		return s, nil
	}
	for n := 1; ; n++ {
		s := StoredResponse{ID: id, TenantID: caller.TenantID}
		var err error
		s.Provider, s.Model, s.Tokens, err = g.Responses.ResponseOwner(ctx, caller.TenantID, id)
		switch {
		case err == nil:
			return s, nil
		case !fault.Is(err, fault.NotFound):
			return s, &Refusal{Reason: DatabaseAway, Cause: err}
		case n == ownerTries || !sleep(ctx, ownerPause):
			return s, &Refusal{Reason: UnknownResponse, Subject: id}
		}
	}
}

// ForgetResponse lets go of a response that its provider has deleted.
func (g *Gateway) ForgetResponse(ctx context.Context, caller *tenancy.Caller, id string) error {
	g.recent.forget(id)
	return g.Responses.ForgetResponse(ctx, caller.TenantID, id)
}

// TakeRequest counts a request about a stored response, before anybody is asked for it. It is no call: nothing else is
// counted, and it takes no place among parallel calls, which the response that is asked for may hold itself.
func (g *Gateway) TakeRequest(ctx context.Context, caller *tenancy.Caller) error {
	claim := claimOf(caller, 0)
	for i := range claim.Scopes {
		claim.Scopes[i].Limits.Parallel = 0
	}
	ticket, _, err := g.Rates.Acquire(ctx, claim)
	if err != nil {
		return rateRefusal(err)
	}
	ticket.Done(0)
	return nil
}

// SendTo sends a request about a stored response to the provider that keeps it.
func (g *Gateway) SendTo(ctx context.Context, s StoredResponse, m *Message) (Answer, error) {
	house := g.Models.list.Load().bySlug[s.Provider]
	if house == nil {
		return nil, &Refusal{Reason: ProviderAway, Cause: errNoRoute}
	}
	return house.Upstream.Send(ctx, m)
}
