package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestHelpListsEveryCommandAndEachTellsItsFlags(t *testing.T) {
	i := newInstall(t, "")
	out, _, err := i.try("", "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands() {
		if !strings.Contains(out, "  "+c.words+" ") || !strings.Contains(out, c.summary) {
			t.Errorf("help does not tell of %q:\n%s", c.words, out)
		}
		flags, errText, err := i.try("", append(strings.Fields(c.words), "--help")...)
		if err != nil || errText != "" || !strings.Contains(flags, "-json") {
			t.Errorf("filaia %s --help: %v %q:\n%s", c.words, err, errText, flags)
		}
	}
	if entries, err := os.ReadDir(i.dir); err != nil || len(entries) > 0 {
		t.Errorf("asking for help left %v in the data folder: %v", entries, err)
	}
}

func TestCommandsWorkBesideTheServer(t *testing.T) {
	i := newInstall(t, "")
	i.serve()
	everyCommand(t, i)
	if !i.postgresRuns() {
		t.Error("a command stopped the server's PostgreSQL")
	}
}

func TestCommandsWorkWithoutTheServerAndStopWhatTheyStarted(t *testing.T) {
	i := newInstall(t, "")
	everyCommand(t, i)
	if i.postgresRuns() {
		t.Error("PostgreSQL goes on although no command uses it")
	}
}

// postgresRuns tells whether the private PostgreSQL has not been stopped.
func (i *install) postgresRuns() bool {
	_, err := os.Stat(filepath.Join(i.dir, "pg", "postmaster.pid"))
	return err == nil
}

const password = "canary-senha-Xk29"

// everyCommand runs each command as scripts do, and holds the JSON to what is documented.
func everyCommand(t *testing.T, i *install) {
	t.Helper()
	i.prints(`[{"version":1,"name":"00001_tenancy.sql","applied":true}]`, true, "migrate", "up")
	i.prints(`[{"version":1,"name":"00001_tenancy.sql","applied":true}]`, true, "migrate", "status")
	i.prints(`{"version":"development"}`, false, "version")

	i.prints(`{"id":4,"slug":"ouro","version":1}`, false, "plan", "create", "--slug", "ouro", "--name", "Ouro", "--price", "99,90",
		"--input-tokens", "1000", "--output-tokens", "500", "--overage", "charge", "--overage-price", "0.0001",
		"--rpm", "60", "--tpm", "6000", "--parallel", "5", "--models", "gpt-4.1-nano, gpt-4o-mini",
		"--cache", "smart", "--cache-minutes", "90", "--cache-billed-percent", "20")
	i.prints(`{"id":5,"slug":"rascunho","version":1}`, false, "plan", "create", "--slug", "rascunho", "--name", "Rascunho", "--price", "0",
		"--input-tokens", "1", "--output-tokens", "1", "--overage", "block", "--draft")
	i.prints(`[{"id":4,"slug":"ouro","name":"Ouro","version":1,"price":"99.90","input_tokens":1000,"output_tokens":500,"overage":"charge",
		"overage_price":"0.0001","rpm":60,"tpm":6000,"parallel":5,"cache":"smart","cache_minutes":90,"cache_billed_percent":20,"subscribers":0,"archived":false},
		{"id":5,"slug":"rascunho","version":0,"price":"0.00","cache":"off","cache_minutes":60,"cache_billed_percent":0}]`, true, "plan", "list")

	i.prints(`{"id":1}`, false, "tenant", "create", "--name", "Padaria Aurora", "--plan", "ouro", "--email", "ana@aurora.com.br",
		"--tax-id", "11.222.333/0001-81", "--time-zone", "America/Recife", "--billing-day", "5", "--rpm", "120", "--tpm", "9000", "--parallel", "8")
	i.prints(`[{"id":1,"name":"Padaria Aurora","email":"ana@aurora.com.br","tax_id":"11222333000181","plan":"Ouro","status":"active","keys":0,
		"rpm":120,"tpm":9000,"parallel":8}]`,
		false, "tenant", "list")

	made := i.prints(`{"id":1}`, true, "key", "create", "--tenant", "1", "--name", "site", "--expires", "2099-01-31T00:00:00Z")
	if made["key"] == nil || len(made) != 2 || !fullKey.MatchString(fmt.Sprint(made["key"])) {
		t.Errorf("key create printed %v, want id and key", slices.Sorted(maps.Keys(made)))
	}
	i.prints(`{"id":2}`, true, "key", "create", "--tenant", "1", "--plan", "basico", "--models", "gpt-4.1-nano", "--rpm", "10", "--cache", "off")
	i.prints(`{"id":1,"rpm":30,"tpm":0,"parallel":2,"cache":"exact"}`, false, "key", "limits", "--id", "1", "--rpm", "30", "--parallel", "2", "--cache", "exact")
	i.prints(`{"id":1,"rpm":0,"tpm":0,"parallel":2,"cache":"exact"}`, false, "key", "limits", "--id", "1", "--rpm", "0") // the rest stays
	i.prints(`{"id":2,"revoked":true}`, false, "key", "revoke", "2")
	i.prints(`{"id":2,"revoked":true}`, false, "key", "revoke", "--id", "2") // twice does no harm
	i.prints(`[{"id":2,"tenant_id":1,"tenant":"Padaria Aurora","name":"API","models":["gpt-4.1-nano"],"state":"revoked",
		"expires_at":null,"rpm":10,"tpm":0,"parallel":0,"cache":"off"},
		{"id":1,"name":"site","plan":"Ouro","models":[],"state":"active","expires_at":"2099-01-31T00:00:00Z","last_used_at":null,
		"rpm":0,"parallel":2,"cache":"exact"}]`,
		true, "key", "list", "--tenant", "1")

	used := i.prints(`{"tenant_id":1,"plan":"Ouro","requests":0,"failures":0,"input_tokens":0,"cached_tokens":0,"output_tokens":0,
		"limit_input":1000,"limit_output":500,"overage":"charge","cost_usd":"0.00","charge_brl":"0.00"}`, true, "usage", "--tenant", "1")
	if used["period_start"] == nil || used["period_end"] == nil {
		t.Errorf("usage tells no period: %v", used)
	}

	out, errText, err := i.try(password+"\n", "user", "create", "--email", "Ana@Aurora.com.br", "--name", "Ana", "--role", "tenant_admin",
		"--tenant", "1", "--password-stdin", "--json")
	if err != nil || strings.TrimSpace(out) != `{"email":"ana@aurora.com.br","id":1,"role":"tenant_admin"}` {
		t.Errorf("user create: %v %q %q", err, out, errText)
	}
	i.tables()
}

// prints runs a command with --json and compares. With partly, want may name a part of the fields and rows only.
func (i *install) prints(want string, partly bool, args ...string) map[string]any {
	i.t.Helper()
	var expected, got any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		i.t.Fatal(err)
	}
	i.run(&got, append(args, "--json")...)
	if !sameJSON(expected, got, partly) {
		text, _ := json.Marshal(got)
		i.t.Errorf("filaia %s printed\n%s\nwant (partly: %v)\n%s", strings.Join(args, " "), text, partly, want)
	}
	object, _ := got.(map[string]any)
	return object
}

// sameJSON compares; partly, got may have more fields, and rows that are not in want.
func sameJSON(want, got any, partly bool) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		for name := range w {
			_, there := g[name]
			ok = ok && there && sameJSON(w[name], g[name], partly)
		}
		return ok && (partly || len(w) == len(g))
	case []any:
		g, ok := got.([]any)
		if !partly {
			return ok && slices.EqualFunc(w, g, func(a, b any) bool { return sameJSON(a, b, false) })
		}
		for _, row := range w {
			ok = ok && slices.ContainsFunc(g, func(other any) bool { return sameJSON(row, other, true) })
		}
		return ok
	}
	return want == got
}

// tables looks at what people see without --json.
func (i *install) tables() {
	i.t.Helper()
	for command, words := range map[string][]string{
		"plan list":        {"SLUG", "PRICE", "ouro", "99.90", "charge"},
		"tenant list":      {"TAX ID", "Padaria Aurora", "11.222.333/0001-81", "Ouro"},
		"key list":         {"STATE", "fia_live_", "…", "revoked", "active"},
		"usage --tenant 1": {"PLAN", "SINCE", "CHARGE R$", "Ouro", "1000", "500"},
		"migrate status":   {"VERSION", "00001_tenancy.sql", "true"},
		"version":          {"VERSION", "development"},
	} {
		out, errText, err := i.try("", strings.Fields(command)...)
		if err != nil || errText != "" {
			i.t.Errorf("filaia %s: %v %q", command, err, errText)
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				i.t.Errorf("filaia %s does not tell %q:\n%s", command, word, out)
			}
		}
	}
}

func TestADemonstrationIsSeededOnceAndItsKeysWork(t *testing.T) {
	i := newInstall(t, "")
	s := i.serve()
	out, errText, err := i.try("", "demo", "seed", "--json")
	if err != nil || gjson.Get(out, "customers").Int() < 10 || gjson.Get(out, "calls").Int() < 10_000 ||
		gjson.Get(out, "logins.0.role").Str != "owner" || gjson.Get(out, "logins.0.password").Str == "" {
		t.Fatalf("demo seed: %v %s %s", err, out, errText)
	}
	before := i.contents()
	i.refuses("", []string{"has customers already", "nothing was changed"}, "demo", "seed", "--json")
	if i.contents() != before {
		t.Error("a second seeding changed something")
	}
	measure(t, s, gjson.Get(out, "keys.0.key").Str, question)
}

// TestARevokedKeyStopsOnEveryReplica runs two replicas on one database; a command at the first is heard by both.
func TestARevokedKeyStopsOnEveryReplica(t *testing.T) {
	p := provider(t, openaitest.Options{})
	first := newInstall(t, p.URL())
	first.env = append(first.env, "FILAIA_SECRET_KEY="+strings.Repeat("5a", 32))
	first.serve()
	second := newInstall(t, p.URL())
	second.env = append(second.env, "FILAIA_SECRET_KEY="+strings.Repeat("5a", 32), "DATABASE_URL="+first.databaseURL())
	second.serve()
	if second.postgresRuns() {
		t.Error("a private PostgreSQL runs beside DATABASE_URL")
	}

	tenant, key := first.customer("replicas", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block")
	for name, i := range map[string]*install{"first": first, "second": second} {
		if r := i.chat(key, question); r.status != http.StatusOK { // a new key works at once, and is now known
			t.Fatalf("%s replica: %d %s %v", name, r.status, r.body, r.err)
		}
	}
	var keys []struct {
		ID int64 `json:"id"`
	}
	first.run(&keys, "key", "list", "--tenant", fmt.Sprint(tenant), "--json")
	first.run(nil, "key", "revoke", fmt.Sprint(keys[0].ID))
	revoked := time.Now()
	for name, i := range map[string]*install{"first": first, "second": second} {
		// Well below the time for which a caller is believed: the news must have come.
		within(t, 10*time.Second, "the revoked key stops at the "+name+" replica", func() bool {
			r := i.chat(key, question)
			return r.status == http.StatusUnauthorized && strings.Contains(r.body, `"code":"invalid_api_key"`)
		})
		t.Logf("the %s replica refused the key %s after the command ended", name, time.Since(revoked).Round(time.Millisecond))
	}
	eventually(t, "the usage of both replicas is one sum", func() bool {
		return second.usage(tenant).Requests == p.Stats().Answered
	})
}
