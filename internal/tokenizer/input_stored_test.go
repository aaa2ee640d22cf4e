package tokenizer

import "testing"

func TestAnItemThatOnlyItsIDStandsForIsAllowedALongAnswer(t *testing.T) {
	count := func(item string) int {
		return UpperBoundResponses([]byte(`{"model":"gpt-4.1-nano","input":[` + item + `]}`))
	}
	for _, item := range []string{`{"type":"item_reference","id":"msg_x"}`, `{"id":"msg_x"}`, `{"id":"rs_x","type":"reasoning","status":null}`} {
		if n := count(item); n < storedItemAllowance {
			t.Errorf("%s: %d", item, n)
		}
	}
	if n := count(`{"id":"msg_x","type":"message","role":"assistant","content":"oi"}`); n >= storedItemAllowance {
		t.Errorf("an item that is there: %d", n)
	}
}
