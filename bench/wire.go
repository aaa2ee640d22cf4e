package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client is one connection of the load generator. It writes a request made once and reads no more of the answer than
// it has to check, so that the load costs little beside what is measured.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// answer is what one call gave.
type answer struct {
	tokens    int64 // input and output, as the answer tells them
	events    int   // of a stream, [DONE] included
	firstByte time.Time

	hit, shared int // 1: the cache gave it, or it was another call's
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}, nil
}

// call sends a request and reads its answer to the end; anything but 200 and a usage figure is an error.
func (c *client) call(request []byte) (a answer, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return a, err
	}
	status, length, err := c.head(&a)
	if err != nil {
		return a, err
	}
	c.body = c.body[:0]
	if length >= 0 {
		a.firstByte = time.Now()
		err = c.take(length)
	} else {
		err = c.chunks(&a)
	}
	if err != nil {
		return a, err
	}
	if status != 200 {
		return a, fmt.Errorf("status %d: %.300s", status, c.body)
	}
	a.events = bytes.Count(c.body, []byte("data: "))
	in, out := number(c.body, `"prompt_tokens":`), number(c.body, `"completion_tokens":`)
	if in < 0 || out < 0 {
		return a, fmt.Errorf("an answer without usage: %.300s", c.body)
	}
	a.tokens = in + out
	return a, nil
}

// head reads status and headers. A length of -1 stands for chunks.
func (c *client) head(a *answer) (status, length int, err error) {
	length = -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < 12 {
				return 0, 0, fmt.Errorf("no status line: %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, 0, fmt.Errorf("no status line: %q", line)
			}
		case len(line) == 0:
			return status, length, nil
		case len(line) > 16 && bytes.EqualFold(line[:16], []byte("Content-Length: ")):
			if length, err = strconv.Atoi(string(line[16:])); err != nil {
				return 0, 0, fmt.Errorf("no length: %q", line)
			}
		case bytes.Equal(line, []byte("X-Fila-Cache: hit")):
			a.hit = 1
		case bytes.Equal(line, []byte("X-Fila-Cache: coalesced")):
			a.shared = 1
		}
	}
}

func (c *client) take(n int) error {
	have := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.body[have:])
	return err
}

func (c *client) chunks(a *answer) error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if a.firstByte.IsZero() {
			a.firstByte = time.Now()
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return errors.New("no chunk size")
		}
		if err := c.take(int(size)); err != nil {
			return err
		}
		if _, err := c.in.Discard(len("\r\n")); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// number reads the number behind the last occurrence of a name, or -1.
func number(body []byte, name string) int64 {
	at := bytes.LastIndex(body, []byte(name))
	if at < 0 {
		return -1
	}
	rest := bytes.TrimLeft(body[at+len(name):], " ")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
