package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/ledger"
	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestTheSpoolIsSyncedAsTheEnvironmentSays(t *testing.T) {
	for given, want := range map[config.SyncPolicy]ledger.Sync{
		config.SyncOS: ledger.SyncOS, config.SyncInterval: ledger.SyncInterval, config.SyncAlways: ledger.SyncAlways,
	} {
		if got := syncOf(given); got != want {
			t.Errorf("policy %d is %d, want %d", given, got, want)
		}
	}
}

// segments are the spool's files that hold something, the newest last.
func (i *install) segments() (paths []string) {
	i.t.Helper()
	all, err := filepath.Glob(filepath.Join(i.dir, "spool", "*.log"))
	if err != nil {
		i.t.Fatal(err)
	}
	for _, path := range all {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestASpoolCutInTheMiddleOfARecordLosesThatOneAlone kills the server while PostgreSQL stands still, so that what was
// answered is in the spool alone, takes some bytes off the spool's end, as a power cut may, and starts again.
func TestASpoolCutInTheMiddleOfARecordLosesThatOneAlone(t *testing.T) {
	for _, policy := range []string{"os", "interval", "always"} {
		t.Run(policy, func(t *testing.T) {
			p := provider(t, openaitest.Options{})
			i := newInstall(t, p.URL())
			i.env = append(i.env, "FILAIA_SPOOL_SYNC="+policy)
			s := i.serve()
			tenant, key := s.customer("corte", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
			const before, calls = 100, 40
			for range before { // takes leases; meanwhile the news of the key come
				measure(t, s, key, question)
			}
			eventually(t, "these are committed", func() bool { return i.usage(tenant).Requests == before })
			thaw := s.freeze()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range calls / 8 {
						if r := s.chat(key, question); r.status != http.StatusOK {
							t.Errorf("%d %s %v", r.status, r.body, r.err)
						}
					}
				})
			}
			wg.Wait()
			s.kill()
			thaw()
			client.CloseIdleConnections()

			files := i.segments()
			if len(files) != 1 {
				t.Fatalf("the spool has %v", files)
			}
			info, err := os.Stat(files[0])
			if err != nil {
				t.Fatal(err)
			}
			const cut = 11
			if err := os.Truncate(files[0], info.Size()-cut); err != nil {
				t.Fatal(err)
			}
			s = i.serve()
			out := s.output.String()
			for _, words := range []string{"the ledger's end was cut", "spool recovered", "interrupted=1", "skipped_bytes=0"} {
				if !strings.Contains(out, words) {
					t.Errorf("nobody says %q:\n%s", words, tail(out, 2000))
				}
			}
			if _, after, found := strings.Cut(out, "cut_bytes="); !found {
				t.Error("nobody says how much was cut")
			} else if n, err := strconv.Atoi(strings.Fields(after)[0]); err != nil || n < 20 || n > 2000 {
				t.Errorf("%d bytes are told to have been cut: %v", n, err)
			}
			// The last call's end is what was cut: it is interrupted. All others are there, each once.
			u := i.usage(tenant)
			if u.Requests != before+calls || u.Failures != 1 || u.InputTokens != 16*(before+calls-1) || u.OutputTokens != 7*(before+calls-1) {
				t.Errorf("%+v", u)
			}
			if len(i.segments()) != 0 {
				t.Errorf("what was recovered stays: %v", i.segments())
			}
			audit(t, i)
			s.kill()
			i.serve() // once more: nothing is doubled
			if again := i.usage(tenant); again != u {
				t.Errorf("%+v, after another start %+v", u, again)
			}
		})
	}
}

// TestASpoolReplayedTwiceCountsOnce brings back the spool that was recovered already.
func TestASpoolReplayedTwiceCountsOnce(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	s := i.serve()
	tenant, key := s.customer("dobro", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	for range 20 {
		measure(t, s, key, question)
	}
	eventually(t, "all is committed", func() bool { return i.usage(tenant).Requests == 20 })
	s.kill()
	copies := map[string][]byte{}
	for _, path := range i.segments() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copies[path] = b
	}
	if len(copies) == 0 {
		t.Fatal("nothing was left to replay")
	}
	for range 2 {
		s = i.serve()
		if !strings.Contains(s.output.String(), "replayed=20") {
			t.Errorf("not replayed:\n%s", tail(s.output.String(), 2000))
		}
		if u := i.usage(tenant); u.Requests != 20 || u.InputTokens != 16*20 || u.OutputTokens != 7*20 {
			t.Errorf("%+v", u)
		}
		audit(t, i)
		s.kill()
		for path, b := range copies {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestASecondServerOnOneDataFolderIsRefused(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	s := i.serve()
	tenant, key := s.customer("dois", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	second := *i
	second.env = append(append([]string{}, i.env...), "FILAIA_LISTEN="+freeAddress(t))
	began := time.Now()
	second.refuses("", []string{"FILAIA_DATA_DIR", filepath.Join(i.dir, "spool"), "in use by another process", "folder of its own"}, "serve")
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s to say so", took)
	}
	measure(t, s, key, question) // the first goes on
	eventually(t, "and records", func() bool { return i.usage(tenant).Requests == 1 })
	if strings.Contains(fmt.Sprint(s.output), "spool recovered") {
		t.Error("the first server was disturbed")
	}
}
