package tenancy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/fila-ia/filaia/internal/fault"
)

// argonCost is what one hash takes. Source: OWASP Password Storage Cheat Sheet, Argon2id, second choice: the smallest
// memory at which two parallel sign-ins still fit a small machine.
type argonCost struct {
	memoryKiB uint32
	passes    uint32
	lanes     uint8
}

const (
	saltBytes     = 16
	hashBytes     = 32
	parallelHash  = 2                // hashes at once: bounds memory to 2 × 19 MiB whatever is asked
	hashQueueTime = 10 * time.Second // how long a sign-in may wait for its turn
)

// Passwords hashes and checks passwords with Argon2id. It is safe for concurrent use.
type Passwords struct {
	cost  argonCost
	turns chan struct{}
	dummy string // a hash that nobody knows a password for
}

// NewPasswords makes a hasher with the present cost.
func NewPasswords() *Passwords {
	p := &Passwords{cost: argonCost{memoryKiB: 19 * 1024, passes: 2, lanes: 1}, turns: make(chan struct{}, parallelHash)}
	p.dummy = encode(p.cost, make([]byte, saltBytes), make([]byte, hashBytes))
	return p
}

// Hash gives the text to keep, in the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash. It is
// fault.Unavailable when too many others wait.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	rand.Read(salt) //nolint:errcheck // it never fails
	sum, err := p.sum(ctx, password, salt, p.cost, hashBytes)
	if err != nil {
		return "", err
	}
	return encode(p.cost, salt, sum), nil
}

// Verify tells whether password made encoded, in constant time, and whether encoded was made at another cost than
// today's and should be replaced. An empty encoded, for an account that does not exist, costs the same and is false.
func (p *Passwords) Verify(ctx context.Context, encoded, password string) (ok, outdated bool, err error) {
	exists := encoded != ""
	if !exists {
		encoded = p.dummy
	}
	cost, salt, want, err := decode(encoded)
	if err != nil {
		return false, false, err
	}
	got, err := p.sum(ctx, password, salt, cost, len(want))
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(got, want) == 1
	return same && exists, cost != p.cost || len(want) != hashBytes, nil
}

func (p *Passwords) sum(ctx context.Context, password string, salt []byte, cost argonCost, length int) ([]byte, error) {
	if len(password) > 4*MaxPassword {
		password = "" // longer than any password that was ever accepted: not worth its bytes
	}
	ctx, cancel := context.WithTimeout(ctx, hashQueueTime)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "problem.busy").Because(ctx.Err())
	}
	return argon2.IDKey([]byte(password), salt, cost.passes, cost.memoryKiB, cost.lanes, uint32(length)), nil
}

// NewPassword makes a password to hand over: four groups of four, without letters and digits that look alike, 79 bits.
func NewPassword() string {
	const alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
	var b strings.Builder
	for i := range 16 {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // the system has no randomness: nothing can go on
		}
		b.WriteByte(alphabet[n.Int64()])
	}
	return b.String()
}

func encode(cost argonCost, salt, sum []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, cost.memoryKiB, cost.passes, cost.lanes, b64(salt), b64(sum))
}

// decode reads a PHC string and bounds its cost, so that a planted one cannot exhaust the machine. Its errors do not
// repeat the hash.
func decode(encoded string) (cost argonCost, salt, sum []byte, err error) {
	parts := strings.Split(encoded, "$")
	var version int
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return cost, nil, nil, fmt.Errorf("password hash: not an argon2id string")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return cost, nil, nil, fmt.Errorf("password hash: unknown version")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.memoryKiB, &cost.passes, &cost.lanes); err != nil {
		return cost, nil, nil, fmt.Errorf("password hash: unreadable cost")
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	sum, errSum := base64.RawStdEncoding.DecodeString(parts[5])
	sane := cost.memoryKiB <= 256*1024 && cost.passes >= 1 && cost.passes <= 16 && cost.lanes >= 1 && cost.lanes <= 8
	if errSalt != nil || errSum != nil || len(salt) < 8 || len(sum) < 16 || len(sum) > 64 || !sane {
		return cost, nil, nil, fmt.Errorf("password hash: out of bounds")
	}
	return cost, salt, sum, nil
}
