package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/migrations"
)

func TestAnAuditSaysWhatDiffersAndFails(t *testing.T) {
	i := newInstall(t, provider(t, openaitest.Options{}).URL())
	i.refuses("", []string{"there is no database in", "filaia serve"}, "audit")
	if _, err := os.Stat(i.dir + "/pg"); err == nil {
		t.Error("the audit made a database")
	}
	s := i.serve()
	tenant, key := i.customer("ouro", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block")
	for range 3 {
		if r := i.chat(key, question); r.status != http.StatusOK {
			t.Fatalf("%+v", r)
		}
	}
	eventually(t, "the calls are committed", func() bool { return i.usage(tenant).Requests == 3 })
	clean := func(scope ...string) gjson.Result {
		t.Helper()
		out, errText, err := i.try("", append([]string{"audit", "--json"}, scope...)...)
		if err != nil || errText != "" || gjson.Get(out, "differences").Int() != 0 {
			t.Fatalf("%v %s%s", err, errText, out)
		}
		return gjson.Parse(out)
	}
	if a := clean(); a.Get("checks.0.rows").Int() != 3 || a.Get("periods").Int() != 1 || !a.Get("took_ms").Exists() {
		t.Errorf("beside the server: %s", a.Raw)
	}
	s.stop()
	clean("--all", "--settled") // what was leased went back
	clean("--since", time.Now().AddDate(0, 0, -1).Format(time.DateOnly))
	clean("--period", "1")

	db := i.database().DB()
	if _, err := db.Exec(`UPDATE usage_hourly SET input_tokens = input_tokens + 7`); err != nil {
		t.Fatal(err)
	}
	out, errText, err := i.try("", "audit")
	if err == nil || errText != "filaia: audit: 2 differences\n" {
		t.Errorf("%v %q", err, errText)
	}
	for _, word := range []string{"CHECK", "events_hours", "hours_used", "CUSTOMER", "EXPECTED", "ouro (1)", "input_tokens", "key 1", "gpt-4.1-nano", "1 period compared in"} {
		if !strings.Contains(out, word) {
			t.Errorf("%q is not told:\n%s", word, out)
		}
	}
}

func TestAnAuditLeavesADatabaseThatIsBehindAsItIs(t *testing.T) {
	i := newInstall(t, "")
	i.run(nil, "migrate", "up", "--json")
	i.run(nil, "migrate", "down", "--json")
	i.refuses("", []string{"lacks 1 migration and", "filaia migrate up"}, "audit", "--json")
	if missing, err := migrations.Behind(t.Context(), i.database().DB()); err != nil || missing != 1 {
		t.Errorf("%d migrations are missing now (%v), want 1", missing, err)
	}
}

func TestWhatAnAuditAndARetentionRefuseIsOneLine(t *testing.T) {
	i := newInstall(t, "")
	i.serve()
	for args, words := range map[string]string{
		"audit|--all|--period|3":          "--all, --since and --period|one of them",
		"audit|--since|yesterday":         `--since: "yesterday"|2026-10-01`,
		"audit|--period|-3":               "--period: -3",
		"audit|now":                       `"now" is not expected|--help`,
		"retention|set":                   "--months is required",
		"retention|set|--months|1":        `--months "1"|from 2 to 1,200`,
		"retention|drop":                  "give the name|filaia retention list",
		"retention|drop|users":            `"users"|filaia retention list`,
		"retention|show|for|ever":         "is not expected",
		"retention|drop|one|usage|events": `"usage" is not expected`,
	} {
		i.refuses("", strings.Split(words, "|"), strings.Split(args, "|")...)
	}
}

func TestMonthsArePutAsideByTheServerAndDroppedByHand(t *testing.T) {
	i := newInstall(t, "")
	i.run(nil, "migrate", "up", "--json")
	old := time.Now().UTC().AddDate(0, -9, 0)
	if err := i.database().EnsurePartitions(t.Context(), old, old); err != nil {
		t.Fatal(err)
	}
	name := "usage_events_" + old.Format("2006_01")
	i.prints(`{"months":0,"words":"for ever","next":[]}`, false, "retention", "show")
	i.prints(`{"months":6,"words":"for 6 months after the month in which they were made","next":[{"name":"`+name+`","month":"`+old.Format("2006-01")+`",
		"waits_for":""}]}`, false, "retention", "set", "--months", "6")
	s := i.serve()
	eventually(t, "the month is put aside", func() bool {
		out, _, err := i.try("", "retention", "list", "--json")
		return err == nil && gjson.Get(out, "0.name").Str == name && gjson.Get(out, "0.rows").Int() == 0 && !gjson.Get(out, "0.dropped_at").IsObject()
	})
	eventually(t, "the books were audited", func() bool { return strings.Contains(i.metrics(nil), "filaia_audit_differences 0\n") })
	i.prints(`{"name":"`+name+`","dropped":true}`, false, "retention", "drop", name)
	out, _, err := i.try("", "retention", "list")
	if err != nil || !strings.Contains(out, name) || strings.Contains(out, "  -\n") {
		t.Errorf("%v\n%s", err, out)
	}
	s.stop()
}
