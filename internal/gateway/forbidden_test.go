package gateway

import (
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestWhatAProviderForbidsOneTenantClosesItToNobody(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 403}, says{status: 403}, says{status: 403}, says{}))
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls = 2 })
		for _, want := range []int{403, 403, 403, 200} {
			if o := call(s); o.status != want || o.refusal != nil {
				t.Errorf("%+v", o)
			}
		}
		s.clean()
	})
}
