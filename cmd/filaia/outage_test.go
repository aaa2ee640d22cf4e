package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// traffic is callers who call without a pause, whole and streamed. Each answer counts only when it came to its end.
type traffic struct {
	t        *testing.T
	answered atomic.Int64
	tokens   atomic.Int64
	over     atomic.Bool
	callers  sync.WaitGroup
}

func (s *server) startTraffic(key string, callers int) *traffic {
	l := &traffic{t: s.t}
	for n := range callers {
		body := question
		if n%2 == 0 {
			body = strings.Replace(body, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
		}
		l.callers.Go(func() {
			for !l.over.Load() {
				r := s.chat(key, body)
				if r.err != nil || r.status != http.StatusOK || n%2 == 0 && !strings.HasSuffix(r.body, "[DONE]\n\n") {
					l.t.Errorf("a call failed: %d %s %v", r.status, r.body, r.err)
					return
				}
				l.tokens.Add(totalTokens(r.body))
				l.answered.Add(1)
			}
		})
	}
	s.t.Cleanup(l.stop)
	return l
}

// more waits until so many more calls are answered.
func (l *traffic) more(n int64) {
	l.t.Helper()
	goal := l.answered.Load() + n
	eventually(l.t, "calls are answered", func() bool { return l.answered.Load() >= goal || l.t.Failed() })
}

func (l *traffic) stop() {
	l.over.Store(true)
	l.callers.Wait()
}

// settled ends the traffic and compares what was answered, what the provider counted, and what is in the books.
func (l *traffic) settled(s *server, tenant int64, p *openaitest.Server) {
	l.t.Helper()
	l.stop()
	calls := l.answered.Load()
	eventually(l.t, "all calls are committed", func() bool { return s.usage(tenant).Requests >= calls })
	u, stats := s.usage(tenant), p.Stats()
	if u.Requests != calls || u.Failures != 0 || stats.Answered != calls {
		l.t.Errorf("%d calls answered; recorded %d, of these %d failed; the provider answered %d", calls, u.Requests, u.Failures, stats.Answered)
	}
	if u.InputTokens != stats.PromptTokens || u.OutputTokens != stats.CompletionTokens || u.InputTokens+u.OutputTokens != l.tokens.Load() {
		l.t.Errorf("recorded %d + %d tokens, the provider counted %d + %d, the callers %d in all",
			u.InputTokens, u.OutputTokens, stats.PromptTokens, stats.CompletionTokens, l.tokens.Load())
	}
	audit(l.t, s.install)
}

// postmaster is the process of the private PostgreSQL.
func (i *install) postmaster() int {
	i.t.Helper()
	text, err := os.ReadFile(filepath.Join(i.dir, "pg", "postmaster.pid"))
	if err != nil {
		i.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		i.t.Fatal(err)
	}
	return pid
}

func TestPostgreSQLKilledUnderCallsLosesNothing(t *testing.T) {
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	s := newInstall(t, p.URL()).serve()
	tenant, key := s.customer("queda", "--input-tokens", "100000000", "--output-tokens", "100000000", "--overage", "block")
	calls := s.startTraffic(key, 16)
	calls.more(100)
	for round := 1; round <= 2; round++ {
		killed := s.postmaster()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		calls.more(200) // out of the leases
		eventually(t, "PostgreSQL is started again", func() bool {
			return strings.Count(s.output.String(), "started the private PostgreSQL") > round && s.postmaster() != killed
		})
		eventually(t, "the server is ready again", func() bool {
			res, err := http.Get(s.url() + "/readyz")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
		calls.more(200)
	}
	calls.settled(s, tenant, p)
	// The news of changes are heard again, too.
	s.run(nil, "key", "revoke", "1")
	eventually(t, "a revoked key stops", func() bool { return s.chat(key, question).status == http.StatusUnauthorized })
}

func TestPostgreSQLFrozenUnderCallsLosesNothing(t *testing.T) {
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	s := newInstall(t, p.URL()).serve()
	tenant, key := s.customer("pausa", "--input-tokens", "100000000", "--output-tokens", "100000000", "--overage", "block")
	calls := s.startTraffic(key, 16)
	calls.more(100)

	thaw := s.freeze()
	before := p.Stats().Answered
	calls.more(300) // out of the leases
	if r := s.chat("fia_live_0123456789unknown", question); r.status != http.StatusServiceUnavailable ||
		gjson.Get(r.body, "error.code").Str != "server_is_overloaded" {
		t.Errorf("a key that nobody can look up was answered with %d %s %v", r.status, r.body, r.err)
	}
	if p.Stats().Answered == before {
		t.Error("no call reached the provider while PostgreSQL stood still")
	}
	thaw()
	calls.more(100)
	calls.settled(s, tenant, p)
}

// freeze stops every process of the private PostgreSQL, which goes on listening but answers nothing; thaw lets it go on.
func (i *install) freeze() (thaw func()) {
	i.t.Helper()
	db := i.database().DB()
	conn, err := db.Conn(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	var own int
	if err := conn.QueryRowContext(i.t.Context(), `SELECT pg_backend_pid()`).Scan(&own); err != nil {
		i.t.Fatal(err)
	}
	var stopped []int
	signal := func(pid int, s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil && err != syscall.ESRCH {
			i.t.Error(err)
		}
	}
	stop := func(pid int) {
		signal(pid, syscall.SIGSTOP)
		stopped = append(stopped, pid)
	}
	thawed := sync.OnceFunc(func() {
		for _, pid := range stopped {
			signal(pid, syscall.SIGCONT)
		}
	})
	i.t.Cleanup(thawed)
	stop(i.postmaster()) // first: it would make others
	rows, err := conn.QueryContext(i.t.Context(), `SELECT pid FROM pg_stat_activity WHERE pid <> $1`, own)
	if err != nil {
		i.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			i.t.Fatal(err)
		}
		stop(pid)
	}
	if err := rows.Err(); err != nil || len(stopped) < 4 {
		i.t.Fatalf("stopped %v: %v", stopped, err)
	}
	return thawed
}

// TestASecondSignalEndsAServerThatWaitsForPostgreSQL is about what was answered and could not be committed.
func TestASecondSignalEndsAServerThatWaitsForPostgreSQL(t *testing.T) {
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	i := newInstall(t, p.URL())
	s := i.serve()
	tenant, key := s.customer("teimosia", "--input-tokens", "100000000", "--output-tokens", "100000000", "--overage", "block")
	calls := s.startTraffic(key, 16)
	calls.more(100)
	thaw := s.freeze()
	calls.more(200)
	calls.stop()
	eventually(t, "the server ends", func() bool {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
	thaw()
	calls.settled(i.serve(), tenant, p)
}

func TestAStopEndsThoughTheCommandDoesNot(t *testing.T) {
	ctx, signal := context.WithCancel(t.Context())
	restored := 0
	signal()
	err := await(ctx, func() { restored++ }, make(chan error), time.Millisecond)
	if err == nil || restored == 0 || !strings.Contains(err.Error(), "spool") {
		t.Fatalf("signals given back %d times: %v", restored, err)
	}
}

// TestAStopLetsStreamsEnd stops the server while streams are under way.
func TestAStopLetsStreamsEnd(t *testing.T) {
	p := provider(t, openaitest.Options{TokensPerSecond: 20})
	i := newInstall(t, p.URL())
	s := i.serve()
	tenant, key := i.customer("parada", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block")
	const streams = 8
	body := strings.NewReplacer("{\"model", `{"stream":true,"stream_options":{"include_usage":true},"model`, `:7`, `:40`).Replace(question)
	begun, replies := make(chan struct{}, streams), make(chan reply, streams)
	for range streams {
		go func() { replies <- i.chatNoting(key, body, begun) }()
	}
	for range streams {
		<-begun
	}
	s.stop()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	var tokens int64
	for range streams {
		r := <-replies
		if r.err != nil || r.status != http.StatusOK || !strings.HasSuffix(r.body, "[DONE]\n\n") {
			t.Fatalf("a stream was cut: %d %v\n%s", r.status, r.err, r.body)
		}
		tokens += totalTokens(r.body)
	}
	u, stats := i.usage(tenant), p.Stats()
	if u.Requests != streams || u.Failures != 0 || u.InputTokens+u.OutputTokens != tokens || u.OutputTokens != stats.CompletionTokens {
		t.Errorf("%d streams with %d tokens ended; recorded %+v, the provider counted %+v", streams, tokens, u, stats.Totals)
	}
	audit(t, i)
}
