package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

// A record is length u32 | CRC-32C u32 | payload, little endian, length and checksum being the payload's. A payload is
//
//	version u8 | kind u8 | id 16 bytes | seconds varint | nanoseconds uvarint | tenant, key, period varint |
//	flags u8 | model, endpoint, request id: length uvarint, bytes
//
// and for a finished call besides
//
//	provider id, object (if stored), provider: length uvarint, bytes | status u8 | HTTP status varint |
//	input, cached, output, reasoning varint | served input, served output, saved varint (if apart) |
//	cost, latency, first byte varint
//
// Varints are those of encoding/binary, the signed ones zigzag. Version 1, which is still read, has neither object nor
// provider, and of the flags only the first three: what was served was what was billed.
const (
	headerBytes  = 8
	peekBytes    = 2 + 16                    // version, kind, id
	minPayload   = peekBytes + 2 + 3 + 1 + 3 // every varint and length at its shortest
	maxPayload   = 1 << 20                   // far above any call; a length above it is damage
	scratchBytes = 512                       // holds any ordinary record
	maxText      = maxPayload - 512          // leaves room for the rest
	version      = 2
	first        = 1 // the oldest version that is read
	opened       = kind(1)
	closed       = kind(2)
)

// The flags. Two bits hold a usage.Cache.
const (
	streamed   = 1 << 0
	estimated  = 1 << 1
	held       = 1 << 2
	cacheShift = 3
	cacheMask  = 3 << cacheShift
	apart      = 1 << 5 // what was served is not what was billed, or something was saved
	stored     = 1 << 6 // the provider keeps an object

	openedFlags = streamed | estimated | held | cacheMask
	closedFlags = openedFlags | apart | stored
	firstFlags  = streamed | estimated | held
)

type kind uint8

var (
	errMalformed = errors.New("malformed payload")
	errNewer     = errors.New("written by a newer version of this program")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// appendRecord adds one record to dst. An event that could not be read back is refused; but of a call that has been made,
// only what the program itself would have to have got wrong: texts without end come from providers, and are cut.
func appendRecord(dst []byte, k kind, e *usage.Event) ([]byte, error) {
	if e.Status > usage.Interrupted {
		return nil, fmt.Errorf("usage event %s: unknown status %d", e.ID, e.Status)
	}
	if e.Cache > usage.CacheCoalesced {
		return nil, fmt.Errorf("usage event %s: unknown cache outcome %d", e.ID, e.Cache)
	}
	if n := len(e.Model) + len(e.Endpoint) + len(e.RequestID) + len(e.ProviderID) + len(e.Provider) + len(e.Object); n > maxText {
		if k == opened {
			return nil, fmt.Errorf("usage event %s: %d bytes of text are too many", e.ID, n)
		}
		e = cutTexts(e)
	}
	flags := flagsOf(k, e)
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, version, byte(k))
	dst = append(dst, e.ID[:]...)
	dst = binary.AppendVarint(dst, e.CreatedAt.Unix())
	dst = binary.AppendUvarint(dst, uint64(e.CreatedAt.Nanosecond()))
	dst = binary.AppendVarint(dst, e.TenantID)
	dst = binary.AppendVarint(dst, e.KeyID)
	dst = binary.AppendVarint(dst, e.PeriodID)
	dst = append(dst, flags)
	dst = appendText(dst, e.Model)
	dst = appendText(dst, e.Endpoint)
	dst = appendText(dst, e.RequestID)
	if k == closed {
		dst = appendOutcome(dst, flags, e)
	}
	payload := dst[start+headerBytes:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(payload, castagnoli))
	return dst, nil
}

// cutTexts gives an event whose texts fit into a record together.
func cutTexts(e *usage.Event) *usage.Event {
	c := *e
	for _, s := range []*string{&c.Model, &c.Endpoint, &c.RequestID, &c.ProviderID, &c.Provider, &c.Object} {
		*s = (*s)[:min(len(*s), maxText/6)]
	}
	return &c
}

func flagsOf(k kind, e *usage.Event) byte {
	flags := byte(e.Cache) << cacheShift
	if e.Streamed {
		flags |= streamed
	}
	if e.Held {
		flags |= held
	}
	if e.Estimated {
		flags |= estimated
	}
	if k == closed && (e.Served.Input != e.Tokens.Input || e.Served.Output != e.Tokens.Output || e.SavedUSD != 0) {
		flags |= apart
	}
	if k == closed && e.Object != "" {
		flags |= stored
	}
	return flags
}

func appendOutcome(dst []byte, flags byte, e *usage.Event) []byte {
	dst = appendText(dst, e.ProviderID)
	if flags&stored != 0 {
		dst = appendText(dst, e.Object)
	}
	dst = appendText(dst, e.Provider)
	dst = append(dst, byte(e.Status))
	dst = binary.AppendVarint(dst, int64(e.HTTPStatus))
	dst = binary.AppendVarint(dst, e.Tokens.Input)
	dst = binary.AppendVarint(dst, e.Tokens.Cached)
	dst = binary.AppendVarint(dst, e.Tokens.Output)
	dst = binary.AppendVarint(dst, e.Tokens.Reasoning)
	if flags&apart != 0 {
		dst = binary.AppendVarint(dst, e.Served.Input)
		dst = binary.AppendVarint(dst, e.Served.Output)
		dst = binary.AppendVarint(dst, int64(e.SavedUSD))
	}
	dst = binary.AppendVarint(dst, int64(e.CostUSD))
	dst = binary.AppendVarint(dst, e.LatencyMS)
	return binary.AppendVarint(dst, e.FirstByteMS)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// peek reads what every payload begins with. errNewer means that this program must leave the log alone.
func peek(payload []byte) (kind, uuid.UUID, error) {
	if len(payload) < peekBytes {
		return 0, uuid.Nil, errMalformed
	}
	if payload[0] > version {
		return 0, uuid.Nil, errNewer
	}
	k := kind(payload[1])
	if payload[0] < first || k != opened && k != closed {
		return 0, uuid.Nil, errMalformed
	}
	return k, uuid.UUID(payload[2:peekBytes]), nil
}

// decoder turns payloads into events. Models and endpoints are few, so their strings are kept and shared.
type decoder struct {
	names map[string]string
}

const maxNames = 4096 // then they are forgotten: clients may make names up

func newDecoder() decoder { return decoder{names: make(map[string]string)} }

// decode reads an event; of an opened call the outcome is zero. Times come back in UTC.
func (d *decoder) decode(payload []byte, e *usage.Event) error {
	k, id, err := peek(payload)
	if err != nil {
		return err
	}
	f := fields{payload: payload, at: peekBytes}
	seconds, nanoseconds := f.signed(), f.unsigned()
	*e = usage.Event{ID: id, TenantID: f.signed(), KeyID: f.signed(), PeriodID: f.signed()}
	flags := f.octet()
	if flags&^known(payload[0], k) != 0 {
		return errMalformed
	}
	e.Streamed, e.Estimated, e.Held = flags&streamed != 0, flags&estimated != 0, flags&held != 0
	e.Cache = usage.Cache(flags & cacheMask >> cacheShift)
	e.Model, e.Endpoint = d.name(f.text()), d.name(f.text())

	// The ids lie next to each other: one allocation serves all.
	ids := [3]span{f.span()}
	if k == closed {
		ids[1] = f.span()
		if flags&stored != 0 {
			ids[2] = f.span()
		}
	}
	start := ids[0].start
	text := string(payload[start:f.at])
	e.RequestID, e.ProviderID, e.Object = ids[0].of(text, start), ids[1].of(text, start), ids[2].of(text, start)
	if k == closed {
		if payload[0] > first {
			e.Provider = d.name(f.text())
		}
		f.outcome(flags, e)
	}
	if f.bad || f.at != len(payload) || nanoseconds >= 1e9 || e.Status > usage.Interrupted {
		return errMalformed
	}
	e.CreatedAt = time.Unix(seconds, int64(nanoseconds)).UTC()
	return nil
}

// known gives the flags that a payload may have.
func known(version byte, k kind) byte {
	switch {
	case version == first:
		return firstFlags
	case k == opened:
		return openedFlags
	}
	return closedFlags
}

func (d *decoder) name(b []byte) string {
	if s, known := d.names[string(b)]; known {
		return s
	}
	if len(d.names) >= maxNames {
		clear(d.names)
	}
	s := string(b)
	d.names[s] = s
	return s
}

// fields reads a payload in order. Past its end, or on a value that cannot be, everything is zero and bad is set.
type fields struct {
	payload []byte
	at      int
	bad     bool
}

func (f *fields) outcome(flags byte, e *usage.Event) {
	e.Status = usage.Status(f.octet())
	e.HTTPStatus = int(f.signed())
	e.Tokens.Input, e.Tokens.Cached = f.signed(), f.signed()
	e.Tokens.Output, e.Tokens.Reasoning = f.signed(), f.signed()
	e.Served = usage.Tokens{Input: e.Tokens.Input, Output: e.Tokens.Output}
	if flags&apart != 0 {
		e.Served.Input, e.Served.Output = f.signed(), f.signed()
		e.SavedUSD = money.Micros(f.signed())
	}
	e.CostUSD = money.Micros(f.signed())
	e.LatencyMS, e.FirstByteMS = f.signed(), f.signed()
}

func (f *fields) signed() int64 {
	v, n := binary.Varint(f.payload[f.at:])
	return read(f, v, n)
}

func (f *fields) unsigned() uint64 {
	v, n := binary.Uvarint(f.payload[f.at:])
	return read(f, v, n)
}

func read[T int64 | uint64](f *fields, v T, n int) T {
	if n <= 0 || f.bad {
		f.bad = true
		return 0
	}
	f.at += n
	return v
}

func (f *fields) octet() byte {
	if f.bad || f.at >= len(f.payload) {
		f.bad = true
		return 0
	}
	f.at++
	return f.payload[f.at-1]
}

func (f *fields) text() []byte {
	s := f.span()
	return f.payload[s.start:s.end]
}

// span is where a text lies in the payload.
type span struct{ start, end int }

func (f *fields) span() span {
	n := f.unsigned()
	if f.bad || n > uint64(len(f.payload)-f.at) {
		f.bad = true
		return span{}
	}
	f.at += int(n)
	return span{f.at - int(n), f.at}
}

// of takes the span out of a text that begins at an offset of the payload.
func (s span) of(text string, offset int) string {
	if s.end == 0 {
		return ""
	}
	return text[s.start-offset : s.end-offset]
}
