package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Responses finds who made a stored response.
type Responses interface {
	// ResponseOwner gives fault.NotFound for one that is unknown or another tenant's.
	ResponseOwner(ctx context.Context, tenantID int64, id string) (provider, model string, tokens int64, err error)
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
	if len(r.ids) == maxRecent {
		delete(r.byID, r.ids[0])
		r.ids = r.ids[1:]
	}
	r.byID[s.ID] = s
	r.ids = append(r.ids, s.ID)
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
	delete(r.byID, id)
}

// Stored notes a response before the call has ended: it may be asked for at once.
func (c *Call) Stored(id string) {
	c.g.recent.add(StoredResponse{ID: id, TenantID: c.event.TenantID, Provider: c.event.Provider, Model: c.event.Model})
}

// Another replica's responses are in the database once it has committed them: a short wait is worth it.
const (
	ownerTries = 4
	ownerPause = 150 * time.Millisecond
)

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

// SendTo sends a request about a stored response to the provider that keeps it. It is no call: nothing is counted but
// the rate of requests.
func (g *Gateway) SendTo(ctx context.Context, caller *tenancy.Caller, s StoredResponse, m *Message) (Answer, error) {
	ticket, _, err := g.Rates.Acquire(ctx, claimOf(caller, 0))
	if err != nil {
		return nil, rateRefusal(err)
	}
	defer ticket.Done(0)
	return g.SendAbout(ctx, s, m)
}

// SendAbout is SendTo for a question of our own.
func (g *Gateway) SendAbout(ctx context.Context, s StoredResponse, m *Message) (Answer, error) {
	house := g.Models.list.Load().bySlug[s.Provider]
	if house == nil {
		return nil, &Refusal{Reason: ProviderAway, Cause: errNoRoute}
	}
	return house.Upstream.Send(ctx, m)
}
