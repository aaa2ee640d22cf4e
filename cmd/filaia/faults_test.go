package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestABadSettingStopsTheStartWithOneLine(t *testing.T) {
	const secret = "FILAIA_SECRET_KEY=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
	for _, bad := range []struct{ env, words string }{
		{"FILAIA_LISTEN=8080", `FILAIA_LISTEN: "8080" is not accepted|127.0.0.1:8080`},
		{"FILAIA_LISTEN=127.0.0.1:webb", "FILAIA_LISTEN|127.0.0.1:webb"},
		{"FILAIA_TIME_ZONE=Mars/Olympus", `FILAIA_TIME_ZONE: "Mars/Olympus" is not accepted|America/Sao_Paulo`},
		{"FILAIA_ABORT_DRAIN=soon", `FILAIA_ABORT_DRAIN: "soon" is not accepted|10s`},
		{"FILAIA_SPOOL_SYNC=sometimes", `FILAIA_SPOOL_SYNC: "sometimes" is not accepted|interval=100ms`},
		{"FILAIA_LEASE_GRACE=2h", `FILAIA_LEASE_GRACE: "2h" is not accepted|from 1s to 1h`},
		{"FILAIA_LOG=xml", `FILAIA_LOG: "xml" is not accepted|text or json`},
		{"FILAIA_PUBLIC_URL=filaia.example", `FILAIA_PUBLIC_URL: "filaia.example" is not accepted|https://`},
		{"OPENAI_BASE_URL=ftp://provider/v1", `OPENAI_BASE_URL: "ftp://provider/v1" is not accepted|https://`},
		{"OPENAI_API_KEY_FILE=/nowhere/key", `OPENAI_API_KEY_FILE: "/nowhere/key" is not accepted|can be read`},
		{"FILAIA_SECRET_KEY=5a5a", "FILAIA_SECRET_KEY|64 hex digits"},
		{"DATABASE_URL=postgres://h/db", "FILAIA_SECRET_KEY|required with DATABASE_URL|openssl rand -hex 32"},
		{"DATABASE_URL=mysql://u:" + password + "@h/db", "DATABASE_URL|postgres://user:password@host:port/database"},
		{"DATABASE_URL=postgres://u:" + password + "@127.0.0.1:1/db|" + secret, "DATABASE_URL|127.0.0.1:1"},
		{"DATABASE_URL=postgres://u:" + password + "@127.0.0.1:1/db?sslmode=perhaps|" + secret, "DATABASE_URL|perhaps"},
		{"DATABASE_URL=postgres://u:" + password + "@127.0.0.1:port/db|" + secret, "DATABASE_URL|postgres://user:password@host:port/database"},
	} {
		i := newInstall(t, "")
		i.env = append(i.env, strings.Split(bad.env, "|")...)
		i.refuses("", strings.Split(bad.words, "|"), "serve")
		if !strings.HasPrefix(bad.env, "FILAIA_LISTEN=127") { // commands listen on nothing
			i.refuses("", strings.Split(bad.words, "|"), "plan", "list")
		}
		if _, err := os.Stat(filepath.Join(i.dir, "pg")); err == nil {
			t.Errorf("%s: a database was made before the setting was refused", bad.env)
		}
	}
}

func TestServeRefusesAPortInUse(t *testing.T) {
	first := newInstall(t, "")
	first.serve()
	second := newInstall(t, "")
	second.env = append(second.env, "FILAIA_LISTEN="+first.address)
	second.refuses("", []string{"FILAIA_LISTEN", first.address, "in use", "another port"}, "serve")
	if _, err := os.Stat(filepath.Join(second.dir, "pg")); err == nil {
		t.Error("a database was made before the port was refused")
	}
}

func TestServeRefusesADataFolderItCannotWrite(t *testing.T) {
	t.Run("a file stands in its place", func(t *testing.T) {
		i := newInstall(t, "")
		file := filepath.Join(i.dir, "file")
		if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{file, filepath.Join(file, "below")} {
			i.env = append(i.env, "FILAIA_DATA_DIR="+path)
			i.refuses("", []string{"FILAIA_DATA_DIR", path, "give a folder that this user may write"}, "serve")
			i.refuses("", []string{"FILAIA_DATA_DIR", path, "give a folder that this user may write"}, "plan", "list")
		}
		if text, err := os.ReadFile(file); string(text) != "kept" {
			t.Errorf("the file was touched: %q %v", text, err)
		}
	})
	t.Run("it belongs to another user", func(t *testing.T) {
		i := newInstall(t, "")
		i.asStranger()
		i.refuses("", []string{"FILAIA_DATA_DIR", i.dir, "give a folder that this user may write"}, "serve")
		i.refuses("", []string{"FILAIA_DATA_DIR", i.dir, "give a folder that this user may write"}, "plan", "list")
	})
	t.Run("it is another user's and in use", func(t *testing.T) {
		i := newInstall(t, "")
		i.serve()
		i.asStranger()
		i.env = append(i.env, "FILAIA_LISTEN="+freeAddress(t))
		i.refuses("", []string{"FILAIA_DATA_DIR", i.dir, "give a folder that this user may write"}, "serve")
		i.refuses("", []string{"FILAIA_DATA_DIR", i.dir, "give a folder that this user may write"}, "plan", "list")
	})
}

// asStranger makes commands run as a user who may enter the data folder and write nothing in it.
func (i *install) asStranger() {
	i.t.Helper()
	if os.Geteuid() != 0 { // we are no root to become somebody else: then take our own right away
		for _, path := range []string{i.dir, filepath.Join(i.dir, "secret.key")} {
			if err := os.Chmod(path, 0o100); err != nil && !os.IsNotExist(err) {
				i.t.Fatal(err)
			}
			i.t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
		}
		return
	}
	for _, dir := range []string{filepath.Dir(binary), filepath.Dir(i.dir)} {
		if err := os.Chmod(dir, 0o711); err != nil {
			i.t.Fatal(err)
		}
	}
	const nobody = 65534
	i.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

func TestServeRefusesAClusterOfAnotherPostgreSQL(t *testing.T) {
	i := newInstall(t, "")
	i.run(nil, tenantWords...)
	file := filepath.Join(i.dir, "pg", "PG_VERSION")
	ours, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"14", "99"} {
		i.write(file, other+"\n")
		words := []string{filepath.Join(i.dir, "pg"), "made by PostgreSQL " + other, strings.TrimSpace(string(ours)) + " is installed", "pg_upgrade"}
		i.refuses("", words, "serve")
		i.refuses("", words, "plan", "list")
	}
	i.write(file, "fifteen\n")
	i.refuses("", []string{file, `"fifteen`}, "serve")
	i.write(file, string(ours))
	i.prints(`[{"id":1,"name":"Cliente"}]`, true, "tenant", "list")
}

// write replaces a file's text and keeps its owner.
func (i *install) write(path, text string) {
	i.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		i.t.Fatal(err)
	}
}

func TestASecondServerOnADataFolderIsRefusedAndTheFirstUnharmed(t *testing.T) {
	p := provider(t, openaitest.Options{})
	i := newInstall(t, p.URL())
	s := i.serve()
	tenant, key := i.customer("um", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block")
	measure(t, s, key, question)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve")
	cmd.Env = append(i.env, "FILAIA_LISTEN="+freeAddress(t))
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	last := lines[len(lines)-1]
	i.keepsSecrets("the second server", string(out))
	if err == nil || !strings.HasPrefix(last, "filaia: ") || !strings.Contains(last, filepath.Join(i.dir, "spool")) ||
		!strings.Contains(last, "in use by another process") || !strings.Contains(last, "FILAIA_DATA_DIR") {
		t.Errorf("the second server ended with %v:\n%s", err, out)
	}

	for range 20 {
		measure(t, s, key, question)
	}
	eventually(t, "all calls are committed", func() bool { return s.usage(tenant).Requests == 21 })
	if res, err := http.Get(s.url() + "/readyz"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the first server is not ready: %v %v", res, err)
	} else {
		res.Body.Close()
	}
	audit(t, i)
}
