package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/fila-ia/filaia/"

// floors says on which floor each package stands; imports go down only. On floors 1 and 2 neighbours may know each
// other (Go keeps them from knowing each other in a circle); on floor 3 they may not: cmd wires them.
var floors = map[string]int{
	"internal/config": 0, "internal/fault": 0, "internal/money": 0, "internal/i18n": 0, "internal/tokenizer": 0, "internal/secret": 0,
	"internal/cache": 1, "internal/breaker": 1, "internal/tenancy": 1, "internal/usage": 1, "internal/quota": 1, "internal/ledger": 1, "internal/ratelimit": 1,
	"internal/gateway": 2, "internal/alert": 2, "internal/jobs": 2, "internal/demo": 2, "internal/probe": 2,
	"internal/upstream": 3, "internal/mail": 3, "internal/webhook": 3, "internal/pglocal": 3, "internal/openaitest": 3, "store": 3, "handlers": 3, "handlers/v1": 3,
	"migrations": 2, "static": 0, "views": 1, // views and its folders
	"store/storetest": 4, "internal/redistest": 4, "internal/mail/mailtest": 4, "cmd/filaia": 5, "bench": 5, "bench/dashboard": 5, "bench/soak": 5,
}

// exceptions to the floors, each for a reason.
var exceptions = map[[2]string]string{
	{"store/storetest", "internal/pglocal"}: "test databases need a server",
	{"store/storetest", "migrations"}:       "and a schema",
}

// forbidden imports, whatever the floors say: who (and what lies below it) must never import what.
var forbidden = [][2]string{
	{"handlers", "github.com/jmoiron/sqlx"},
	{"handlers", "github.com/lib/pq"},
	{"handlers", module + "internal/gateway"}, // but handlers/v1
	{"handlers/v1", module + "views"},
	{"views", module + "internal/tenancy"},
	{"views", module + "internal/usage"},
	{"internal", module + "store"},
	{"internal", module + "views"},
	{"internal", module + "handlers"},
	{"internal", module + "migrations"},
	{"internal", module + "static"},
}

func below(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func TestImportsGoDownOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg, ours := strings.CutPrefix(words[0], module)
		if !ours {
			continue
		}
		seen++
		for _, imported := range words[1:] {
			checkImport(t, pkg, imported)
		}
	}
	if seen < 20 {
		t.Fatalf("go list told of %d packages only", seen)
	}
}

func checkImport(t *testing.T, pkg, imported string) {
	for _, f := range forbidden {
		if below(pkg, f[0]) && below(imported, f[1]) && !(f[0] == "handlers" && pkg == "handlers/v1" && f[1] == module+"internal/gateway") {
			t.Errorf("%s must not import %s", pkg, imported)
		}
	}
	target, ours := strings.CutPrefix(imported, module)
	if !ours || exceptions[[2]string{pkg, target}] != "" {
		return
	}
	from, to := floorOf(t, pkg), floorOf(t, target)
	sameRoom := strings.Split(pkg, "/")[0] == "views" && strings.Split(target, "/")[0] == "views"
	if to > from || to == from && !sameRoom && (from == 0 || from >= 3) {
		t.Errorf("%s (floor %d) must not import %s (floor %d)", pkg, from, target, to)
	}
}

func floorOf(t *testing.T, pkg string) int {
	if below(pkg, "views") {
		return floors["views"]
	}
	floor, ok := floors[pkg]
	if !ok {
		t.Errorf("%s stands on no floor: add it to the list, and to docs/architecture.md", pkg)
	}
	return floor
}
