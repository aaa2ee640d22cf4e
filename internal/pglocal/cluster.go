package pglocal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is the folder with PostgreSQL's data.
type cluster struct{ dir string }

// major is the version that made the cluster: 15; 0 where there is none yet.
func (c cluster) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if entries, _ := os.ReadDir(c.dir); len(entries) > 0 {
			return 0, fmt.Errorf("%s is not empty and holds no PostgreSQL data: move it away, or set FILAIA_DATA_DIR to another folder", c.dir)
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of %s: %w", c.dir, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s does not hold a PostgreSQL version: %q", filepath.Join(c.dir, "PG_VERSION"), text)
	}
	return major, nil
}

// account is who PostgreSQL runs as; nil stands for ourselves. PostgreSQL refuses to run as root.
type account struct{ uid, gid uint32 }

// account is the cluster's owner when we are root, and the user postgres where root owns it or it is not there yet.
func (c cluster) account() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(c.dir); err == nil {
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 {
			return &account{uid: owner.Uid, gid: owner.Gid}, nil
		}
	}
	for _, name := range []string{"postgres", "_postgres"} { // the latter on macOS
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root and there is no user `postgres` to run it as: " +
		"start FILA-IA as another user, run `useradd --system postgres`, or set DATABASE_URL")
}

// give makes the account own dir and all in it; links are not followed.
func (a *account) give(dir string) error {
	if a == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
}

// create makes the cluster beside its final name and moves it there when complete, so that a kill in between leaves no half.
func (c cluster) create(ctx context.Context, inst Installation, as *account, throwaway bool) error {
	stale, _ := filepath.Glob(c.dir + ".new-*")
	for _, dir := range stale {
		os.RemoveAll(dir)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(c.dir), filepath.Base(c.dir)+".new-")
	if err != nil {
		return notWritable(filepath.Dir(c.dir), err)
	}
	defer os.RemoveAll(fresh) // does nothing once it is moved
	if err := as.give(fresh); err != nil {
		return fmt.Errorf("give %s to the user of PostgreSQL: %w", fresh, err)
	}
	args := []string{"--username=" + superuser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--lc-ctype=" + utf8Letters(), "--no-instructions"}
	if throwaway {
		args = append(args, "--no-sync")
	} else {
		args = append(args, "--data-checksums")
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, inst.Program("initdb"), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // its children may hold the pipe a little longer when ctx ends
	if err := run(cmd, fresh, as); err != nil {
		return fmt.Errorf("make the database in %s: %w: %s", c.dir, err, lastError(out.String()))
	}
	if err := os.Rename(fresh, c.dir); err != nil {
		return fmt.Errorf("make the database in %s: %w", c.dir, err)
	}
	return nil
}

// utf8Letters names the locale that knows upper and lower case beyond ASCII (ILIKE finds "São" for "são") while text still
// sorts by bytes, so that no upgrade of the C library breaks an index.
func utf8Letters() string {
	if runtime.GOOS == "darwin" {
		return "UTF-8"
	}
	return "C.UTF-8"
}

// makeWritable creates the data folder. That only its owner can enter it is no hindrance to PostgreSQL under another account.
func makeWritable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return notWritable(dir, err)
	}
	return nil
}

func notWritable(dir string, err error) error {
	who := "uid " + strconv.Itoa(os.Geteuid())
	if u, lookupErr := user.Current(); lookupErr == nil {
		who = u.Username
	}
	return fmt.Errorf("the data folder %s cannot be written by %s: make it writable or set FILAIA_DATA_DIR to another folder (%w)", dir, who, err)
}
