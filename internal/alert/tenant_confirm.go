package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/idna"
)

// How often an address from outside is asked whether it may be told of a customer, and how many at a time. These e-mails go to
// people who have agreed to nothing yet.
const (
	AskHolds  = 7 * 24 * time.Hour // for which the link holds
	AskPause  = time.Hour          // between two e-mails to one address
	AskWithin = 24 * time.Hour     // in which it gets AskMost
	AskMost   = 3
	AsksOpen  = 50 // of one customer, that nobody has answered and that still hold
)

// Confirmation is a message that asks an address whether it may be told of a customer. It tells of no alert.
const Confirmation DeliveryKind = "confirmation"

// Reason is why a message was not sent.
type Reason string

// The reasons.
const (
	NotConfirmed Reason = "unconfirmed" // the address has not said yet that it wants them
	HasDeclined  Reason = "declined"    // it has said that it does not
)

// AskState is how far an address is.
type AskState string

// The states.
const (
	AskOpen      AskState = "open"
	AskExpired   AskState = "expired" // its link holds no more
	AskConfirmed AskState = "confirmed"
	AskDeclined  AskState = "declined"
)

// Ask is an address from outside that rules of a customer name: one that is none of its users.
type Ask struct {
	ID          int64
	TenantID    int64
	Company     string // the customer's name
	Address     string // as SameAddress has it
	Nonce       uuid.UUID
	By          string // the customer's own person who named it; "": one of the team
	Topics      []Metric
	AskedAt     time.Time
	ExpiresAt   time.Time
	ConfirmedAt time.Time // zero: not
	DeclinedAt  time.Time
	Mail        DeliveryState // of the newest e-mail that asks; "": there is none any more
	Answer      string        // what the other side said to it last
}

// State is how far the address is.
func (a Ask) State(now time.Time) AskState {
	switch {
	case !a.ConfirmedAt.IsZero():
		return AskConfirmed
	case !a.DeclinedAt.IsZero():
		return AskDeclined
	case now.Before(a.ExpiresAt):
		return AskOpen
	}
	return AskExpired
}

// SameAddress is an address as all its ways of writing have it: in small letters, with its domain in ASCII.
func SameAddress(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	domain, err := idna.Lookup.ToASCII(text[at+1:])
	if err != nil {
		return text
	}
	return text[:at+1] + domain
}

// AsksFirst tells whether the addresses that the rule names are told only after they have agreed: those of a customer's own rules,
// whoever wrote them. Whom rules of the team or of all customers tell is chosen by who runs the mail server and answers for it.
func (r *Rule) AsksFirst() bool {
	return r.Audience == Customer && (r.Scope == Tenant || r.Scope == Key)
}

// Named are the addresses that the rule names, each once.
func (r *Rule) Named() []string {
	all := slices.Clone(r.To.Addresses)
	if r.Escalation != nil {
		all = append(all, r.Escalation.Addresses...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Confirmer makes and reads the links of e-mails that ask: nobody else can make one, and nothing that is kept is enough to.
type Confirmer struct{ key []byte }

// NewConfirmer derives the key of the links from the installation's secret.
func NewConfirmer(secret [32]byte) Confirmer {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("filaia alert confirm"))
	return Confirmer{mac.Sum(nil)}
}

// Length of what a token holds: signature, nonce and id.
const confirmToken = 16 + 16 + 8

// Token is the part of a link that names the ask; it fits a path.
func (c Confirmer) Token(id int64, nonce uuid.UUID) string {
	text := binary.BigEndian.AppendUint64(slices.Clone(nonce[:]), uint64(id))
	return base64.RawURLEncoding.EncodeToString(append(c.sign(text), text...))
}

// Read gives the ask that a token names, or an error for one that was not made here.
func (c Confirmer) Read(token string) (id int64, nonce uuid.UUID, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != confirmToken || !hmac.Equal(b[:16], c.sign(b[16:])) {
		return 0, uuid.Nil, errForged
	}
	return int64(binary.BigEndian.Uint64(b[32:])), uuid.UUID(b[16:32]), nil
}

func (c Confirmer) sign(text []byte) []byte {
	mac := hmac.New(sha256.New, c.key)
	mac.Write(text)
	return mac.Sum(nil)[:16]
}
