package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

// stat is the part of /proc/PID/stat that counts here.
type stat struct {
	parent   int
	own      time.Duration // user and system
	children time.Duration // the same of children that have ended
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold anything; what follows it is the third field.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 15 {
		return stat{}, fmt.Errorf("read the CPU time of process %d: %q", pid, text)
	}
	field := func(n int) time.Duration {
		ticks, _ := strconv.ParseInt(f[n-3], 10, 64) // numbered as in proc(5)
		return time.Duration(ticks) * tick
	}
	parent, _ := strconv.Atoi(f[4-3])
	return stat{parent: parent, own: field(14) + field(15), children: field(16) + field(17)}, nil
}

// cpu is the CPU time of one process.
func cpu(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	return s.own, err
}

// familyCPU is the CPU time of a process and its children, the ended ones too.
func familyCPU(pid int) (time.Duration, error) {
	parent, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	sum := parent.own + parent.children
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range all {
		child, _ := strconv.Atoi(filepath.Base(dir))
		if s, err := readStat(child); err == nil && s.parent == pid { // others may end meanwhile
			sum += s.own + s.children
		}
	}
	return sum, nil
}

// memory gives the resident memory of a process in MB, now and at its peak.
func memory(pid int) (now, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	kB := func(name string) float64 {
		_, rest, _ := strings.Cut(string(text), "\n"+name+":")
		f := strings.Fields(rest)
		if len(f) == 0 {
			return 0
		}
		n, _ := strconv.ParseFloat(f[0], 64)
		return n
	}
	return kB("VmRSS") / 1024, kB("VmHWM") / 1024, nil
}
