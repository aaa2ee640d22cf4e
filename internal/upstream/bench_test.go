//go:build unix

package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/gateway"
)

// The benchmarks' provider is a process of its own, so that its CPU and memory are not counted.
const (
	providerRole = "FILAIA_BENCH_PROVIDER"
	benchPieces  = 50
	benchPiece   = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" pão"},"finish_reason":null}],"usage":null}` + "\n\n"
)

func TestMain(m *testing.M) {
	if os.Getenv(providerRole) == "" {
		os.Exit(m.Run())
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/whole" {
			_, _ = io.WriteString(w, strings.Repeat(benchPiece, 5))
			return
		}
		for range benchPieces {
			_, _ = io.WriteString(w, benchPiece)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	plain, secure, second := httptest.NewServer(h), httptest.NewTLSServer(h), httptest.NewUnstartedServer(h)
	second.EnableHTTP2 = true
	second.StartTLS()
	fmt.Println(plain.URL, secure.URL, second.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// overEach runs a benchmark against the provider over plain HTTP, TLS and HTTP/2.
func overEach(b *testing.B, bench func(b *testing.B, c *Client)) {
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), providerRole+"=1")
	in, err := p.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { in.Close(); _ = p.Wait() }()
	lines := bufio.NewReader(out)
	for _, name := range []string{"plain", "TLS", "HTTP2"} {
		var url string
		if _, err := fmt.Fscan(lines, &url); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			c, err := New(Options{BaseURL: url, APIKey: "sk-operator"})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if c.dialer.whole != nil {
				c.dialer.whole.InsecureSkipVerify, c.dialer.stream.InsecureSkipVerify = true, true
			}
			bench(b, c)
		})
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func inUse() float64 {
	runtime.GC()
	runtime.GC() // the first one ages what pools keep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// BenchmarkStreams opens 200 streams at once, each of 50 pieces, one every 20 ms. Its open-B/stream is heap and stacks
// while all are open, the reading goroutine among them.
func BenchmarkStreams(b *testing.B) {
	const together = 200
	overEach(b, func(b *testing.B, c *Client) {
		before := inUse()
		var open float64
		streamAll(b, c, together, func() { open = inUse() - before })
		began := cpuTime()
		for range b.N {
			streamAll(b, c, together, func() {})
		}
		b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N*together), "cpu-µs/stream")
		b.ReportMetric(open/together, "open-B/stream")
		b.ReportMetric(0, "ns/op")
	})
}

// streamAll reads so many streams at once, and calls open when each has given something.
func streamAll(b *testing.B, c *Client, together int, open func()) {
	m := post(`{"stream":true,"x":"` + strings.Repeat("x", 500) + `"}`)
	var all, some sync.WaitGroup
	some.Add(together)
	for range together {
		all.Go(func() {
			s, err := c.Stream(context.Background(), m)
			if err != nil {
				b.Error(err)
				some.Done()
				return
			}
			defer s.Close()
			p := make([]byte, 512)
			_, err = io.ReadAtLeast(s, p, 1)
			some.Done()
			for err == nil {
				_, err = s.Read(p)
			}
			if err != io.EOF {
				b.Error(err)
			}
		})
	}
	some.Wait()
	open()
	all.Wait()
}

// BenchmarkSend sends whole calls, one after the other.
func BenchmarkSend(b *testing.B) {
	overEach(b, func(b *testing.B, c *Client) {
		m := &gateway.Message{Path: "/whole", Body: []byte(`{"x":"` + strings.Repeat("x", 500) + `"}`)}
		b.ReportAllocs()
		began := cpuTime()
		for range b.N {
			a, err := c.Send(context.Background(), m)
			if err != nil {
				b.Fatal(err)
			}
			a.Release()
		}
		b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
	})
}
