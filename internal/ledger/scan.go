package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

var errDamaged = errors.New("no record here")

// scanner reads the records of one segment in order, through a window that is used again for the next segment.
type scanner struct {
	file   io.ReaderAt
	window []byte
	start  int64 // offset in the file of window[0]
	at     int   // index in window of the next record
}

const windowBytes = 256 << 10

// reset puts the scanner at the beginning of a file.
func (s *scanner) reset(file io.ReaderAt) {
	if cap(s.window) > windowBytes {
		s.window = nil // grown for a giant record or over damage
	}
	*s = scanner{file: file, window: s.window[:0]}
}

func (s *scanner) offset() int64 { return s.start + int64(s.at) }

// next gives the next record, header included, valid until the next call. limit is where the records end: there it
// gives io.EOF. errDamaged leaves the scanner where it is.
func (s *scanner) next(limit int64) ([]byte, error) {
	rest := limit - s.offset()
	if rest == 0 {
		return nil, io.EOF
	}
	if rest < headerBytes {
		return nil, errDamaged
	}
	if err := s.fill(headerBytes, limit); err != nil {
		return nil, err
	}
	size, plausible := recordSize(s.window[s.at:])
	if !plausible || int64(size) > rest {
		return nil, errDamaged
	}
	if err := s.fill(size, limit); err != nil {
		return nil, err
	}
	record := s.window[s.at : s.at+size]
	if !intact(record) {
		return nil, errDamaged
	}
	s.at += size
	return record, nil
}

// fill makes sure that n bytes from the next record on are in the window, reading ahead as far as limit.
func (s *scanner) fill(n int, limit int64) error {
	if len(s.window)-s.at >= n {
		return nil
	}
	old := s.window
	if cap(old) < max(n, windowBytes) {
		s.window = make([]byte, 0, max(n, windowBytes))
	}
	s.window = s.window[:copy(s.window[:cap(s.window)], old[s.at:])]
	s.start += int64(s.at)
	s.at = 0
	have := len(s.window)
	want := int(min(int64(cap(s.window)), limit-s.start))
	read, err := s.file.ReadAt(s.window[have:want], s.start+int64(have))
	s.window = s.window[:have+read]
	switch {
	case len(s.window) >= n:
		return nil
	case errors.Is(err, io.EOF):
		return errDamaged // the file is shorter than it was
	}
	return fmt.Errorf("read the ledger: %w", err)
}

// damage is a stretch of a segment that holds no readable record.
type damage struct {
	offset, bytes int64
	toEnd         bool // nothing readable follows
	torn          bool // to the end, and what a write that was cut leaves: part of one record, or zeros
}

// skip goes on behind damage, to the next intact record or to limit.
func (s *scanner) skip(limit int64) (damage, error) {
	rest := limit - s.offset()
	if err := s.fill(int(rest), limit); err != nil && !errors.Is(err, errDamaged) {
		return damage{}, err
	}
	bytes := s.window[s.at:]
	d := damage{offset: s.offset()}
	gap := nextIntact(bytes)
	d.toEnd = gap == len(bytes)
	d.torn = d.toEnd && cutShort(bytes)
	d.bytes = int64(gap)
	if d.toEnd {
		d.bytes = rest
	}
	s.at += gap
	s.start += d.bytes - int64(gap) // where the file itself is short
	return d, nil
}

// nextIntact finds the first intact record behind a damaged one. The damaged record's own length is believed first:
// its payload holds what clients sent, which is no place to look for records while that can be helped.
func nextIntact(b []byte) int {
	if size, plausible := recordSize(b); plausible && size < len(b) && intactPrefix(b[size:]) {
		return size
	}
	for i := 1; i < len(b); i++ {
		if intactPrefix(b[i:]) {
			return i
		}
	}
	return len(b)
}

func cutShort(b []byte) bool {
	size, plausible := recordSize(b)
	if len(b) < headerBytes || plausible && size > len(b) {
		return true
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// recordSize reads the size, header included, from a record's first bytes.
func recordSize(b []byte) (size int, plausible bool) {
	if len(b) < headerBytes {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(b)
	return headerBytes + int(n), n >= minPayload && n <= maxPayload
}

func intact(record []byte) bool {
	return crc32.Checksum(record[headerBytes:], castagnoli) == binary.LittleEndian.Uint32(record[4:])
}

// intactPrefix tells whether b begins with an intact record of a version this program knows.
func intactPrefix(b []byte) bool {
	size, plausible := recordSize(b)
	if !plausible || size > len(b) {
		return false
	}
	_, _, err := peek(b[headerBytes:size])
	return err == nil && intact(b[:size])
}
