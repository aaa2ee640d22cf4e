package i18n

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMatchPrefersTheCookieThenTheMostWantedLanguage(t *testing.T) {
	cases := []struct {
		name, accept, cookie string
		want                 Lang
	}{
		{"nothing said", "", "", PtBR},
		{"cookie wins", "pt-BR", "en", En},
		{"unknown cookie is ignored", "en", "fr", En},
		{"first of equals", "en-US,pt-BR", "", En},
		{"weights", "en;q=0.5, pt;q=0.9", "", PtBR},
		{"unknown languages are passed over", "fr-FR,de;q=0.9,en;q=0.2", "", En},
		{"refused language", "en;q=0", "", PtBR},
		{"nonsense", ";;;q=x,,", "", PtBR},
	}
	for _, c := range cases {
		if got := Match(c.accept, c.cookie); got != c.want {
			t.Errorf("%s: Match(%q, %q) = %s, want %s", c.name, c.accept, c.cookie, got, c.want)
		}
	}
}

func TestTFillsPlaceholdersAndCounts(t *testing.T) {
	pt := NewPrinter(PtBR, nil)
	check(t, []struct{ name, got, want string }{
		{"one", pt.T("format.ago.days", "n", 1), "há 1\u00a0dia"},
		{"other, with thousands", pt.T("format.ago.days", "n", 1500), "há 1.500\u00a0dias"},
		{"string", pt.T("format.yesterday", "time", "14:05"), "ontem às 14:05"},
		{"with decimals", pt.T("format.ago.days", "n", 0.01), "há 0,01\u00a0dias"},
		{"a value is no template", pt.T("format.month_year", "month", "{year}", "year", 3), "{year} de 3"},
		{"missing key", pt.T("no.such.key", "n", 1), "no.such.key"},
	})
}

func TestLoadRefusesBrokenCatalogues(t *testing.T) {
	cases := map[string]fstest.MapFS{
		"key in two families": {"l/a.json": {Data: []byte(`{"k":"x"}`)}, "l/b.json": {Data: []byte(`{"k":"y"}`)}},
		"not JSON":            {"l/a.json": {Data: []byte(`{`)}},
		"plural lacks other":  {"l/a.json": {Data: []byte(`{"k":{"one":"x"}}`)}},
	}
	for name, files := range cases {
		if _, err := load(files, "l"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

func TestBothLanguagesHaveTheSameKeysAndPlaceholders(t *testing.T) {
	pt, en := loaded()[PtBR], loaded()[En]
	for key := range en {
		if _, ok := pt[key]; !ok {
			t.Errorf("key %q is in en and not in pt-BR", key)
		}
	}
	for key, a := range pt {
		b, ok := en[key]
		if !ok {
			t.Errorf("key %q is in pt-BR and not in en", key)
			continue
		}
		if (a.One == "") != (b.One == "") {
			t.Errorf("key %q is counted in one language only", key)
		}
		if x, y := names(a.Other), names(b.Other); !slices.Equal(x, y) {
			t.Errorf("key %q: placeholders %v in pt-BR, %v in en", key, x, y)
		}
		if strings.TrimSpace(a.Other) == "" || strings.TrimSpace(b.Other) == "" {
			t.Errorf("key %q has an empty text", key)
		}
	}
}

func names(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// usedKey finds the key literals of .T("…"), fault.New(kind, "…"), form.Reject(name, "…") and form.Check(ok, name, "…").
var usedKey = regexp.MustCompile(`(?:\.T\(|fault\.New\(fault\.\w+,\s*|\.(?:Check|Reject)\([^\n]*?(?:"\w+"|\w+),\s*)"([a-z]\w*\.[\w.]*)"`)

var comment = regexp.MustCompile(`(?m)^\s*//.*$`)

func TestEveryKeyInTheSourcesHasAText(t *testing.T) {
	texts := loaded()[PtBR]
	used := keysInSources(t, "../..")
	if len(used) == 0 {
		t.Fatal("found no key in any source file: the scan is broken")
	}
	for key, where := range used {
		if strings.HasSuffix(key, ".") { // completed at run time: "plans.status." + status
			if !anyWithPrefix(texts, key) {
				t.Errorf("%s: no key begins with %q", where, key)
			}
			continue
		}
		if _, ok := texts[key]; !ok {
			t.Errorf("%s: key %q has no text", where, key)
		}
	}
}

func anyWithPrefix(texts catalogue, prefix string) bool {
	for key := range texts {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// keysInSources maps each key used below root to a file that uses it.
func keysInSources(t *testing.T, root string) map[string]string {
	t.Helper()
	used := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name != ".." && strings.HasPrefix(name, ".") || name == "node_modules" || name == "data" {
				return filepath.SkipDir
			}
			return nil
		}
		source := strings.HasSuffix(name, ".templ") || strings.HasSuffix(name, ".go")
		if !source || strings.HasSuffix(name, "_templ.go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range usedKey.FindAllStringSubmatch(comment.ReplaceAllString(string(text), ""), -1) {
			used[m[1]] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}
