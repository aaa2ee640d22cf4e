package alert

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestALinkIsReadOnlyAsItWasMade(t *testing.T) {
	c, other := NewConfirmer([32]byte{1}), NewConfirmer([32]byte{2})
	nonce := uuid.New()
	token := c.Token(77, nonce)
	if id, n, err := c.Read(token); err != nil || id != 77 || n != nonce {
		t.Fatalf("%d %s %v", id, n, err)
	}
	if strings.Contains(token, "=") || strings.ContainsAny(token, "/+") {
		t.Errorf("%s does not fit a path", token)
	}
	if _, _, err := other.Read(token); err == nil {
		t.Error("another installation's key reads it")
	}
	unsubscribe := NewUnsubscriber([32]byte{1})
	if _, err := unsubscribe.Read(token); err == nil {
		t.Error("it ends e-mails as well")
	}
	if _, _, err := c.Read(unsubscribe.Token(Subscription{TenantID: 77, Address: strings.Repeat("a", 40)})); err == nil {
		t.Error("a link that ends e-mails agrees to them")
	}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(token)-2).Draw(t, "at") // the last letter holds bits of nothing
		letter := rapid.SampledFrom([]byte("abcXYZ019-_")).Draw(t, "letter")
		if forged := token[:i] + string(letter) + token[i+1:]; forged != token {
			if _, _, err := c.Read(forged); err == nil {
				t.Errorf("%s is read", forged)
			}
		}
		if _, _, err := c.Read(rapid.String().Draw(t, "text")); err == nil {
			t.Error("any text is read")
		}
	})
}

func TestAnAddressIsOneHoweverItIsWritten(t *testing.T) {
	for _, same := range [][]string{
		{"ana@x.com", "Ana@X.COM", " ana@x.com "},
		{"ana@padaria-são-joão.com.br", "ANA@PADARIA-SÃO-JOÃO.COM.BR", "ana@xn--padaria-so-joo-yhbe.com.br", "ana@padaria-sa\u0303o-joa\u0303o.com.br"},
	} {
		for _, text := range same {
			if got, want := SameAddress(text), SameAddress(same[0]); got != want {
				t.Errorf("%q is %q, want %q", text, got, want)
			}
		}
	}
	if SameAddress("ana@x.com") == SameAddress("ana@x.com.br") || SameAddress("ana@são.com") == SameAddress("ana@sao.com") {
		t.Error("others are the same")
	}
}

// asked is a customer whose own rule names three addresses from outside, its user and its own address.
func asked() Situation {
	rule := Rule{ID: 1, Enabled: true, Audience: Customer, Scope: Tenant, TenantID: 7, Thresholds: []int64{1}, To: Recipients{
		Roles: []tenancy.Role{tenancy.TenantAdmin}, Addresses: []string{"new@x.com", "yes@são.com", "no@x.com", "ANA@x.com", "caixa@x.com"},
	}}
	return Situation{
		Now: time.Now(), Rules: map[int64]Rule{1: rule}, Events: []Event{{ID: 1, RuleID: 1, Audience: Customer, Threshold: 1, Metric: InputQuota}},
		Customer: &Party{ID: 7, Email: "Caixa@x.com", Users: []Person{{"ana@x.com", "Ana", tenancy.TenantAdmin, "en"}}},
		Answers:  []Answered{{7, "yes@xn--so-sia.com", true}, {7, "no@x.com", false}, {8, "new@x.com", true}},
	}
}

func recipients(list []Delivery) (names []string) {
	for _, d := range list {
		names = append(names, d.Recipient+string(d.Reason))
	}
	return names
}

func TestWhoHasNotAgreedIsNotToldAndOthersAre(t *testing.T) {
	s := asked()
	p := Decide(s)
	if got := recipients(p.Deliveries); !slices.Equal(got, []string{"ana@x.com", "caixa@x.com", "yes@são.com"}) {
		t.Errorf("told: %q", got)
	}
	if got := recipients(p.Unsent); !slices.Equal(got, []string{"new@x.comunconfirmed", "no@x.comdeclined"}) {
		t.Errorf("not told: %q", got)
	}
	for _, d := range p.Unsent {
		if d.State != Cancelled || !strings.HasPrefix(d.Batch, "unsent:") || d.TenantID != 7 || !slices.Equal(d.EventIDs, []int64{1}) {
			t.Errorf("%+v", d)
		}
	}
}

func TestWhoIsToldByARuleOfTheTeamOrOfAllCustomersIsNotAsked(t *testing.T) {
	for name, change := range map[string]func(*Rule){
		"the team's":      func(r *Rule) { r.Audience = Operator },
		"of all":          func(r *Rule) { r.Scope, r.TenantID = All, 0 },
		"of a plan":       func(r *Rule) { r.Scope, r.TenantID = Plan, 0 },
		"the team's, too": func(r *Rule) { r.Audience, r.Scope = Operator, All },
	} {
		s := asked()
		r := s.Rules[1]
		change(&r)
		s.Rules[1], s.Events[0].Audience = r, r.Audience
		if p := Decide(s); len(p.Unsent) != 0 || len(p.Deliveries) != 5 {
			t.Errorf("%s: %q, not %q", name, recipients(p.Deliveries), recipients(p.Unsent))
		}
	}
}

func TestWhatOneRuleMayTellAnotherDoesNotHoldBack(t *testing.T) {
	s := asked()
	wide := Rule{ID: 2, Audience: Customer, Scope: All, Thresholds: []int64{1}, To: Recipients{Addresses: []string{"new@x.com"}}}
	s.Rules[2] = wide
	s.Events = append(s.Events, Event{ID: 2, RuleID: 2, Audience: Customer, Threshold: 1, Metric: OutputQuota})
	p := Decide(s)
	find := func(list []Delivery) []int64 {
		i := slices.IndexFunc(list, func(d Delivery) bool { return d.Recipient == "new@x.com" })
		if i < 0 {
			return nil
		}
		return list[i].EventIDs
	}
	if got := find(p.Deliveries); !slices.Equal(got, []int64{2}) {
		t.Errorf("told of %v", got)
	}
	if got := find(p.Unsent); !slices.Equal(got, []int64{1}) {
		t.Errorf("not told of %v", got)
	}
}

func TestAnEscalationTellsOnlyWhoAgreed(t *testing.T) {
	s := asked()
	r := s.Rules[1]
	r.Escalation = &Escalation{After: 5, Addresses: []string{"new@x.com", "YES@são.com"}}
	s.Rules[1] = r
	p, _ := Escalate(s, 1)
	if sent, kept := recipients(p.Deliveries), recipients(p.Unsent); !slices.Equal(sent, []string{"yes@são.com"}) || !slices.Equal(kept, []string{"new@x.comunconfirmed"}) {
		t.Errorf("told %q, not %q", sent, kept)
	}
}
