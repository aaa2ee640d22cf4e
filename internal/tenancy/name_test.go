package tenancy

import (
	"testing"
	"time"
)

func TestNamesLoseWhatTurnsTheLineTheyStandIn(t *testing.T) {
	const typed, want = " Loja\u202e 10% \u2066da\u2069 franquia\u200f ", "Loja 10% da franquia"
	key, tenant, user, plan := KeyDraft{Name: typed}, TenantDraft{Name: typed}, UserDraft{Name: typed}, PlanDraft{Name: typed}
	_, _, _, _ = key.Validate(time.Now()), tenant.Validate(), user.ValidateProfile(), plan.Validate() // a name alone is not enough
	for what, got := range map[string]string{"key": key.Name, "tenant": tenant.Name, "user": user.Name, "plan": plan.Name} {
		if got != want {
			t.Errorf("a %s is called %q, want %q", what, got, want)
		}
	}
	if got := Tidy("\u202e\u2067"); got != "" {
		t.Errorf("nothing to see is %q", got)
	}
}
