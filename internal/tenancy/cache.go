package tenancy

import "time"

// CacheMode says which calls are answered from the cache.
type CacheMode string

// Exact answers the same request again; Smart also one that says the same in other words.
const (
	CacheOff   CacheMode = "off"
	CacheExact CacheMode = "exact"
	CacheSmart CacheMode = "smart"
)

// Valid tells whether the mode is one of them.
func (m CacheMode) Valid() bool { return m == CacheOff || m == CacheExact || m == CacheSmart }

// CachePolicy is what holds for a caller.
type CachePolicy struct {
	Mode          CacheMode
	Lifetime      time.Duration // how old an answer may be
	BilledPercent int           // of the tokens served from the cache
	Purges        int64         // how often the tenant's answers were forgotten
}

// Rates are limits a minute and at once; zero means no limit.
type Rates struct {
	RequestsPerMinute int
	TokensPerMinute   int
	ParallelCalls     int
}

// CacheSettings hold for the whole installation.
type CacheSettings struct {
	EmbeddingModel string  `json:"embedding_model"` // a public model name; empty: likeness is not looked for
	Threshold      float64 `json:"threshold"`       // cosine from which two questions are alike, 0.5 to 1
}
