//go:build !linux

package pglocal

import "testing"

// tcpSocketsOf cannot be told here; the server's own setting is what the test has.
func tcpSocketsOf(*testing.T, int) int { return 0 }
