package redistest

import (
	"net"
	"strings"
	"testing"
)

func TestStartGivesAnEmptyServerWithoutPersistence(t *testing.T) {
	s := Start(t)
	if got := s.ask("DBSIZE"); got != ":0" {
		t.Fatalf("DBSIZE: %q", got)
	}
	if got := s.ask("INFO persistence"); !strings.Contains(got, "aof_enabled:0") {
		t.Fatalf("INFO: %q", got)
	}
	if want := "redis://" + s.Addr() + "/0"; s.URL() != want {
		t.Fatalf("URL %q, want %q", s.URL(), want)
	}
}

func TestStopRefusesAndRestartIsEmptyOnTheSamePort(t *testing.T) {
	s := Start(t)
	addr := s.Addr()
	s.ask("SET a 1")
	s.Stop()
	s.Stop()
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Fatal("a stopped server accepts")
	}
	s.Restart()
	if got := s.ask("EXISTS a"); s.Addr() != addr || got != ":0" {
		t.Fatalf("%s instead of %s, EXISTS: %q", s.Addr(), addr, got)
	}
}

func TestStallSaysNothingUntilResume(t *testing.T) {
	s := Start(t)
	s.Stall()
	if got := s.ask("PING"); got != "" {
		t.Fatalf("a stalled server said %q", got)
	}
	s.Resume()
	s.await("PONG", func() bool { return s.ask("PING") == "+PONG" })
}

func TestClusterRefusesKeysOfDifferentSlots(t *testing.T) {
	s := StartCluster(t)
	if got := s.ask("MSET {a}1 x {a}2 y"); got != "+OK" {
		t.Fatalf("one slot: %q", got)
	}
	if got := s.ask("MSET a x b y"); !strings.HasPrefix(got, "-CROSSSLOT") {
		t.Fatalf("two slots: %q", got)
	}
}
