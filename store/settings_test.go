package store

import (
	"sync"
	"testing"
)

func TestTheInstallationHasOneNameWhoeverAsksFirst(t *testing.T) {
	one, other := openOffice(t), openOffice(t)
	names := make([]string, 16)
	var all sync.WaitGroup
	for i := range names {
		all.Go(func() {
			var err error
			if names[i], err = one.Installation(one.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, name := range names {
		if name != names[0] || len(name) != 16 {
			t.Fatalf("%q", names)
		}
	}
	if name, err := other.Installation(other.ctx); err != nil || name == names[0] {
		t.Errorf("another database has the name %q, %v", name, err)
	}
}
