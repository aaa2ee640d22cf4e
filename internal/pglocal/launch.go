package pglocal

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// settings are the server's arguments. They win over postgresql.conf, so that every cluster runs with those of this program.
func settings(major int, throwaway bool) []string {
	set := []string{
		"listen_addresses=", "unix_socket_directories=.", "unix_socket_permissions=0700", "port=" + socketPort,
		"shared_buffers=64MB", "max_connections=60", "max_wal_size=512MB", "wal_compression=on", "jit=off",
		"parallel_setup_cost=100000", // a page's read would wait longer for workers to start than for its rows
		"timezone=UTC", "log_timezone=UTC", "lc_messages=C", "cluster_name=filaia",
		// What goes wrong in a statement is our program's to log. Here it could only leak texts and grow without bound.
		"log_min_messages=log", "log_min_error_statement=panic", "log_checkpoints=off",
		"logging_collector=off", "log_destination=stderr",
	}
	if throwaway {
		set = append(set, "fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0", "max_connections=200")
	} else {
		set = append(set, "synchronous_commit=on")
	}
	if major >= 16 {
		set = append(set, "createrole_self_grant=set, inherit") // as before 16: our role may act as the roles it makes
	}
	args := make([]string, 0, 2*len(set))
	for _, s := range set {
		args = append(args, "-c", s)
	}
	return args
}

// start runs a PostgreSQL program on the cluster folder, as the account, in a session of its own. It gets none of our
// environment beyond what the loader needs: there are secrets in it.
func start(cmd *exec.Cmd, dir string, as *account) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/" // ours may be closed to the account
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
		close, err := passFolder(cmd, &dir)
		if err != nil {
			return err
		}
		defer close()
	}
	cmd.Args = append(cmd.Args, "-D", dir)
	return cmd.Start()
}

func run(cmd *exec.Cmd, dir string, as *account) error {
	if err := start(cmd, dir, as); err != nil {
		return err
	}
	return cmd.Wait()
}

// logLimit is the size in bytes at which pg.log starts anew; the text before is kept once, as pg.log.1.
const logLimit = 4 << 20

// boundLog keeps the log small while the server goes on writing to the same open file, at its end.
func boundLog(path string) {
	info, err := os.Stat(path)
	if err != nil || info.Size() < logLimit {
		return
	}
	from, err := os.Open(path)
	if err != nil {
		return
	}
	defer from.Close()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err == nil {
		os.Truncate(path, 0) //nolint:errcheck // tried again at the next look
	}
}

// lastError is the line of a PostgreSQL log or of initdb's output that says what went wrong.
func lastError(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, mark := range []string{"FATAL:", "PANIC:", "error:", "ERROR:"} {
		for _, line := range lines {
			if at := strings.Index(line, mark); at >= 0 {
				return strings.TrimSpace(line[at+len(mark):])
			}
		}
	}
	return lines[len(lines)-1]
}

func ownedByRoot(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && os.Geteuid() == 0 && info.Sys().(*syscall.Stat_t).Uid == 0
}
