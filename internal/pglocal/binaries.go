package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// OldestMajor is the oldest PostgreSQL that works.
const OldestMajor = 15

// ErrNoBinaries says that no usable PostgreSQL is installed, and what to do about it.
var ErrNoBinaries = errors.New("PostgreSQL 15 or newer is not installed: run `apt-get install postgresql` (Debian, Ubuntu) " +
	"or `brew install postgresql@17` (macOS), or set DATABASE_URL to a server you have")

// Installation is one set of PostgreSQL's programs.
type Installation struct {
	Major int    // 15
	Dir   string // the folder with postgres, initdb, pg_dump …
}

// Program is the path of one of its programs, such as "pg_dump".
func (i Installation) Program(name string) string { return filepath.Join(i.Dir, name) }

// Installed lists the PostgreSQL servers of this machine that are new enough, in order of preference: the one in PATH, the
// one pg_config names, then those of Debian, Red Hat, Alpine, Homebrew and Postgres.app, newest first. None is ErrNoBinaries.
func Installed(ctx context.Context) ([]Installation, error) {
	return installedIn(ctx, searchPlaces(ctx))
}

func installedIn(ctx context.Context, places []string) ([]Installation, error) {
	var found []Installation
	for _, dir := range places {
		major, err := majorOf(ctx, dir)
		if err != nil || major < OldestMajor || slices.ContainsFunc(found, func(i Installation) bool { return i.Dir == dir }) {
			continue
		}
		found = append(found, Installation{Major: major, Dir: dir})
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look for PostgreSQL: %w", err) // programs that were not asked are not missing
	}
	if len(found) == 0 {
		return nil, ErrNoBinaries
	}
	return found, nil
}

// searchPlaces lists the folders where PostgreSQL's programs may lie. They need not exist.
func searchPlaces(ctx context.Context) []string {
	var places []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			places = append(places, filepath.Dir(path))
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		places = append(places, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
		slices.SortFunc(dirs, func(a, b string) int { return numberIn(b) - numberIn(a) })
		places = append(places, dirs...)
	}
	return places
}

var digits = regexp.MustCompile(`\d+`)

// numberIn is the first number in a path or a version text, 0 where there is none.
func numberIn(s string) int {
	n, _ := strconv.Atoi(digits.FindString(s))
	return n
}

// majorOf asks the server program in dir for its version: "postgres (PostgreSQL) 15.18 (Debian …)".
func majorOf(ctx context.Context, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, err // only client programs here
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, err
	}
	return numberIn(string(out)), nil
}

// choose picks the preferred installation for a cluster of major version made, or for a new one where made is 0.
func choose(found []Installation, made int, dir string) (Installation, error) {
	if made == 0 {
		return found[0], nil
	}
	majors := make([]string, 0, len(found))
	for _, i := range found {
		if i.Major == made {
			return i, nil
		}
		majors = append(majors, strconv.Itoa(i.Major))
	}
	return Installation{}, fmt.Errorf("%s was made by PostgreSQL %d, but PostgreSQL %s is installed: install PostgreSQL %d beside it "+
		"(`apt-get install postgresql-%d` or `brew install postgresql@%d`), or convert the folder with pg_upgrade",
		dir, made, strings.Join(majors, ", "), made, made, made)
}
