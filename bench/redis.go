package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// redisServer is a Redis (or Valkey) of the benchmark's own, on loopback and without persistence.
type redisServer struct {
	address string
	cmd     *exec.Cmd
}

var errNoRedis = errors.New("neither redis-server nor valkey-server is installed")

// startRedis starts one; the caller must stop it.
func startRedis(ctx context.Context, dir string) (*redisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if program, err = exec.LookPath("valkey-server"); err != nil {
			return nil, errNoRedis
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(address)
	s := &redisServer{address: address, cmd: exec.Command(program, "--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "no")}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = s.commands(); err == nil {
			return s, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			s.stop()
			return nil, fmt.Errorf("start Redis: %w", err)
		}
	}
}

func (s *redisServer) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// commands counts what was asked of Redis since its start, by command.
func (s *redisServer) commands() (map[string]int64, error) {
	conn, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "INFO commandstats\r\n"); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	size, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.Trim(size, "$\r\n"))
	if err != nil {
		return nil, fmt.Errorf("INFO commandstats: %q", size)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, err
	}
	return commandCalls(string(text)), nil
}

// commandCalls reads lines such as "cmdstat_get:calls=3,usec=21,…".
func commandCalls(info string) map[string]int64 {
	calls := map[string]int64{}
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		count, _, _ := strings.Cut(rest, ",")
		calls[name], _ = strconv.ParseInt(count, 10, 64)
	}
	return calls
}

// redis measures a gateway whose rate limits are in Redis, for all replicas: what that costs, and how often it asks.
func (b *bench) redis(ctx context.Context) (err error) {
	server, err := startRedis(ctx, b.dir)
	if errors.Is(err, errNoRedis) {
		b.report.Notes = append(b.report.Notes, err.Error()+": its figures are left out.")
		return nil
	}
	if err != nil {
		return err
	}
	defer server.stop()
	p, err := startProduct(ctx, start{
		dir: filepath.Join(b.dir, "redis"), binary: b.binary, provider: b.provider.address, operatorKey: "operator-redis", variables: []string{"REDIS_URL=redis://" + server.address},
	})
	if p != nil {
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	if err != nil {
		return err
	}
	c, err := p.sell(ctx, "redis", "off", limited)
	if err != nil {
		return err
	}
	with := p.side("with Redis", c)
	if _, err := with.measure(ctx, loadSpec{Connections: b.size.connections, Calls: b.size.warmup}); err != nil {
		return err
	}
	var calls, asked int64
	var both pair
	for range b.size.redisRounds {
		before, err := server.commands()
		if err != nil {
			return err
		}
		answered := p.answered.Calls
		all, err := b.rounds(ctx, 1, loadSpec{Connections: b.size.connections, Calls: b.size.calls}, b.proxy, with)
		if err != nil {
			return err
		}
		after, err := server.commands()
		if err != nil {
			return err
		}
		calls += p.answered.Calls - answered
		asked += after["evalsha"] - before["evalsha"]
		both = pair{append(both.proxy, all[0]...), append(both.gateway, all[1]...)}
	}
	b.report.ratio("CPU per call at full speed, limits in Redis", "ms", both, ownCPU)
	b.report.plain("questions to Redis a call", "", 0, float64(asked)/float64(calls)).atMost(1.05)
	return b.balance(ctx, p)
}
