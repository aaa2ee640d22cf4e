package pglocal

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// tcpSocketsOf counts the sockets of a process and its children that the kernel lists as TCP.
func tcpSocketsOf(t *testing.T, pid int) (count int) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	links, err := filepath.Glob(filepath.Join(proc, "fd", "*"))
	if err != nil || len(links) == 0 {
		t.Fatalf("files of process %d: %v", pid, err)
	}
	var listed strings.Builder
	for _, name := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, "net", name))
		if err != nil && name == "tcp" {
			t.Fatal(err)
		}
		listed.Write(text)
	}
	for _, link := range links {
		target, _ := os.Readlink(link)
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && strings.Contains(listed.String(), " "+strings.TrimSuffix(inode, "]")+" ") {
			count++
		}
	}
	return count
}
