package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// Unsubscriber makes and reads the links at the end of a customer's e-mails: who follows one need not sign in, and nobody
// else can make one.
type Unsubscriber struct{ key []byte }

// NewUnsubscriber derives the key of the links from the installation's secret.
func NewUnsubscriber(secret [32]byte) Unsubscriber {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("filaia alert unsubscribe"))
	return Unsubscriber{mac.Sum(nil)}
}

// Subscription is what a link ends: the e-mails about a metric to an address of a customer, or with no metric all of them.
type Subscription struct {
	TenantID int64  `json:"t"`
	Address  string `json:"a"`
	Metric   Metric `json:"m,omitempty"`
}

// errForged is a token that was not made here.
var errForged = errors.New("not a link of this installation")

// Token is the part of a link that names the subscription; it fits a path.
func (u Unsubscriber) Token(s Subscription) string {
	text, _ := json.Marshal(s) // of numbers and text
	return base64.RawURLEncoding.EncodeToString(append(u.sign(text), text...))
}

// Read gives the subscription of a token, or an error for one that was not made here.
func (u Unsubscriber) Read(token string) (Subscription, error) {
	var s Subscription
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 16 || !hmac.Equal(b[:16], u.sign(b[16:])) {
		return s, errForged
	}
	return s, json.Unmarshal(b[16:], &s)
}

func (u Unsubscriber) sign(text []byte) []byte {
	mac := hmac.New(sha256.New, u.key)
	mac.Write(text)
	return mac.Sum(nil)[:16]
}
