// Package cache draws the page about answers that are given again without asking a provider.
package cache

import (
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// PageModel is the page. Values are as typed.
type PageModel struct {
	Frame     layout.Model
	MayEdit   bool
	Today     Share
	Month     Share // the last thirty days
	Memory    Memory
	Models    []ui.Option // those that can tell how alike two questions are
	Customers []ui.Option
	Lacking   bool // a plan is smart, and none of them is chosen
	Values    map[string]string
	Errors    map[string]string
	Error     string
}

// Share is how many of the calls that could be answered from the cache were.
type Share struct {
	Lookups, Hits int64
	Saved         money.Micros // USD
}

// Memory is what the cache holds now.
type Memory struct {
	Entries   int64
	Bytes     int64
	Limit     int64 // bytes; 0: not known
	Shared    bool  // in Redis, for all replicas
	Unhealthy bool  // Redis fails: calls go to the providers
	Off       bool  // there is no cache in this process
}

func (s Share) rate(p i18n.Printer) string {
	if s.Lookups == 0 {
		return "–"
	}
	return p.Percent(float64(s.Hits) / float64(s.Lookups))
}

func (s Share) note(p i18n.Printer) string {
	if s.Lookups == 0 {
		return p.T("cache.no_lookups")
	}
	return p.T("cache.hits_of", "hits", p.Compact(s.Hits), "lookups", p.Compact(s.Lookups))
}

func (m Memory) size(p i18n.Printer) string {
	const mega = 1 << 20
	switch {
	case m.Bytes == 0:
		return "0 MB"
	case m.Bytes < mega:
		return p.Int(max(m.Bytes>>10, 1)) + " kB"
	}
	return p.Decimal(float64(m.Bytes)/mega, 1) + " MB"
}

func (m Memory) limit(p i18n.Printer) string {
	switch {
	case m.Off:
		return p.T("cache.off")
	case m.Shared:
		return p.T("cache.shared")
	case m.Limit > 0:
		return p.T("cache.size_of", "size", Memory{Bytes: m.Limit}.size(p))
	}
	return p.T("cache.local")
}
