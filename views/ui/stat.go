package ui

import (
	"math/big"
	"strconv"

	"github.com/fila-ia/filaia/internal/i18n"
)

// QuotaModel is how much of a limit is used. A Limit of 0 means none.
type QuotaModel struct {
	Label       string // "Tokens de entrada"
	Used, Limit int64
	Charged     bool // the limit stops nothing: what is above it is charged
	Money       bool // an amount of BRL in micros, rather than tokens
}

// Shares of a limit from which its bar speaks up.
const (
	nearPercent = 80
	fullPercent = 100
)

// percent is the whole part of used / limit × 100, so that 100 means really reached.
func (m QuotaModel) percent() int64 {
	if m.Limit <= 0 {
		return 0
	}
	q := new(big.Int).Mul(big.NewInt(m.Used), big.NewInt(100))
	return q.Quo(q, big.NewInt(m.Limit)).Int64()
}

func (m QuotaModel) tone() Tone {
	switch percent := m.percent(); {
	case percent >= fullPercent && !m.Charged:
		return Bad
	case percent >= nearPercent:
		return Warn
	}
	return Neutral
}

func (m QuotaModel) width() string {
	if m.Limit <= 0 {
		return "0"
	}
	share := min(100, max(0, 100*float64(m.Used)/float64(m.Limit)))
	return strconv.FormatFloat(share, 'f', 2, 64) + "%"
}

// word says the state in words, since colour alone says nothing to many.
func (m QuotaModel) word(p i18n.Printer) string {
	switch tone := m.tone(); {
	case tone == Bad:
		return p.T("ui.quota.full")
	case tone == Warn && m.Used > m.Limit:
		return p.T("ui.quota.charged")
	case tone == Warn:
		return p.T("ui.quota.near")
	}
	return ""
}

func (m QuotaModel) exact(p i18n.Printer) string {
	if m.Money {
		return m.figures(p)
	}
	if m.Limit <= 0 {
		return p.T("ui.quota.exact_unlimited", "used", m.Used)
	}
	return p.T("ui.quota.exact", "used", m.Used, "limit", m.Limit)
}

func (m QuotaModel) figures(p i18n.Printer) string {
	figure := p.Compact
	if m.Money {
		figure = func(n int64) string { return p.Money(n, "BRL") }
	}
	if m.Limit <= 0 {
		return p.T("ui.quota.unlimited", "used", figure(m.Used))
	}
	return p.T("ui.quota.figures", "used", figure(m.Used), "limit", figure(m.Limit))
}

func (m QuotaModel) share(p i18n.Printer) string {
	if m.Limit <= 0 {
		return ""
	}
	return p.Percent(float64(m.Used) / float64(m.Limit))
}

// StatModel is one figure that matters.
type StatModel struct {
	Label string
	Value string // as people read it: Printer.Compact, Money, Percent, Duration
	Exact string // on hover; optional
	Note  string // a sentence under it: "de R$ 8.000,00 por mês", optional
	Trend string // the change against before, as "+12,5%", optional
	Tone  Tone   // of the trend: OK, Bad or Neutral
	Up    bool   // the trend's arrow
	Href  string // where the figure is explained, optional
	Bar   *QuotaModel
}
