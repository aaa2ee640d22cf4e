package store

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestChangesTellWhoDidWhatToOneThing(t *testing.T) {
	o := openOffice(t)
	one, other := o.provider("um"), o.provider("outro")
	o.at = o.at.Add(time.Minute)
	o.must(o.ForceBreaker(o.ctx, one.ID, "", "forced_open"))
	o.must(o.SetPrice(o.ctx, "gpt-4.1", tenancy.Price{Input: 1}))

	list, err := o.ProviderChanges(o.ctx, one.ID, 10)
	o.must(err)
	if len(list) != 2 || list[0].Action != "breaker.force" || list[1].Action != "provider.create" || list[0].Actor != "gestora@empresa.com.br" || !list[0].At.Equal(o.at) {
		t.Fatalf("%+v", list)
	}
	if list, err = o.ProviderChanges(o.ctx, other.ID, 1); err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if list, err = o.ModelChanges(o.ctx, "gpt-4.1", 10); err != nil || len(list) != 1 || list[0].Action != "price.set" {
		t.Fatalf("%+v, %v", list, err)
	}
}
