package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// installation is a folder with programs that only tell a version.
func installation(t *testing.T, version string, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, name := range programs {
		writeProgram(t, filepath.Join(dir, name), []byte(script))
	}
	return dir
}

// in makes Start search there and nowhere else.
func in(places ...string) Option {
	return func(o *options) { o.places = func(context.Context) []string { return places } }
}

// refusal is the one line with which Start refuses.
func refusal(t *testing.T, dir string, opts ...Option) error {
	t.Helper()
	s, err := Start(contextFor(t), dir, quiet(), opts...)
	if err == nil {
		stop(t, s)
		t.Fatal("Start accepts it")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
	return err
}

func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestStartWithoutBinariesSaysHowToInstallThem(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]string{
		"nothing there": t.TempDir(),
		"no folder":     filepath.Join(t.TempDir(), "none"),
		"too old":       installation(t, "14.9", "postgres", "initdb"),
		"clients only":  installation(t, "16.1", "postgres", "psql"),
	} {
		err := refusal(t, folder(t), in(place))
		if !errors.Is(err, ErrNoBinaries) {
			t.Errorf("%s: %v", name, err)
		}
		says(t, err, "apt-get install postgresql", "brew install postgresql", "DATABASE_URL")
	}
}

func TestProgramsThatWereNotAskedAreNotMissing(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := installedIn(over, []string{installation(t, "15.18", "postgres", "initdb")}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestStartRefusesAClusterOfAnotherMajorVersion(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := use(t, dir)
	stop(t, s)
	version := filepath.Join(dir, "pg", "PG_VERSION")
	if err := os.WriteFile(version, []byte("13\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := refusal(t, dir, in(installation(t, "16.4 (Debian)", "postgres", "initdb"), installation(t, "15.18", "postgres", "initdb")))
	says(t, err, filepath.Join(dir, "pg"), "made by PostgreSQL 13", "PostgreSQL 16, 15 is installed", "postgresql-13", "pg_upgrade")
}

func TestTheInstallationThatMadeTheClusterIsPreferred(t *testing.T) {
	t.Parallel()
	newer, older := installation(t, "17rc1", "postgres", "initdb"), installation(t, "15.18", "postgres", "initdb")
	found, err := installedIn(contextFor(t), []string{newer, older, newer})
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v", found, err)
	}
	for made, want := range map[int]string{0: newer, 15: older, 17: newer} {
		if got, err := choose(found, made, "pg"); err != nil || got.Dir != want {
			t.Errorf("for a cluster of %d: %v, %v", made, got, err)
		}
	}
}

func TestTheInstalledServerIsFound(t *testing.T) {
	found, err := Installed(contextFor(t))
	if err != nil || found[0].Major < OldestMajor {
		t.Fatalf("Installed: %v, %v", found, err)
	}
	if _, err := os.Stat(found[0].Program("initdb")); err != nil {
		t.Error(err)
	}
	t.Setenv("PATH", "") // as for an ordinary user of Debian, whose PATH lacks the server's programs
	if bare, err := Installed(contextFor(t)); err != nil || len(bare) == 0 {
		t.Errorf("outside PATH: %v, %v", bare, err)
	}
}

func TestStartInAFolderThatCannotBeWrittenNamesIt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, refusal(t, filepath.Join(file, "data")), filepath.Join(file, "data"), "cannot be written", "FILAIA_DATA_DIR")

	as, home := ordinaryUser(t)
	closed := filepath.Join(home, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	said := launchHelper(t, closed, as).said
	says(t, errors.New(said), "failed: the data folder "+closed+" cannot be written by", "FILAIA_DATA_DIR")
}

func TestStartRefusesAFolderWithOtherThingsInThePlaceOfTheCluster(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "pg", "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	says(t, refusal(t, dir), filepath.Join(dir, "pg"), "holds no PostgreSQL data", "FILAIA_DATA_DIR")
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stop(t, use(t, dir))
	if err := os.RemoveAll(filepath.Join(dir, "pg", "global")); err != nil {
		t.Fatal(err)
	}
	says(t, refusal(t, dir), "does not start on "+filepath.Join(dir, "pg"), "global/pg_control", "pg.log")
}
