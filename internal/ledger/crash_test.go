package ledger

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// fileSink stands for a database that outlives the process: one line for each event, one write for each batch.
type fileSink struct{ f *os.File }

func (s fileSink) CommitUsage(_ context.Context, events []usage.Event) error {
	var b bytes.Buffer
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %d\n", e.ID, e.Status, e.Tokens.Input)
	}
	_, err := s.f.Write(b.Bytes())
	return err
}

// crashingChild makes calls without end and says on standard output what was acknowledged.
func crashingChild(dir string) {
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "committed"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	fatal(err)
	_, err = f.WriteString("\n") // behind a line that was cut
	fatal(err)
	l, err := Open(filepath.Join(dir, "spool"), Options{Sink: fileSink{f}, SegmentBytes: 64 << 10, BatchSize: 100})
	fatal(err)
	_, err = l.Recover(context.Background())
	fatal(err)
	for worker := range 16 {
		go func() {
			for i := 0; ; i++ {
				e := call(i)
				fatal(l.Begin(opening(e)))
				fmt.Printf("b %s\n", e.ID)
				if worker == 0 && i%10 == 0 {
					continue // never finished
				}
				fatal(l.Finish(e))
				fmt.Printf("f %s %d\n", e.ID, i)
			}
		}()
	}
	fatal(l.Run(context.Background()))
}

func TestKillLosesNothingAndCountsNothingTwice(t *testing.T) {
	dir := t.TempDir()
	begun, finished := make(map[string]bool), make(map[string]string)
	for range 5 {
		runAndKill(t, dir, 5_000, begun, finished)
	}

	sink := &table{}
	before := readCommitted(t, filepath.Join(dir, "committed"))
	_, report := recovered(t, filepath.Join(dir, "spool"), Options{Sink: sink})
	for _, e := range sink.all() {
		if _, known := before[e.ID.String()]; !known {
			before[e.ID.String()] = fmt.Sprintf("%s %d", e.Status, e.Tokens.Input)
		}
	}
	for id, tokens := range finished {
		if before[id] != "ok "+tokens {
			t.Fatalf("call %s was acknowledged with %s tokens and stands as %q", id, tokens, before[id])
		}
	}
	cut := 0
	for id := range begun {
		if _, done := finished[id]; done {
			continue
		}
		switch got := before[id]; {
		case got == "interrupted 0":
			cut++
		case !strings.HasPrefix(got, "ok "): // finished, killed before it could say so
			t.Fatalf("call %s was begun and stands as %q", id, got)
		}
	}
	if cut == 0 || report.Interrupted == 0 || len(finished) < 10_000 {
		t.Fatalf("%d finished and %d interrupted calls prove little; last report %+v", len(finished), cut, report)
	}
}

// runAndKill starts the child, kills it after so many lines and notes what it had acknowledged.
func runAndKill(t *testing.T, dir string, lines int, begun map[string]bool, finished map[string]string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "LEDGER_TEST_CHILD=crash", "LEDGER_TEST_DIR="+dir)
	var complaints bytes.Buffer
	child.Stderr = &complaints
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	said := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := said.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a line that was cut was not said
		}
		must(t, err)
		if n == lines {
			must(t, child.Process.Kill())
		}
		switch f := strings.Fields(line); f[0] {
		case "b":
			begun[f[1]] = true
		case "f":
			finished[f[1]] = f[2]
		}
	}
	if err := child.Wait(); child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v\n%s", err, complaints.String())
	}
}

// readCommitted gives the first line of each id.
func readCommitted(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	rows := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := uuid.Parse(id); err != nil || !strings.HasSuffix(line, "\n") {
			continue // a batch that was cut is a transaction that was not committed, and comes again
		}
		if _, known := rows[id]; !known {
			rows[id] = rest
		}
	}
	return rows
}
