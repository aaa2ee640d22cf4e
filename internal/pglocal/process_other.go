//go:build !linux

package pglocal

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// passFolder leaves the folder's path as it is: the account must be able to walk down to it.
func passFolder(*exec.Cmd, *string) (closeFolder func(), err error) { return func() {}, nil }

// serves tells whether a process is a PostgreSQL server: after a crash its number may be another's.
func serves(pid int, _ string) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	out, err := exec.Command("ps", "-p", strconv.Itoa(pid), "-o", "stat=", "-o", "comm=").Output()
	state := strings.TrimSpace(string(out))
	return err == nil && !strings.HasPrefix(state, "Z") && strings.Contains(state, "postgres")
}
