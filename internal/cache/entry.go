package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fila-ia/filaia/internal/usage"
)

// Entry is a complete, successful answer. One that Find gave is shared: nobody may change it.
type Entry struct {
	Stream      bool // Body holds the server-sent events as relayed, the one with the usage and the end included
	ContentType string
	Body        []byte
	Model       string       // by its public name
	Tokens      usage.Tokens // what the answer took when it was made
	StoredAt    time.Time
}

// own makes a copy that shares no memory with the request it came from.
func (e *Entry) own(now time.Time) Entry {
	o := *e
	o.ContentType, o.Model = strings.Clone(e.ContentType), strings.Clone(e.Model)
	if o.StoredAt.IsZero() {
		o.StoredAt = now
	}
	return o
}

// plainSize is up to which size, in bytes, compression costs more than it saves.
const plainSize = 2 << 10

// codec compresses bodies. It may be used concurrently and starts no goroutines.
type codec struct {
	in  *zstd.Encoder
	out *zstd.Decoder
}

func newCodec(maxEntry int) (codec, error) {
	in, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return codec{}, err
	}
	// What is read back may have been written by someone else: it must not unpack to more than could be stored.
	out, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(max(maxEntry, 1<<20))))
	return codec{in, out}, err
}

// pack gives a copy of body, compressed where that pays.
func (c codec) pack(body []byte) (packed []byte, zipped bool) {
	if len(body) > plainSize {
		if small := c.in.EncodeAll(body, make([]byte, 0, len(body)/4)); len(small) < len(body) {
			return bytes.Clone(small), true // without the room that was left
		}
	}
	return bytes.Clone(body), false
}

func (c codec) unpack(packed []byte) ([]byte, error) { return c.out.DecodeAll(packed, nil) }

// The form in which Redis keeps an entry: version, flags, then varints (the last is the body's length) and counted
// strings, then the body.
const (
	formVersion = 1
	flagStream  = 1 << 0
	flagZipped  = 1 << 1
)

var errForm = errors.New("cache: an entry of unknown form")

func (c codec) marshal(e *Entry) []byte {
	body, zipped := e.Body, false
	if len(body) > plainSize {
		body, zipped = c.pack(body)
	}
	var flags byte
	if e.Stream {
		flags |= flagStream
	}
	if zipped {
		flags |= flagZipped
	}
	b := append(make([]byte, 0, len(body)+len(e.ContentType)+len(e.Model)+48), formVersion, flags)
	for _, n := range []int64{e.StoredAt.UnixMilli(), e.Tokens.Input, e.Tokens.Cached, e.Tokens.Output, e.Tokens.Reasoning, int64(len(e.Body))} {
		b = binary.AppendVarint(b, n)
	}
	for _, s := range []string{e.ContentType, e.Model} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return append(b, body...)
}

func (c codec) unmarshal(b []byte) (*Entry, error) {
	if len(b) < 2 || b[0] != formVersion {
		return nil, errForm
	}
	flags, b := b[1], b[2:]
	var numbers [6]int64
	for i := range numbers {
		n, size := binary.Varint(b)
		if size <= 0 {
			return nil, errForm
		}
		numbers[i], b = n, b[size:]
	}
	var texts [2]string
	for i := range texts {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, errForm
		}
		texts[i], b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	if flags&flagZipped != 0 {
		var err error
		if b, err = c.unpack(b); err != nil {
			return nil, err
		}
	}
	if int64(len(b)) != numbers[5] {
		return nil, errForm
	}
	return &Entry{
		Stream: flags&flagStream != 0, ContentType: texts[0], Model: texts[1], Body: b, StoredAt: time.UnixMilli(numbers[0]),
		Tokens: usage.Tokens{Input: numbers[1], Cached: numbers[2], Output: numbers[3], Reasoning: numbers[4]},
	}, nil
}
