package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// dial opens a connection that ends with the test.
func (i *install) dial() net.Conn {
	i.t.Helper()
	conn, err := net.Dial("tcp", i.address)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { conn.Close() })
	return conn
}

// head is that of a call; length "" sends chunks.
func head(path, key, length string) string {
	h := "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	if key != "" {
		h += "Authorization: Bearer " + key + "\r\n"
	}
	if length == "" {
		return h + "Transfer-Encoding: chunked\r\n\r\n"
	}
	return h + "Content-Length: " + length + "\r\n\r\n"
}

// answered reads an answer's status and body.
func answered(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

var calledPaths = []string{"/chat/completions", "/completions", "/responses", "/embeddings", "/moderations", "/images/generations", "/images/edits",
	"/images/variations", "/audio/transcriptions", "/audio/translations", "/audio/speech", "/responses/resp_x/cancel", "/nothing"}

func TestHeadsAndBodiesBeyondTheirLimitsAreRefusedEverywhere(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	_, key := s.customer("largo", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	tooMuch, stranger := strconv.Itoa(bodyLimit+1), strconv.Itoa(64<<10+1)
	for _, path := range calledPaths {
		conn := s.dial()
		fmt.Fprint(conn, head("/v1"+path, key, tooMuch))
		if status, body := answered(t, conn); status != 413 || gjson.Get(body, "error.code").Str != "request_too_large" || !strings.Contains(body, "32 MiB") {
			t.Errorf("%s: %d %s", path, status, body)
		}
		for _, wrong := range []string{"", "fia_live_wrong"} { // a stranger's body is not read
			conn := s.dial()
			fmt.Fprint(conn, head("/v1"+path, wrong, stranger))
			if status, body := answered(t, conn); status != 401 || gjson.Get(body, "error.code").Str != "invalid_api_key" {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		conn = s.dial()
		fmt.Fprint(conn, strings.TrimSuffix(head("/v1"+path, key, "2"), "\r\n")+"X-Long: "+strings.Repeat("x", 17<<10)+"\r\n\r\n{}")
		if status, body := answered(t, conn); status != 431 || gjson.Get(body, "error.type").Str != "invalid_request_error" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	// In chunks nobody says beforehand how much will come.
	conn := s.dial()
	fmt.Fprint(conn, head("/v1/chat/completions", key, ""))
	go func() {
		chunk := append([]byte("100000\r\n"), append(bytes.Repeat([]byte(" "), 1<<20), "\r\n"...)...)
		for range 40 {
			if _, err := conn.Write(chunk); err != nil {
				return
			}
		}
	}()
	if status, body := answered(t, conn); status != 413 || gjson.Get(body, "error.code").Str != "request_too_large" {
		t.Errorf("%d %s", status, body)
	}
	if n := p.Stats().Requests; n != 0 {
		t.Errorf("%d calls reached the provider", n)
	}
	if r := s.chat(key, question); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// drip sends text a byte at a time until it is sent, the connection ends or stop does.
func drip(conn net.Conn, text string, pause time.Duration, stop <-chan struct{}) {
	for n := range len(text) {
		if _, err := io.WriteString(conn, text[n:n+1]); err != nil {
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

func TestACallThatComesByteByByteIsAnswered(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	_, key := s.customer("devagar", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	conn := s.dial()
	go drip(conn, head("/v1/chat/completions", key, strconv.Itoa(len(question)))+question, 5*time.Millisecond, nil)
	if status, body := answered(t, conn); status != 200 || gjson.Get(body, "usage.completion_tokens").Int() == 0 {
		t.Errorf("%d %s", status, body)
	}
}

// memory is what the server takes of the machine's, in MB.
func (s *server) memory() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				s.t.Fatal(err)
			}
			return kb >> 10
		}
	}
	s.t.Fatal("the kernel does not say")
	return 0
}

// TestSlowAndHostileClientsHarmNobody has 200 of them while others call.
func TestSlowAndHostileClientsHarmNobody(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	tenant, evil := s.customer("hostil", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	_, good := s.customer("bom", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	before := s.memory()

	const each = 40
	p.Next(slices.Repeat([]openaitest.Behaviour{{Text: strings.Repeat("pão ", 4000)}}, each)...)
	stop, whole := make(chan struct{}), strconv.Itoa(bodyLimit)
	var dripping sync.WaitGroup
	for range each {
		for _, call := range []struct{ at, slowly string }{
			{"", head("/v1/chat/completions", evil, "9") + strings.Repeat("X-Never: ends\r\n", 1000)},             // a head that does not end
			{head("/v1/chat/completions", evil, whole) + strings.Repeat(" ", 200<<10), strings.Repeat(" ", 1000)}, // a body that does not end
			{head("/v1/images/edits", evil, ""), strings.Repeat("1\r\n \r\n", 1000)},                              // nor does one in chunks
			{head("/v1/chat/completions", "fia_live_unknown", whole), strings.Repeat("x", 1000)},                  // of a stranger
		} {
			conn := s.dial()
			if _, err := io.WriteString(conn, call.at); err != nil {
				t.Fatal(err)
			}
			dripping.Go(func() { drip(conn, call.slowly, 200*time.Millisecond, stop) })
		}
		conn := s.dial() // a stream that is read a byte at a time
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		body := `{"model":"gpt-4.1-nano","stream":true,"max_tokens":9000,"messages":[{"role":"user","content":"Pão?"}]}`
		fmt.Fprint(conn, head("/v1/chat/completions", evil, strconv.Itoa(len(body)))+body)
		dripping.Go(func() {
			for one := make([]byte, 1); ; {
				if _, err := conn.Read(one); err != nil {
					return
				}
				select {
				case <-stop:
					conn.Close()
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	eventually(t, "every stream has begun", func() bool { return p.Stats().Requests >= each })

	most := 0
	for range 20 {
		var calls sync.WaitGroup
		for n := range 10 {
			calls.Go(func() {
				body := question
				if n%2 == 0 {
					body = strings.Replace(body, "{", `{"stream":true,`, 1)
				}
				if r := s.chat(good, body); r.err != nil || r.status != http.StatusOK {
					t.Errorf("a good call: %d %s %v", r.status, r.body, r.err)
				}
			})
		}
		calls.Wait()
		most = max(most, s.memory())
	}
	t.Logf("%d MB before, at most %d MB with %d slow clients", before, most, 5*each)
	// A server that takes what they announce is above a gigabyte. The race detector takes several times what is used, and more on
	// a machine that is behind: some for each goroutine that there was.
	if most > before+750 {
		t.Errorf("%d MB before, %d MB with %d slow clients", before, most, 5*each)
	}
	close(stop)
	dripping.Wait()
	eventually(t, "what the streams held is free", func() bool { // all of it, but for what they used
		body := fmt.Sprintf(`{"model":"gpt-4.1-nano","max_tokens":%d,"messages":[{"role":"user","content":"Pão?"}]}`, 1_000_000-s.usage(tenant).OutputTokens)
		r := s.chat(evil, body)
		return r.err == nil && r.status == http.StatusOK
	})
}
