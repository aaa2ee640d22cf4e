package tenancy

import "time"

// A session ends by itself after this long without a request, and at the latest this long after sign-in.
const (
	SessionIdle = 12 * time.Hour
	SessionLife = 30 * 24 * time.Hour
)

// Session is one signed-in browser. Its token is known to the browser only; ID is the token's SHA-256.
type Session struct {
	ID        SessionID
	User      User
	Data      []byte // what the browser side keeps between two pages; opaque here
	Address   string // where it was opened from
	Agent     string // the browser's own description
	CreatedAt time.Time
	SeenAt    time.Time // to the minute
	ExpiresAt time.Time
}

// SessionID is the SHA-256 of a session's token: enough to find and end a session, too little to use one.
type SessionID [32]byte

// SessionDraft is what opens a session.
type SessionDraft struct {
	ID           SessionID
	UserID       int64
	PasswordHash string // as it was verified: a password changed meanwhile opens nothing
	Address      string
	Agent        string
}
