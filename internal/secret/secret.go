// Package secret keeps the operator's credentials at providers unreadable in the database and its backups.
//
// A Box seals with AES-256-GCM under a key of its own, derived from FILAIA_SECRET_KEY. What is sealed is bound to its
// context, such as "provider:azure-br": moved to another row it does not open.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
)

// Box seals and opens. It is safe for concurrent use.
type Box struct{ aead cipher.AEAD }

// purpose keeps this key apart from whatever else is derived from the same secret.
const purpose = "filaia credentials of providers, AES-256-GCM"

// version is the first byte of what is sealed, so that another way to seal can follow.
const version = 1

// ErrNotOpened is all that Open tells: the secret key is another one, or the bytes or their context were changed.
var ErrNotOpened = errors.New("sealed credential does not open: FILAIA_SECRET_KEY is another one, or it was changed")

// New makes a box from the installation's secret key.
func New(key [32]byte) *Box {
	derived, err := hkdf.Key(sha256.New, key[:], nil, purpose, 32)
	if err != nil {
		panic(err) // only for more bytes than HKDF can give
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		panic(err) // only for keys of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for blocks of another length
	}
	return &Box{aead}
}

// Seal gives the version, a random nonce, and plain encrypted and authenticated together with its context.
func (b *Box) Seal(plain []byte, context string) []byte {
	return b.aead.Seal([]byte{version}, nil, plain, bound(context))
}

// Open gives back what was sealed in the same context, or ErrNotOpened.
func (b *Box) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != version {
		return nil, ErrNotOpened
	}
	plain, err := b.aead.Open(nil, nil, sealed[1:], bound(context))
	if err != nil {
		return nil, ErrNotOpened
	}
	return plain, nil
}

func bound(context string) []byte { return append([]byte{version}, context...) }

// hintLength is how many characters of a credential are told; shorter credentials than minHinted tell none.
const hintLength, minHinted = 4, 12

// Hint tells credentials apart without giving them away: "…aB3x", or "…" for a short one.
func Hint(credential string) string {
	runes := []rune(credential)
	if len(runes) < minHinted {
		return "…"
	}
	return "…" + string(runes[len(runes)-hintLength:])
}
