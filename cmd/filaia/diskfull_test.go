package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

const (
	smallDiskOf   = "FILAIA_TEST_SMALL_DISK" // where the disk is mounted already
	smallDiskSize = 320 << 20                // the private PostgreSQL has room, for some hundred calls
)

// onSmallDisk runs a test with an empty file system of its own: a tmpfs, mounted where we may. Others than root get one
// in a namespace of theirs, where the test runs as a process of its own, under their own name again.
func onSmallDisk(t *testing.T, body func(t *testing.T, disk string)) {
	if disk := os.Getenv(smallDiskOf); disk != "" {
		body(t, disk)
		return
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("size=%d,mode=0755", smallDiskSize)
	err := syscall.Mount("filaia-test", disk, "tmpfs", 0, options)
	switch {
	case err == nil:
		t.Cleanup(func() {
			if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		body(t, disk)
	case errors.Is(err, syscall.EPERM):
		inNamespace(t, disk, options)
	default:
		t.Fatal(err)
	}
}

func inNamespace(t *testing.T, disk, options string) {
	t.Helper()
	const script = `mount -t tmpfs -o "$2" filaia-test "$1" && exec unshare --user --map-user="$3" --map-group="$4" -- "$5" -test.v -test.run "^$6\$"`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script,
		"sh", disk, options, fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid()), os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), smallDiskOf+"="+disk)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a namespace of our own, which needs the right to make one: %v\n%s", err, tail(string(out), 8000))
	}
	t.Logf("in a namespace of our own:\n%s", tail(string(out), 2000))
}

// fill takes what is left of a disk. It goes on taking what others free until room is made.
func fill(t *testing.T, disk string) (makeRoom func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	take := func() {
		for size := 1 << 20; size >= 4096; {
			if _, err := f.Write(make([]byte, size)); err != nil {
				size /= 2
			}
		}
	}
	take()
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
				take()
			}
		}
	}()
	makeRoom = sync.OnceFunc(func() {
		close(over)
		<-ended
		if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(makeRoom)
	return makeRoom
}

// wordy is a provider whose ids are long, so that the spool soon needs a further file.
type wordy struct {
	asked atomic.Int64
	*httptest.Server
}

func newWordy(t *testing.T) *wordy {
	w := &wordy{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := w.asked.Add(1)
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("X-Request-Id", fmt.Sprintf("req_%03000d", n))
		fmt.Fprintf(rw, `{"id":"chatcmpl-%d","object":"chat.completion","created":1,"model":"gpt-4.1-nano","choices":[{"index":0,`+
			`"message":{"role":"assistant","content":"Oito."},"finish_reason":"stop"}],"usage":{"prompt_tokens":16,"completion_tokens":7,"total_tokens":23}}`, n)
	}))
	t.Cleanup(w.Close)
	return w
}

// callersOfAFullDisk call without a pause. Each call is answered, or refused as OpenAI refuses when it is overloaded.
type callersOfAFullDisk struct {
	mu                sync.Mutex
	answered, refused map[string]bool // by request id
	hits, hitsRefused int             // those that ask what the cache knows
	over              atomic.Bool
	callers           sync.WaitGroup
}

func (s *server) callAll(key, known string) *callersOfAFullDisk {
	c := &callersOfAFullDisk{answered: map[string]bool{}, refused: map[string]bool{}}
	var n atomic.Int64
	for worker := range 16 {
		c.callers.Go(func() {
			for !c.over.Load() {
				if worker == 0 {
					c.note(s.t, s.chat(key, known), true)
					continue
				}
				c.note(s.t, s.chat(key, chatOf(fmt.Sprint("Quantos pães cabem no forno ", n.Add(1), "?"))), false)
			}
		})
	}
	s.t.Cleanup(c.stop)
	return c
}

func (c *callersOfAFullDisk) stop() {
	c.over.Store(true)
	c.callers.Wait()
}

func (c *callersOfAFullDisk) note(t *testing.T, r reply, known bool) {
	id := r.header.Get("X-Request-Id")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.err == nil && r.status == http.StatusOK:
		c.answered[id] = true
		if r.header.Get("X-Fila-Cache") == "hit" {
			c.hits++
		}
	case r.err == nil && r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "1" &&
		gjson.Get(r.body, "error.type").Str == "service_unavailable_error" && gjson.Get(r.body, "error.code").Str == "server_is_overloaded":
		c.refused[id] = true
		if known {
			c.hitsRefused++
		}
	default:
		t.Errorf("a call was neither answered nor refused: %d %v %s %v", r.status, r.header, r.body, r.err)
	}
}

func (c *callersOfAFullDisk) counts() (answered, refused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answered), len(c.refused)
}

// more waits until so many more calls are answered, and refused.
func (c *callersOfAFullDisk) more(t *testing.T, answered, refused int) {
	t.Helper()
	a, r := c.counts()
	within(t, 2*time.Minute, "calls are answered or refused", func() bool {
		nowA, nowR := c.counts()
		return nowA >= a+answered && nowR >= r+refused || t.Failed()
	})
}

// recorded compares what was answered with the books: nothing is missing, nothing twice, and what was refused is not there.
func (c *callersOfAFullDisk) recorded(t *testing.T, s *server, p *wordy) {
	t.Helper()
	c.stop()
	db := s.database().DB()
	var all int
	var text string
	eventually(t, "the spool is committed", func() bool {
		err := db.QueryRow(`SELECT count(*), coalesce(string_agg(request_id, ' ') FILTER (WHERE status = 'ok'
			AND input_tokens + output_tokens IN (0, 23)), '') FROM usage_events`).Scan(&all, &text)
		return err == nil && all >= len(c.answered)
	})
	ids := strings.Fields(text)
	if all != len(c.answered) || len(ids) != all {
		t.Errorf("%d calls were answered; %d are recorded, of these %d soundly", len(c.answered), all, len(ids))
	}
	for _, id := range ids {
		if !c.answered[id] {
			t.Fatalf("call %s is recorded and was not answered; refused %v", id, c.refused[id])
		}
		delete(c.answered, id) // and found again if it is there twice
	}
	if asked := int(p.asked.Load()); asked != all-c.hits {
		t.Errorf("the provider was asked %d times for %d calls", asked, all-c.hits)
	}
	t.Logf("%d calls recorded, %d of them answered from the cache; %d refused, %d of them known to the cache", all, c.hits, len(c.refused), c.hitsRefused)
	audit(t, s.install)
}

func TestAFullDiskUnderTheSpoolRefusesCallsBeforeTheyAreMade(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, disk string) {
		p := newWordy(t)
		i := newInstall(t, p.URL)
		if err := os.Symlink(disk, filepath.Join(i.dir, "spool")); err != nil {
			t.Fatal(err)
		}
		s := i.serve()
		_, key := s.customer("cheio", "--input-tokens", "100000000", "--output-tokens", "100000000", "--overage", "block", "--cache", "exact")
		known := chatOf("Quantos pães cabem no forno?")
		calls := s.callAll(key, known)
		calls.more(t, 200, 0)
		makeRoom := fill(t, disk)
		calls.more(t, 100, 0) // into the room that is reserved
		calls.more(t, 0, 100)
		within(t, time.Minute, "answers of the cache are refused, too", func() bool {
			calls.mu.Lock()
			defer calls.mu.Unlock()
			return calls.hitsRefused > 0 || t.Failed()
		})
		asked := p.asked.Load()
		calls.more(t, 0, 200)
		if late := p.asked.Load() - asked; late > 16 {
			t.Errorf("with a full disk the provider was asked %d times", late)
		}
		makeRoom()
		calls.more(t, 300, 0)
		calls.recorded(t, s, p)
	})
}

func TestAFullDiskUnderSpoolAndPostgreSQLLosesNothing(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, disk string) {
		p := newWordy(t)
		i := newInstall(t, p.URL)
		i.dir = filepath.Join(disk, "data")
		i.env[0] = "FILAIA_DATA_DIR=" + i.dir
		if err := os.Mkdir(i.dir, 0o711); err != nil {
			t.Fatal(err)
		}
		s := i.serve()
		_, key := s.customer("lotado", "--input-tokens", "100000000", "--output-tokens", "100000000", "--overage", "block", "--cache", "exact")
		calls := s.callAll(key, chatOf("Quantos pães cabem no forno?"))
		calls.more(t, 200, 0)
		makeRoom := fill(t, disk)
		calls.more(t, 0, 300)
		makeRoom()
		calls.more(t, 300, 0)
		calls.recorded(t, s, p)
	})
}

// giveRoomBack writes the files of a spool again without the room that is reserved behind their records: else the next
// start finds its room where it lets go the last one's, if it is quicker than what fills the disk.
func giveRoomBack(t *testing.T, spool string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(spool, "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in the spool: %v", len(files), err)
	}
	for _, path := range files {
		records, err := os.ReadFile(path)
		if err = errors.Join(err, os.Remove(path)); err == nil {
			err = os.WriteFile(path, records, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStartOnAFullDiskSaysSoAndLosesNothing(t *testing.T) {
	onSmallDisk(t, func(t *testing.T, disk string) {
		p := newWordy(t)
		i := newInstall(t, p.URL)
		if err := os.Symlink(disk, filepath.Join(i.dir, "spool")); err != nil {
			t.Fatal(err)
		}
		s := i.serve()
		tenant, key := s.customer("partida", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
		for range 20 {
			measure(t, s, key, question)
		}
		s.kill()
		giveRoomBack(t, disk)
		makeRoom := fill(t, disk)
		if err := os.WriteFile(filepath.Join(disk, "more"), make([]byte, 24<<20), 0o600); err == nil {
			t.Fatal("the disk is not full")
		}
		_, said, err := i.try("", "serve")
		lines := strings.Split(strings.TrimSpace(said), "\n") // behind those of the log
		if last := lines[len(lines)-1]; err == nil || !strings.HasPrefix(last, "filaia: recover the spool: ") || !strings.HasSuffix(last, "no space left on device") {
			t.Errorf("a start on a full disk ended with %v:\n%s", err, said)
		}
		makeRoom()
		if err := os.Remove(filepath.Join(disk, "more")); err != nil {
			t.Fatal(err)
		}
		i.serve()
		if u := i.usage(tenant); u.Requests != 20 || u.Failures != 0 || u.InputTokens+u.OutputTokens != 20*23 {
			t.Errorf("%+v", u)
		}
		audit(t, i)
	})
}
