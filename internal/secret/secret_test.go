package secret

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const place = "provider:azure-br"

func box(fill byte) *Box { return New([32]byte(bytes.Repeat([]byte{fill}, 32))) }

func TestWhatIsSealedOpensInItsContextOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		context, other := rapid.String().Draw(t, "context"), rapid.String().Draw(t, "other")
		sealed := box(1).Seal(plain, context)
		if opened, err := box(1).Open(sealed, context); err != nil || !bytes.Equal(opened, plain) {
			t.Fatalf("opened %q, %v", opened, err)
		}
		if other != context {
			if opened, err := box(1).Open(sealed, other); !errors.Is(err, ErrNotOpened) || opened != nil {
				t.Fatalf("it opens as %q: %v", other, err)
			}
		}
	})
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	sealed := box(1).Seal([]byte("sk-canary"), place)
	for i := range sealed {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(sealed)
			changed[i] ^= bit
			if _, err := box(1).Open(changed, place); !errors.Is(err, ErrNotOpened) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
	}
	for length := range sealed {
		if _, err := box(1).Open(sealed[:length], place); !errors.Is(err, ErrNotOpened) {
			t.Errorf("cut to %d bytes: %v", length, err)
		}
	}
	if _, err := box(1).Open(append(sealed, 0), place); !errors.Is(err, ErrNotOpened) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestAnotherKeyOpensNothingAndTheErrorTellsNothing(t *testing.T) {
	sealed := box(1).Seal([]byte("sk-canary"), place)
	_, err := box(2).Open(sealed, place)
	if !errors.Is(err, ErrNotOpened) || strings.Contains(err.Error(), "canary") {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("canary")) {
		t.Fatal("the plain text can be read in what is sealed")
	}
}

func TestNoNonceComesTwice(t *testing.T) {
	b, seen := box(1), map[string]bool{}
	for range 10_000 {
		sealed := b.Seal([]byte("the same"), place)
		if sealed[0] != version || len(sealed) != 1+12+len("the same")+16 {
			t.Fatalf("%x is not version, nonce, text and tag", sealed)
		}
		nonce := string(sealed[1:13])
		if seen[nonce] {
			t.Fatalf("nonce %x twice", nonce)
		}
		seen[nonce] = true
	}
}

func TestHintGivesLittleAway(t *testing.T) {
	for credential, want := range map[string]string{
		"":                         "…",
		"short":                    "…",
		"12345678901":              "…",
		"sk-proj-0123456789abaB3x": "…aB3x",
		"chave-secreta-ação":       "…ação",
	} {
		if got := Hint(credential); got != want {
			t.Errorf("Hint(%q) = %q, want %q", credential, got, want)
		}
	}
}
