package ui_test

import (
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/ui"
)

func region(t *testing.T, query string, total int64) string {
	t.Helper()
	m := plans(query)
	m.Total = total
	return draw(t, ui.TableRegion(printer(t, i18n.PtBR), m))
}

func TestTableLinksKeepTheStateOfTheURL(t *testing.T) {
	html := region(t, "q=a%26b&sort=price&dir=desc&page=2&status=draft", 120)
	cases := map[string]string{
		"sorting anew goes to page one":      `href="/plans?dir=asc&amp;q=a%26b&amp;sort=name&amp;status=draft"`,
		"sorting again turns around":         `href="/plans?dir=asc&amp;q=a%26b&amp;sort=price&amp;status=draft"`,
		"a chip goes to page one":            `href="/plans?dir=desc&amp;q=a%26b&amp;sort=price"`,
		"next page":                          `href="/plans?dir=desc&amp;page=3&amp;q=a%26b&amp;sort=price&amp;status=draft"`,
		"page one has no number":             `href="/plans?dir=desc&amp;q=a%26b&amp;sort=price&amp;status=draft"`,
		"the search form keeps the filter":   `<input type="hidden" name="status" value="draft" form="plans-table-search">`,
		"the head tells how rows are sorted": `aria-sort="descending"`,
		"rows shown":                         "51–100 de 120",
	}
	for name, part := range cases {
		if !strings.Contains(html, part) {
			t.Errorf("%s: no %s", name, part)
		}
	}
	if strings.Contains(html, `name="q"`) || strings.Contains(html, `name="page"`) {
		t.Error("a new search would keep the old text or page")
	}
}

func TestTheSortedColumnTurnsAround(t *testing.T) {
	html := region(t, "sort=name&dir=asc", 3)
	if !strings.Contains(html, `href="/plans?dir=desc&amp;sort=name"`) {
		t.Error("a column sorted upwards does not lead to downwards")
	}
}

func TestAnEmptyTableSaysWhy(t *testing.T) {
	cases := []struct{ name, query, want, not string }{
		{"nothing there yet", "", "Um plano diz quanto se pode usar.", "Limpar busca"},
		{"nothing found", "q=xyz", "Limpar busca", "Um plano diz"},
		{"filtered away", "status=draft", "Limpar busca", "Um plano diz"},
	}
	for _, c := range cases {
		html := region(t, c.query, 0)
		if !strings.Contains(html, c.want) || strings.Contains(html, c.not) || strings.Contains(html, "<table") {
			t.Errorf("%s: %s", c.name, html)
		}
	}
}

func TestPagerLeavesOutWhatLeadsNowhere(t *testing.T) {
	cases := []struct {
		name, query string
		total       int64
		prev, next  bool
	}{
		{"one page", "", 50, false, false},
		{"first of two", "", 51, false, true},
		{"last of two", "page=2", 51, true, false},
		{"beyond the last", "page=99", 51, true, false},
		{"nonsense", "page=-3", 51, false, true},
	}
	for _, c := range cases {
		html := region(t, c.query, c.total)
		if strings.Contains(html, `rel="prev"`) != c.prev || strings.Contains(html, `rel="next"`) != c.next {
			t.Errorf("%s: previous %v, next %v expected", c.name, c.prev, c.next)
		}
	}
}
