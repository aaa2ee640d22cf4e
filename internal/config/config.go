// Package config reads the environment into one validated struct.
//
// Every variable may also be given as NAME_FILE, the path of a file that holds the value, for secrets. A bad value is
// an error of one line that names the variable, what was given (unless it is a secret) and what is accepted.
package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config is how this process runs.
type Config struct {
	Listen      string         // host:port
	DataDir     string         // absolute
	DatabaseURL string         // empty: the private PostgreSQL in DataDir
	RedisURL    string         // empty: limits and cache are kept in process
	SecretKey   []byte         // 32 bytes
	PublicURL   string         // how browsers and callers reach us, without a slash at the end
	OpenAIKey   string         // empty: the built-in simulator answers
	OpenAIURL   string         // without a slash at the end
	TimeZone    *time.Location // of new tenants and of the panel
	AbortDrain  time.Duration
	LeaseGrace  time.Duration // silence of a replica after which the others may take its leases back
	SpoolSync   SpoolSync
	SMTP        *SMTP // nil: e-mail is sent as the panel says
	JSONLog     bool

	WebhookPrivate bool // alerts may go to private networks, and without TLS
}

// SpoolSync says when the spool is forced to the disk, and so what a power cut may take of it.
type SpoolSync struct {
	Policy SyncPolicy
	Every  time.Duration // of SyncInterval; else 0
}

// SyncPolicy is one of the ways.
type SyncPolicy uint8

// The policies.
const (
	SyncOS       SyncPolicy = iota // when the operating system likes
	SyncInterval                   // every so often
	SyncAlways                     // before each record is acknowledged
)

// DefaultOpenAIURL is OpenAI itself.
const DefaultOpenAIURL = "https://api.openai.com/v1"

// Load reads the environment through getenv (os.Getenv outside tests).
func Load(getenv func(string) string) (Config, error) {
	e := &env{getenv: getenv}
	c := Config{
		Listen:      e.address("FILAIA_LISTEN", "127.0.0.1:8080"),
		DataDir:     e.folder("FILAIA_DATA_DIR", "./data"),
		DatabaseURL: e.database("DATABASE_URL"),
		RedisURL:    e.redis("REDIS_URL"),
		OpenAIKey:   e.text("OPENAI_API_KEY", ""),
		OpenAIURL:   e.web("OPENAI_BASE_URL", DefaultOpenAIURL),
		TimeZone:    e.zone("FILAIA_TIME_ZONE", "America/Sao_Paulo"),
		AbortDrain:  e.duration("FILAIA_ABORT_DRAIN", 10*time.Second, 0, 10*time.Minute),
		LeaseGrace:  e.duration("FILAIA_LEASE_GRACE", 5*time.Minute, time.Second, time.Hour),
		SpoolSync:   e.spoolSync("FILAIA_SPOOL_SYNC", "interval"),
		SMTP:        e.smtp("FILAIA_SMTP_URL"),
		JSONLog:     e.choice("FILAIA_LOG", "text", "json") == "json",

		WebhookPrivate: e.choice("FILAIA_WEBHOOK_PRIVATE", "refuse", "allow") == "allow",
	}
	c.PublicURL = e.web("FILAIA_PUBLIC_URL", "http://"+reachable(c.Listen))
	c.SecretKey = e.secret("FILAIA_SECRET_KEY", c)
	return c, e.err
}

// Simulated tells whether the built-in simulator stands in for a provider.
func (c Config) Simulated() bool { return c.OpenAIKey == "" && c.OpenAIURL == DefaultOpenAIURL }

// env reads variables and keeps the first error.
type env struct {
	getenv func(string) string
	err    error
}

func (e *env) fail(name, given, accepted string) {
	if e.err == nil {
		e.err = fmt.Errorf("%s: %q is not accepted; give %s", name, given, accepted)
	}
}

// text gives NAME, or what the file of NAME_FILE holds, or otherwise.
func (e *env) text(name, otherwise string) string {
	if value := strings.TrimSpace(e.getenv(name)); value != "" {
		return value
	}
	file := e.getenv(name + "_FILE")
	if file == "" {
		return otherwise
	}
	b, err := os.ReadFile(file)
	if err != nil {
		e.fail(name+"_FILE", file, "the path of a file that can be read")
		return otherwise
	}
	return strings.TrimSpace(string(b))
}

func (e *env) address(name, otherwise string) string {
	value := e.text(name, otherwise)
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		e.fail(name, value, "host:port, such as 127.0.0.1:8080 or :8080")
	}
	return value
}

// reachable is where a browser on this machine finds what listens on an address, which may stand for all of them.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

func (e *env) folder(name, otherwise string) string {
	value := e.text(name, otherwise)
	path, err := filepath.Abs(value)
	if err != nil {
		e.fail(name, value, "the path of a folder")
	}
	return path
}

func (e *env) database(name string) string {
	value := e.text(name, "")
	if value == "" {
		return ""
	}
	if u, err := url.Parse(value); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		e.fail(name, redacted(value), "postgres://user:password@host:port/database")
	}
	return value
}

func (e *env) redis(name string) string {
	value := e.text(name, "")
	if value == "" {
		return ""
	}
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		e.fail(name, redacted(value), "redis://user:password@host:port/0, or rediss:// for TLS; further nodes of a cluster as ?addr=host:port")
	}
	return value
}

// redacted keeps a password out of an error.
func redacted(value string) string {
	if u, err := url.Parse(value); err == nil {
		return u.Redacted()
	}
	return "…"
}

func (e *env) web(name, otherwise string) string {
	value := e.text(name, otherwise)
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		e.fail(name, redacted(value), "an http:// or https:// URL without user and query")
	}
	return strings.TrimSuffix(value, "/")
}

func (e *env) zone(name, otherwise string) *time.Location {
	value := e.text(name, otherwise)
	zone, err := time.LoadLocation(value)
	if err != nil || value == "Local" {
		e.fail(name, value, "an IANA time zone, such as America/Sao_Paulo")
	}
	return zone
}

func (e *env) duration(name string, otherwise, least, most time.Duration) time.Duration {
	value := e.text(name, otherwise.String())
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		e.fail(name, value, fmt.Sprintf("a duration from %s to %s, such as %s", short(least), short(most), short(otherwise)))
	}
	return d
}

// short writes a duration as people do: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if rest, cut := strings.CutSuffix(s, "m0s"); cut {
		s = rest + "m"
	}
	if rest, cut := strings.CutSuffix(s, "h0m"); cut {
		s = rest + "h"
	}
	return s
}

const (
	syncEvery      = 100 * time.Millisecond
	leastSyncEvery = time.Millisecond
	mostSyncEvery  = 10 * time.Second
)

func (e *env) spoolSync(name, otherwise string) SpoolSync {
	value := e.text(name, otherwise)
	policy, every, given := strings.Cut(value, "=")
	switch {
	case value == "always":
		return SpoolSync{Policy: SyncAlways}
	case value == "os":
		return SpoolSync{Policy: SyncOS}
	case policy == "interval":
		d, err := syncEvery, error(nil)
		if given {
			d, err = time.ParseDuration(every)
		}
		if err == nil && d >= leastSyncEvery && d <= mostSyncEvery {
			return SpoolSync{Policy: SyncInterval, Every: d}
		}
	}
	e.fail(name, value, "always, os, interval, or interval=100ms with a duration from 1ms to 10s")
	return SpoolSync{}
}

func (e *env) choice(name string, options ...string) string {
	value := e.text(name, options[0])
	for _, option := range options {
		if value == option {
			return value
		}
	}
	e.fail(name, value, strings.Join(options, " or "))
	return options[0]
}

// secret reads the key that protects sessions. With the private PostgreSQL it is made on the first start and lies
// beside it; with a database that replicas share it must be given, so that all have the same.
func (e *env) secret(name string, c Config) []byte {
	if e.err != nil {
		return nil
	}
	text := e.text(name, "")
	if text == "" && c.DatabaseURL != "" {
		e.err = fmt.Errorf("%s: it is required with DATABASE_URL; give 64 hex digits, such as from: openssl rand -hex 32", name)
		return nil
	}
	if text == "" {
		var err error
		if text, err = ownSecret(c.DataDir); err != nil {
			e.err = err
			return nil
		}
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		e.err = fmt.Errorf("%s: %d characters were given that are not 32 bytes in hex; give 64 hex digits", name, len(text))
		return nil
	}
	return key
}

// ownSecret reads the data folder's secret, making folder and secret when they are not there. Two processes that
// make it at the same time agree on one: the file appears whole, or not at all.
func ownSecret(dir string) (string, error) {
	path := filepath.Join(dir, "secret.key")
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("FILAIA_DATA_DIR: %s cannot be read; give a folder that this user may write", path)
	}
	unwritable := fmt.Errorf("FILAIA_DATA_DIR: %s cannot be written; give a folder that this user may write", dir)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", unwritable
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: see crypto/rand
	draft, err := os.CreateTemp(dir, ".secret-*")
	if err != nil {
		return "", unwritable
	}
	defer os.Remove(draft.Name())
	_, err = draft.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, draft.Close()); err != nil {
		return "", unwritable
	}
	if err := os.Link(draft.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return "", unwritable
	}
	if b, err = os.ReadFile(path); err != nil {
		return "", unwritable
	}
	return strings.TrimSpace(string(b)), nil
}
