package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// replica makes a process that was heard of so long ago, and may have been stopped or reaped so long ago.
func (s *site) replica(t *testing.T, name string, silent, stopped, reaped time.Duration, v usage.Vitals) {
	t.Helper()
	const insert = `INSERT INTO replicas (name, life, started_at, seen_at, stopped_at, reaped_at, version, calls, spool_events, spool_age_ms, spool_bytes, damaged_files)
		VALUES ($1, gen_random_uuid(), now() - interval '20 days', now() - $2 * interval '1 second', now() - nullif($3, 0) * interval '1 second',
			now() - nullif($4, 0) * interval '1 second', $5, $6, $7, $8, $9, $10)`
	_, err := s.db.Exec(insert, name, silent.Seconds(), stopped.Seconds(), reaped.Seconds(), v.Version, v.Calls, v.SpoolEvents, v.SpoolAge.Milliseconds(),
		v.SpoolBytes, v.DamagedFiles)
	must(t, err)
}

// row is the part of a page from one server's name to the next row that is not its own.
func (a answer) row(name string) answer {
	a.t.Helper()
	_, rest, found := strings.Cut(a.body, `title="`+name+`"`)
	if !found {
		a.t.Fatalf("%s is not in the page:\n%s", name, a.body)
	}
	row, _, _ := strings.Cut(rest, `<span class="row-name"`)
	row, _, _ = strings.Cut(row, "</table>")
	a.body = row
	return a
}

func TestServersTellHowTheyStand(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	b.get("/operations").lacks(text("operations.servers_lead"))
	s.replica(t, "aaaaaaaa-running", 2*time.Second, 0, 0, usage.Vitals{Version: "1.4.0", Calls: 12, SpoolBytes: 3 << 20})
	s.replica(t, "bbbbbbbb-slow", 40*time.Second, 0, 0, usage.Vitals{SpoolEvents: 7, SpoolAge: 20 * time.Second})
	s.replica(t, "cccccccc-silent", 4*time.Minute, 0, 0, usage.Vitals{SpoolEvents: 1234, SpoolAge: time.Second})
	s.replica(t, "dddddddd-reaped", 9*time.Minute, 0, 4*time.Minute, usage.Vitals{DamagedFiles: 2})
	s.replica(t, "eeeeeeee-stopped", 8*time.Minute, 8*time.Minute, 0, usage.Vitals{})
	s.replica(t, "ffffffff-back", time.Second, 0, 50*time.Minute, usage.Vitals{})

	page := b.get("/operations").status(http.StatusOK).has(text("operations.of", "some", 3, "all", 5), text("operations.figure.servers_silent", "n", 2))
	page.row("aaaaaaaa-running").has(">aaaaaaaa<", text("operations.server.running"), text("operations.server.nothing"), "3,0 MB", "1.4.0", ">12<").
		lacks("row-warning")
	page.row("bbbbbbbb-slow").has(text("operations.server.slow"), text("operations.server.events", "n", 7), "a mais antiga há 1\u00a0min").lacks("row-warning")
	page.row("cccccccc-silent").has(text("operations.server.silent"), text("operations.server.warn.left", "n", 1234)).lacks("os tokens reservados voltaram")
	page.row("dddddddd-reaped").has(text("operations.server.silent"), "os tokens reservados voltaram", text("operations.server.warn.damaged", "n", 2))
	page.row("eeeeeeee-stopped").has(text("operations.server.stopped")).lacks("row-warning")
	page.row("ffffffff-back").has(text("operations.server.running"), "teve os tokens reservados devolvidos")
	order := []string{"dddddddd", "cccccccc", "bbbbbbbb", "aaaaaaaa", "ffffffff", "eeeeeeee"}
	for i := 1; i < len(order); i++ {
		if strings.Index(page.body, order[i-1]) > strings.Index(page.body, order[i]) {
			t.Errorf("%s is not before %s", order[i-1], order[i])
		}
	}
}

func TestThisServerTellsItsFiguresOfNow(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	s.replica(t, "aaaaaaaa-self", time.Second, 0, 0, usage.Vitals{Calls: 1, SpoolEvents: 1})
	s.running.self = SelfState{Name: "aaaaaaaa-self", Vitals: usage.Vitals{Calls: 77, SpoolEvents: 55, SpoolAge: 12 * time.Second}, Refusing: true, SyncFailing: true, Stalled: true}
	b.get("/operations").row("aaaaaaaa-self").has(text("operations.server.self"), ">77<", text("operations.server.events", "n", 55), "há 12\u00a0s",
		text("operations.server.warn.refusing"), text("operations.server.warn.sync"), text("operations.server.warn.stalled"))
}

func TestManyStoppedServersAreCounted(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.replica(t, strings.Repeat(name, 8), time.Hour, time.Hour, 0, usage.Vitals{})
	}
	s.replica(t, "ffffffff", time.Hour, time.Hour, 0, usage.Vitals{SpoolEvents: 3}) // this one owes something
	s.as(t, tenancy.Viewer).get("/operations").has(text("operations.servers_more", "n", 2), "ffffffff", text("operations.server.warn.left", "n", 3))
}
