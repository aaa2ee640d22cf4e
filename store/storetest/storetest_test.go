package storetest

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endVariable makes this test binary a child that ends in a certain way.
const endVariable = "STORETEST_TEST_END"

func TestMain(m *testing.M) {
	if os.Getenv(endVariable) == "without run" {
		os.Exit(m.Run())
	}
	os.Exit(Run(m))
}

func TestTheAddressAnswers(t *testing.T) {
	dsn := DB(t)
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	switch os.Getenv(endVariable) { // only in a child
	case "":
		return
	case "failure":
		t.Error("as told")
	case "panic":
		defer panic("as told")
	case "exit":
		defer os.Exit(3)
	case "kill":
		defer syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Stdout.WriteString("\naddress " + dsn + "\n")
}

func TestEveryTestHasItsOwnMigratedDatabase(t *testing.T) {
	first, second := Open(t), Open(t)
	if _, err := first.Exec(`INSERT INTO settings (name, value) VALUES ('only here', '1')`); err != nil {
		t.Fatalf("the schema is not there: %v", err)
	}
	var count int
	if err := second.Get(&count, `SELECT count(*) FROM settings WHERE name = 'only here'`); err != nil || count != 0 {
		t.Errorf("the other database holds %d, %v", count, err)
	}
}

func TestTheDatabaseIsDroppedAlthoughItIsInUse(t *testing.T) {
	var left *sql.DB
	var name string
	t.Run("inner", func(t *testing.T) {
		var err error
		if left, err = sql.Open("postgres", DB(t)); err != nil {
			t.Fatal(err)
		}
		if err := left.QueryRow(`SELECT current_database()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	defer left.Close()
	var count int
	if err := Open(t).Get(&count, `SELECT count(*) FROM pg_database WHERE datname = $1`, name); err != nil || count != 0 {
		t.Errorf("%s is still there: %d, %v", name, count, err)
	}
}

// child runs TestTheAddressAnswers in another process that ends as told, and returns its output.
func child(t *testing.T, end string, env ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTheAddressAnswers$")
	cmd.Env = append(append(os.Environ(), endVariable+"="+end), env...)
	out, err := cmd.Output()
	return string(out), err
}

func addressIn(t *testing.T, output string) *url.URL {
	t.Helper()
	_, rest, found := strings.Cut(output, "\naddress ")
	line, _, _ := strings.Cut(rest, "\n")
	u, err := url.Parse(line)
	if !found || err != nil {
		t.Fatalf("no address in %q: %v", output, err)
	}
	return u
}

// eventuallyGone waits until a folder is removed, which the guard does only once the server in it has ended.
func eventuallyGone(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", dir)
		}
	}
}

func TestNothingIsLeftHoweverTheTestsEnd(t *testing.T) {
	for end, succeeds := range map[string]bool{"success": true, "failure": false, "panic": false, "exit": false, "kill": false} {
		t.Run(end, func(t *testing.T) {
			output, err := child(t, end, ServerVariable+"=")
			if (err == nil) != succeeds {
				t.Fatalf("the tests end with %v: %s", err, output)
			}
			cluster := addressIn(t, output).Query().Get("host")
			eventuallyGone(t, filepath.Dir(cluster))
		})
	}
}

func TestAServerGivenByItsAddressIsUsedAndLeftAsItWas(t *testing.T) {
	db := Open(t)
	list := func() (names string) {
		if err := db.Get(&names, `SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database`); err != nil {
			t.Fatal(err)
		}
		return names
	}
	before := list()
	output, err := child(t, "success", ServerVariable+"="+shared.address("postgres"))
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	ours, err := url.Parse(shared.address("x"))
	if err != nil {
		t.Fatal(err)
	}
	if used := addressIn(t, output); used.Query().Get("host") != ours.Query().Get("host") || used.Host != ours.Host {
		t.Errorf("it used %s", used)
	}
	if after := list(); after != before {
		t.Errorf("databases before: %s\nafter: %s", before, after)
	}
}

func TestABadAddressIsExplained(t *testing.T) {
	output, err := child(t, "success", ServerVariable+"=host=127.0.0.1")
	if err == nil || !strings.Contains(output, ServerVariable+" must be a URL") {
		t.Errorf("%v: %s", err, output)
	}
}

func TestDBWithoutRunSaysWhatIsMissing(t *testing.T) {
	output, err := child(t, "without run")
	if err == nil || !strings.Contains(output, "os.Exit(storetest.Run(m))") {
		t.Errorf("%v: %s", err, output)
	}
}
