package pglocal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// passFolder hands the child the cluster folder as an open file and names it by that. The account then needs no right to walk
// down to the folder, which may lie below /root or another folder closed to everyone else.
func passFolder(cmd *exec.Cmd, dir *string) (closeFolder func(), err error) {
	f, err := os.Open(*dir)
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	*dir = fmt.Sprintf("/proc/self/fd/%d", 2+len(cmd.ExtraFiles))
	return func() { f.Close() }, nil
}

// serves tells whether a process is a PostgreSQL server that works in dir: after a crash its number may be another's.
func serves(pid int, dir string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return false
	}
	// "123 (postgres) S …": Z and X are dead and wait only to be reaped.
	name, state, found := strings.Cut(string(stat), ") ")
	if !found || !strings.HasSuffix(name, "(postgres") || strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X") {
		return false
	}
	works, err := os.Stat(filepath.Join(proc, "cwd"))
	if err != nil {
		return true // root in a container may not look; the name has to do
	}
	ours, err := os.Stat(dir)
	return err == nil && os.SameFile(works, ours)
}
