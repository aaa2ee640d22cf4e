package alert

import (
	"testing"

	"pgregory.net/rapid"
)

func TestOnlyALinkThatWasMadeHereIsRead(t *testing.T) {
	ours, theirs := NewUnsubscriber([32]byte{1}), NewUnsubscriber([32]byte{2})
	rapid.Check(t, func(t *rapid.T) {
		want := Subscription{rapid.Int64().Draw(t, "tenant"), rapid.String().Draw(t, "address"), Metric(rapid.SampledFrom([]string{"", "overage"}).Draw(t, "metric"))}
		token := ours.Token(want)
		if got, err := ours.Read(token); err != nil || got != want {
			t.Fatalf("read %+v, %v; want %+v", got, err, want)
		}
		if _, err := theirs.Read(token); err == nil {
			t.Fatal("another installation reads it")
		}
		b := []byte(token)
		at := rapid.IntRange(0, len(b)-2).Draw(t, "at") // the last character has bits that nobody reads
		if b[at]++; true {
			if _, err := ours.Read(string(b)); err == nil {
				t.Fatalf("a changed link is read: %s", b)
			}
		}
	})
}
