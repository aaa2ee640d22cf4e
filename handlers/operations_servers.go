package handlers

import (
	"context"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/operations"
)

// ReplicaStore knows the processes that answer calls.
type ReplicaStore interface {
	Replicas(ctx context.Context) ([]usage.Replica, error)
}

// SelfState is this process at this moment; of the others the database knows their last heartbeat.
type SelfState struct {
	Name string // "" where no calls are answered here
	usage.Vitals
	Refusing    bool // calls are refused: the spool takes nothing
	SyncFailing bool // the disk does not confirm what is written
	Stalled     bool // the database does not take what is written
}

// servers are the processes on the page: those that are not well first, otherwise in the order in which they started, so
// that no row moves with a heartbeat.
func (p *Panel) servers(ctx context.Context) ([]operations.Server, error) {
	replicas, err := p.Replicas.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	self, now := p.Operations.Self(), p.Now()
	servers := make([]operations.Server, len(replicas))
	for i, r := range replicas {
		servers[i] = server(r, self, now)
	}
	slices.SortFunc(servers, operations.Server.Before)
	return servers, nil
}

func server(r usage.Replica, self SelfState, now time.Time) operations.Server {
	s := operations.Server{
		Name: r.Name, StartedAt: r.StartedAt, SeenAt: r.SeenAt, Silent: r.Silent, StoppedAt: r.StoppedAt, ReapedAt: r.ReapedAt,
		LeasedIn: r.LeasedIn, LeasedOut: r.LeasedOut,
	}
	if r.StoppedAt.Before(r.StartedAt) {
		s.StoppedAt = time.Time{}
	}
	vitals := r.Vitals
	if s.Self = r.Name == self.Name; s.Self {
		vitals, s.Refusing, s.SyncFailing, s.Stalled = self.Vitals, self.Refusing, self.SyncFailing, self.Stalled
	} else if vitals.SpoolEvents > 0 {
		vitals.SpoolAge += r.Silent
	}
	s.Version, s.Calls, s.DamagedFiles = vitals.Version, vitals.Calls, vitals.DamagedFiles
	s.SpoolEvents, s.SpoolAge, s.SpoolBytes = vitals.SpoolEvents, vitals.SpoolAge, vitals.SpoolBytes
	return s
}
