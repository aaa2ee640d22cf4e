package ledger

import (
	"errors"
	"os"
	"syscall"
)

const fallocKeepSize = 1 // FALLOC_FL_KEEP_SIZE: the file's end stays where the records end

// reserve takes room bytes of the disk for the file, where the file system can.
func reserve(f *os.File, room int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), fallocKeepSize, 0, room)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return nil
		}
		return err
	}
}
