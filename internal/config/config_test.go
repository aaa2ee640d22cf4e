package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, vars map[string]string) (Config, error) {
	t.Helper()
	if vars["FILAIA_DATA_DIR"] == "" {
		vars["FILAIA_DATA_DIR"] = t.TempDir()
	}
	return Load(func(name string) string { return vars[name] })
}

func TestDefaultsNeedNothingSetUp(t *testing.T) {
	c, err := load(t, map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8080" || c.PublicURL != "http://127.0.0.1:8080" || !c.Simulated() || c.AbortDrain != 10*time.Second ||
		c.LeaseGrace != 5*time.Minute ||
		c.SpoolSync != (SpoolSync{Policy: SyncInterval, Every: 100 * time.Millisecond}) || c.TimeZone.String() != "America/Sao_Paulo" || len(c.SecretKey) != 32 {
		t.Fatalf("%+v", c)
	}
}

func TestTheSecretIsMadeOnceAndOnlyItsOwnerMayRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	a, err := load(t, map[string]string{"FILAIA_DATA_DIR": dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := load(t, map[string]string{"FILAIA_DATA_DIR": dir})
	if err != nil || string(a.SecretKey) != string(b.SecretKey) {
		t.Fatalf("another secret at the second start: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "secret.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
}

func TestThePublicAddressIsOneThatABrowserCanOpen(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "http://localhost:8080", "0.0.0.0:80": "http://localhost:80", "[::]:8080": "http://localhost:8080",
		"10.0.0.7:8080": "http://10.0.0.7:8080", "[::1]:8080": "http://[::1]:8080", "filaia.local:8080": "http://filaia.local:8080",
	} {
		if c, err := load(t, map[string]string{"FILAIA_LISTEN": listen}); err != nil || c.PublicURL != want {
			t.Errorf("listening on %s: %s, want %s: %v", listen, c.PublicURL, want, err)
		}
	}
}

func TestABadValueIsNamedWithWhatIsAccepted(t *testing.T) {
	key := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		vars map[string]string
		want []string
	}{
		"listen":            {map[string]string{"FILAIA_LISTEN": "nowhere"}, []string{"FILAIA_LISTEN", "nowhere", "host:port"}},
		"port":              {map[string]string{"FILAIA_LISTEN": "127.0.0.1:web"}, []string{"FILAIA_LISTEN", "127.0.0.1:web", "host:port"}},
		"port too high":     {map[string]string{"FILAIA_LISTEN": ":65536"}, []string{"FILAIA_LISTEN", ":65536", "host:port"}},
		"time zone":         {map[string]string{"FILAIA_TIME_ZONE": "Mars/Olympus"}, []string{"FILAIA_TIME_ZONE", "Mars/Olympus", "IANA"}},
		"drain":             {map[string]string{"FILAIA_ABORT_DRAIN": "ten"}, []string{"FILAIA_ABORT_DRAIN", "ten", "10s"}},
		"private webhooks":  {map[string]string{"FILAIA_WEBHOOK_PRIVATE": "yes"}, []string{"FILAIA_WEBHOOK_PRIVATE", `"yes"`, "refuse or allow"}},
		"grace":             {map[string]string{"FILAIA_LEASE_GRACE": "5"}, []string{"FILAIA_LEASE_GRACE", `"5"`, "from 1s to 1h", "such as 5m"}},
		"grace too short":   {map[string]string{"FILAIA_LEASE_GRACE": "999ms"}, []string{"FILAIA_LEASE_GRACE", "999ms", "from 1s to 1h"}},
		"grace too long":    {map[string]string{"FILAIA_LEASE_GRACE": "61m"}, []string{"FILAIA_LEASE_GRACE", "61m", "from 1s to 1h"}},
		"sync":              {map[string]string{"FILAIA_SPOOL_SYNC": "never"}, []string{"FILAIA_SPOOL_SYNC", "never", "always, os, interval", "from 1ms to 10s"}},
		"sync every":        {map[string]string{"FILAIA_SPOOL_SYNC": "interval=1"}, []string{"FILAIA_SPOOL_SYNC", "interval=1", "interval=100ms"}},
		"sync too often":    {map[string]string{"FILAIA_SPOOL_SYNC": "interval=999us"}, []string{"FILAIA_SPOOL_SYNC", "interval=999us", "from 1ms to 10s"}},
		"sync too seldom":   {map[string]string{"FILAIA_SPOOL_SYNC": "interval=10001ms"}, []string{"FILAIA_SPOOL_SYNC", "interval=10001ms", "from 1ms to 10s"}},
		"sync always when":  {map[string]string{"FILAIA_SPOOL_SYNC": "always=1s"}, []string{"FILAIA_SPOOL_SYNC", "always=1s", "always, os, interval"}},
		"log":               {map[string]string{"FILAIA_LOG": "xml"}, []string{"FILAIA_LOG", "xml", "text or json"}},
		"provider":          {map[string]string{"OPENAI_BASE_URL": "ftp://x"}, []string{"OPENAI_BASE_URL", "ftp://x", "https://"}},
		"database":          {map[string]string{"DATABASE_URL": "mysql://x"}, []string{"DATABASE_URL", "mysql://x", "postgres://"}},
		"secret missing":    {map[string]string{"DATABASE_URL": "postgres://x/y"}, []string{"FILAIA_SECRET_KEY", "required", "DATABASE_URL"}},
		"secret too short":  {map[string]string{"FILAIA_SECRET_KEY": "abcd"}, []string{"FILAIA_SECRET_KEY", "64 hex digits"}},
		"file not readable": {map[string]string{"OPENAI_API_KEY_FILE": "/nonexistent"}, []string{"OPENAI_API_KEY_FILE", "/nonexistent"}},
		"folder is a file":  {map[string]string{"FILAIA_DATA_DIR": "/dev/null/x"}, []string{"FILAIA_DATA_DIR", "/dev/null/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.vars)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
	if _, err := load(t, map[string]string{"DATABASE_URL": "postgres://u:p@h/d", "FILAIA_SECRET_KEY": key}); err != nil {
		t.Fatal(err)
	}
}

func TestTheSpoolSyncIsAlwaysAtAnIntervalOrLeftToTheSystem(t *testing.T) {
	for given, want := range map[string]SpoolSync{
		"always":          {Policy: SyncAlways},
		"os":              {Policy: SyncOS},
		"interval":        {Policy: SyncInterval, Every: 100 * time.Millisecond},
		"interval=1ms":    {Policy: SyncInterval, Every: time.Millisecond},
		" interval=10s\n": {Policy: SyncInterval, Every: 10 * time.Second},
	} {
		if c, err := load(t, map[string]string{"FILAIA_SPOOL_SYNC": given}); err != nil || c.SpoolSync != want {
			t.Errorf("%q: %+v, want %+v: %v", given, c.SpoolSync, want, err)
		}
	}
}

func TestTheGraceOfLeasesIsFromASecondToAnHour(t *testing.T) {
	for given, want := range map[string]time.Duration{"1s": time.Second, "90s": 90 * time.Second, "1h": time.Hour} {
		if c, err := load(t, map[string]string{"FILAIA_LEASE_GRACE": given}); err != nil || c.LeaseGrace != want {
			t.Errorf("%s: %s, want %s: %v", given, c.LeaseGrace, want, err)
		}
	}
}

func TestErrorsNeverShowSecrets(t *testing.T) {
	for _, vars := range []map[string]string{
		{"FILAIA_SECRET_KEY": "canary-secret"},
		{"DATABASE_URL": "mysql://user:canary-secret@host/db"},
		{"OPENAI_BASE_URL": "https://user:canary-secret@host/v1"},
	} {
		if _, err := load(t, vars); err == nil || strings.Contains(err.Error(), "canary-secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestValuesMayComeFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sk-from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, map[string]string{"OPENAI_API_KEY_FILE": file})
	if err != nil || c.OpenAIKey != "sk-from-file" || c.Simulated() {
		t.Fatalf("%v", err)
	}
}

func TestPrivateWebhooksAreRefusedUnlessTheyAreAllowed(t *testing.T) {
	for given, want := range map[string]bool{"": false, "refuse": false, "allow": true} {
		if c, err := load(t, map[string]string{"FILAIA_WEBHOOK_PRIVATE": given}); err != nil || c.WebhookPrivate != want {
			t.Errorf("%q: %v, %v", given, c.WebhookPrivate, err)
		}
	}
}
