package store

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// These write array literals for unnest: one parameter a column instead of one a cell, which is what makes a batch
// of a thousand rows cheap for both sides.

func column[T any](rows []T, item func([]byte, *T) []byte) string {
	b := append(make([]byte, 0, 64), '{')
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, &rows[i])
		if i == 0 {
			b = slices.Grow(b, (len(rows)-1)*(len(b)+2)+1) // rows are much alike
		}
	}
	return string(append(b, '}'))
}

func uuids[T any](rows []T, get func(*T) uuid.UUID) string {
	return column(rows, func(b []byte, r *T) []byte {
		id := get(r)
		return hex.AppendEncode(b, id[:]) // PostgreSQL needs no dashes
	})
}

func ints[T any](rows []T, get func(*T) int64) string {
	return column(rows, func(b []byte, r *T) []byte { return strconv.AppendInt(b, get(r), 10) })
}

func bools[T any](rows []T, get func(*T) bool) string {
	return column(rows, func(b []byte, r *T) []byte {
		if get(r) {
			return append(b, 't')
		}
		return append(b, 'f')
	})
}

func texts[T any](rows []T, get func(*T) string) string {
	return column(rows, func(b []byte, r *T) []byte { return appendQuoted(b, get(r)) })
}

// appendQuoted escapes for an array literal. What PostgreSQL's text cannot hold, a NUL and bytes that are no UTF-8, is
// dropped: some texts come from the provider, and none of them may keep an event from being counted.
func appendQuoted(b []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "")
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case 0:
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
