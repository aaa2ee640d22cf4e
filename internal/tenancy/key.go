package tenancy

import (
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
)

// KeyPrefix starts every secret, so that scanners and people recognise it.
const KeyPrefix = "fia_live_"

// secretLength is the number of random base62 characters: 43 × log2(62) ≈ 256 bits.
const secretLength = 43

// Key is an API key without its secret.
type Key struct {
	ID            int64
	TenantID      int64
	TenantName    string
	Name          string
	Hint          string // the secret's start and end, such as fia_live_Ab…9xYz
	PlanID        int64  // a plan of its own; 0: the tenant's
	PlanName      string // the plan in force, its own or the tenant's
	AllowedModels []string
	ExpiresAt     *time.Time
	RevokedAt     *time.Time
	LastUsedAt    *time.Time
	RotatedTo     int64     // the key that replaces it, 0 when none
	Rates         Rates     // of this key alone, beside the plan's
	Cache         CacheMode // empty: as the plan says
	CreatedAt     time.Time
}

// KeyState is a word for the list.
type KeyState string

// The states of a key at a moment.
const (
	KeyActive  KeyState = "active"
	KeyExpired KeyState = "expired"
	KeyRevoked KeyState = "revoked"
)

// State says whether the key works at now.
func (k Key) State(now time.Time) KeyState {
	switch {
	case k.RevokedAt != nil:
		return KeyRevoked
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return KeyExpired
	}
	return KeyActive
}

// KeyDraft is what a form or the command line gives.
type KeyDraft struct {
	TenantID      int64
	Name          string
	PlanID        int64 // 0: the tenant's plan
	AllowedModels []string
	ExpiresAt     *time.Time
	Rates         Rates
	Cache         CacheMode // empty: as the plan says
}

// Validate tells every rejected field at once.
func (d *KeyDraft) Validate(now time.Time) error {
	d.Name = Tidy(d.Name)
	var f fault.Form
	f.Check(d.TenantID > 0, "tenant", "error.required")
	f.Check(d.Name != "", "name", "error.required")
	f.Check(len([]rune(d.Name)) <= 80, "name", "error.too_long", "max", 80)
	f.Check(d.ExpiresAt == nil || d.ExpiresAt.After(now), "expires_at", "error.in_the_past")
	checkKeyLimits(&f, d.Rates, d.Cache)
	return f.Err()
}

// ValidateKeyLimits tells every rejected field at once of what a key may have of its own beside its plan.
func ValidateKeyLimits(rates Rates, cache CacheMode) error {
	var f fault.Form
	checkKeyLimits(&f, rates, cache)
	return f.Err()
}

func checkKeyLimits(f *fault.Form, rates Rates, cache CacheMode) {
	rates.check(f)
	f.Check(cache == "" || cache.Valid(), "cache", "error.choice", "value", string(cache), "accepted", "off, exact, smart")
}

// Secret is a new key's secret. It is shown once and only its hash is kept.
type Secret string

// NewSecret draws a secret from the system's randomness.
func NewSecret() Secret {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := []byte(KeyPrefix)
	for range secretLength {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // the system has no randomness: nothing can go on
		}
		b = append(b, alphabet[n.Int64()])
	}
	return Secret(b)
}

// Hash is what the database keeps.
func (s Secret) Hash() [32]byte { return sha256.Sum256([]byte(s)) }

// Hint is enough to tell keys apart and too little to use one.
func (s Secret) Hint() string {
	return string(s[:len(KeyPrefix)+2]) + "…" + string(s[len(s)-4:])
}

// String keeps a secret out of logs by accident.
func (s Secret) String() string { return s.Hint() }

// Reveal gives the secret to show it once.
func (s Secret) Reveal() string { return string(s) }
