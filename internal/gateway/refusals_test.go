package gateway

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// shelf is a RefusalStore, and a log.
type shelf struct {
	mu   sync.Mutex
	rows map[int64]int // by tenant
	log  strings.Builder
}

func (s *shelf) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *shelf) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *shelf) InsertRefusals(_ context.Context, rows []tenancy.Refusal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rows {
		s.rows[rows[i].TenantID]++
	}
	return nil
}

func (s *shelf) OwnRefusal(context.Context, int64, uuid.UUID) (tenancy.Refusal, error) {
	return tenancy.Refusal{}, fault.New(fault.NotFound, "problem.no_page")
}

func (s *shelf) of(tenant int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[tenant]
}

func TestALoopThatIsRefusedDoesNotFillTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{rows: map[int64]int{}}
		book := NewRefusalBook(kept, slog.New(slog.NewTextHandler(kept, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- book.Run(ctx) }()
		add := func(tenant int64, n int) (added int) {
			for range n {
				if book.Add(tenancy.Refusal{ID: uuid.New(), TenantID: tenant}) {
					added++
				}
			}
			return added
		}
		if n := add(1, 1000); n != refusalsKept {
			t.Errorf("%d are kept", n)
		}
		if n := add(2, 10); n != 10 {
			t.Errorf("%d of another tenant's are kept", n)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if add(1, 1) != 0 || kept.of(1) != refusalsKept || kept.of(2) != 10 || kept.logged() != "" {
			t.Errorf("%v %s", kept.rows, kept.logged())
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := strings.Count(kept.logged(), "refusals were not kept"); n != 1 || !strings.Contains(kept.logged(), "count=401") {
			t.Error(kept.logged())
		}
		if n := add(1, 5); n != 5 {
			t.Errorf("%d are kept in the next minute", n)
		}
		add(1, refusalsKept)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if kept.of(1) != 2*refusalsKept || !strings.Contains(kept.logged(), "count=5") {
			t.Errorf("%v %s", kept.rows, kept.logged())
		}
	})
}
