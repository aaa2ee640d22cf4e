package operations

import (
	"cmp"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/ui"
)

// Server is a process that answers calls. Its figures are those of its last heartbeat, or of now where it is the one
// that shows the page.
type Server struct {
	Name, Version       string
	Self                bool // this process
	StartedAt, SeenAt   time.Time
	Silent              time.Duration // since its last heartbeat
	StoppedAt           time.Time     // zero: it was not stopped
	ReapedAt            time.Time     // when its leases were last taken back; zero: never
	Calls               int64         // under way
	SpoolEvents         int64         // calls that are not in the database yet
	SpoolAge            time.Duration // of the oldest of them
	SpoolBytes          int64
	DamagedFiles        int64
	LeasedIn, LeasedOut int64 // tokens that only it may spend

	// Known of this process only.
	Refusing, SyncFailing, Stalled bool
}

// A heartbeat comes every ten seconds at the least.
const (
	slowAfter   = 25 * time.Second
	silentAfter = time.Minute
)

// serverState is how a server stands.
type serverState int

// The states, the worst first: servers are shown in this order.
const (
	serverReaped serverState = iota // silent, and its leases were taken back
	serverSilent
	serverSlow
	serverRunning
	serverStopped
)

func (s Server) state() serverState {
	switch {
	case !s.StoppedAt.IsZero():
		return serverStopped
	case s.Silent >= silentAfter && s.ReapedAt.After(s.SeenAt):
		return serverReaped
	case s.Silent >= silentAfter:
		return serverSilent
	case s.Silent >= slowAfter:
		return serverSlow
	}
	return serverRunning
}

// Before compares two servers by their place on the page.
func (s Server) Before(other Server) int {
	return cmp.Or(cmp.Compare(s.state(), other.state()), s.StartedAt.Compare(other.StartedAt), cmp.Compare(s.Name, other.Name))
}

func (s Server) tone() ui.Tone {
	switch s.state() {
	case serverReaped, serverSilent:
		return ui.Bad
	case serverSlow:
		return ui.Warn
	case serverStopped:
		return ui.Neutral
	}
	return ui.OK
}

func (s Server) word(p i18n.Printer) string {
	switch s.state() {
	case serverReaped, serverSilent:
		return p.T("operations.server.silent")
	case serverSlow:
		return p.T("operations.server.slow")
	case serverStopped:
		return p.T("operations.server.stopped")
	}
	return p.T("operations.server.running")
}

// reapedShown is for how long a server that came back tells that its leases had been taken back.
const reapedShown = 24 * time.Hour

// note says since when, where that is worth a word.
func (s Server) note(p i18n.Printer, now time.Time) string {
	switch s.state() {
	case serverReaped:
		return p.T("operations.server.reaped_since", "since", moment(p, s.SeenAt, now), "reaped", moment(p, s.ReapedAt, now))
	case serverSilent:
		return p.T("operations.server.since", "since", moment(p, s.SeenAt, now))
	case serverSlow:
		return p.T("operations.server.slow_since", "time", s.Silent.Truncate(time.Second))
	case serverStopped:
		return p.T("operations.server.since", "since", moment(p, s.StoppedAt, now))
	}
	if !s.ReapedAt.IsZero() && now.Sub(s.ReapedAt) < reapedShown {
		return p.T("operations.server.back", "reaped", moment(p, s.ReapedAt, now))
	}
	return ""
}

// warnings are what a person should do something about.
func (s Server) warnings(p i18n.Printer) []string {
	var texts []string
	add := func(yes bool, key string, args ...any) {
		if yes {
			texts = append(texts, p.T("operations.server.warn."+key, args...))
		}
	}
	away := s.state() != serverRunning && s.state() != serverSlow
	add(s.Refusing, "refusing")
	add(s.SyncFailing, "sync")
	add(s.Stalled && s.SpoolEvents > 0, "stalled")
	add(away && s.SpoolEvents > 0, "left", "n", s.SpoolEvents)
	add(s.DamagedFiles > 0, "damaged", "n", s.DamagedFiles)
	return texts
}

// quiet tells that a server went in good order, and owes nothing.
func (s Server) quiet() bool {
	return s.state() == serverStopped && s.SpoolEvents == 0 && s.DamagedFiles == 0 && s.LeasedIn == 0 && s.LeasedOut == 0
}

// stoppedShown is how many servers that went in good order are shown; after an update there may be many.
const stoppedShown = 3

// shownServers are the servers that get a line; more counts those that do not.
func (m PageModel) shownServers() (shown []Server, more int) {
	stopped := 0
	for _, s := range m.Servers {
		if s.quiet() {
			if stopped++; stopped > stoppedShown {
				more++
				continue
			}
		}
		shown = append(shown, s)
	}
	return shown, more
}

// running counts the servers that answer, and those that should.
func (m PageModel) running() (some, all int) {
	for _, s := range m.Servers {
		switch s.state() {
		case serverRunning, serverSlow:
			some++
			all++
		case serverSilent, serverReaped:
			all++
		}
	}
	return some, all
}

func (m PageModel) serverFigure(p i18n.Printer) ui.StatModel {
	some, all := m.running()
	note := p.T("operations.figure.servers_note")
	if some < all {
		note = p.T("operations.figure.servers_silent", "n", all-some)
	}
	return ui.StatModel{Label: p.T("operations.figure.servers"), Value: p.T("operations.of", "some", some, "all", all), Note: note}
}

// spoolFigure is what all servers together have not written to the database yet.
func (m PageModel) spoolFigure(p i18n.Printer) ui.StatModel {
	waiting, age := int64(0), time.Duration(0)
	for _, s := range m.Servers {
		waiting += s.SpoolEvents
		if s.SpoolEvents > 0 {
			age = max(age, s.SpoolAge)
		}
	}
	note := p.T("operations.figure.spool_none")
	if waiting > 0 {
		note = spoolAge(p, age)
	}
	return ui.StatModel{Label: p.T("operations.figure.spool"), Value: p.Compact(waiting), Exact: p.Int(waiting), Note: note}
}

func spoolAge(p i18n.Printer, age time.Duration) string {
	return p.T("operations.server.oldest", "time", max(age, time.Second).Truncate(time.Second))
}

// moment writes the time of day of today, and the date of other days.
func moment(p i18n.Printer, t, now time.Time) string {
	if p.Date(t) == p.Date(now) {
		return p.Clock(t)
	}
	return p.DateTime(t)
}

// size writes bytes as people say them.
func size(p i18n.Printer, bytes int64) string {
	const kilo, mega, giga = 1 << 10, 1 << 20, 1 << 30
	switch {
	case bytes >= giga:
		return p.Decimal(float64(bytes)/giga, 1) + " GB"
	case bytes >= mega:
		return p.Decimal(float64(bytes)/mega, 1) + " MB"
	case bytes == 0:
		return "0 kB"
	}
	return p.Int(max(bytes/kilo, 1)) + " kB"
}
