package pglocal

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxSocketPath is the longest path a unix socket can be reached at: 108 bytes on Linux, 104 on macOS, less the final zero.
const maxSocketPath = 103

// socketDir is how clients reach the folder with the socket: the cluster folder itself, or where its path is too long, a link
// in a temporary folder that belongs to this process. The server binds relative to its folder and has no such limit.
type socketDir struct {
	path string
	temp *os.File // the temporary folder; nil where none was needed
}

func openSocketDir(cluster string) (*socketDir, error) {
	if fitsSocket(cluster) {
		return &socketDir{path: cluster}, nil
	}
	dir, err := os.MkdirTemp(shortTemp(), "filaia-")
	if err != nil {
		return nil, fmt.Errorf("short path to the socket in %s: %w", cluster, err)
	}
	s := &socketDir{path: filepath.Join(dir, "pg")}
	if s.temp, err = os.Open(dir); err == nil {
		err = share(s.temp) // systemd-tmpfiles leaves a locked folder alone, however old it is
	}
	if err == nil {
		err = os.Symlink(cluster, s.path)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("short path to the socket in %s: %w", cluster, err)
	}
	return s, nil
}

func (s *socketDir) close() {
	if s == nil || s.temp == nil {
		return
	}
	os.RemoveAll(s.temp.Name())
	s.temp.Close()
}

func fitsSocket(dir string) bool {
	return len(filepath.Join(dir, ".s.PGSQL."+socketPort)) <= maxSocketPath
}

// shortTemp is TMPDIR where that is short enough.
func shortTemp() string {
	if fitsSocket(filepath.Join(os.TempDir(), "filaia-0123456789", "pg")) {
		return os.TempDir()
	}
	return "/tmp"
}
