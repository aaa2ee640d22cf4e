//go:build linux || darwin

package upstream

import "syscall"

// alive tells whether a silent connection is open, and takes nothing from it.
func alive(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN
}
