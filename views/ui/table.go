package ui

import (
	"net/url"
	"strconv"

	"github.com/fila-ia/filaia/internal/i18n"
)

// PerPage is how many rows a page of a table has.
const PerPage = 50

// TableModel is a list page's table. Its whole state lives in the URL: q (search), sort, dir (asc or desc), page, and
// one parameter a filter.
type TableModel struct {
	ID       string     // DOM id of the part that htmx swaps, such as "plans-table"
	Path     string     // the page's address, such as "/plans"
	Query    url.Values // the request's query as it came
	Label    string     // names the table for screen readers
	Search   string     // placeholder of the search box; "" for none
	Columns  []Column
	Filters  []Filter
	CountKey string // catalogue key with one and other and {n}: "plans.count"
	Total    int64  // rows over all pages, after search and filters
	Empty    EmptyModel
}

// Column is one head. Sort is the value of the parameter sort; "" where the column does not sort.
type Column struct {
	Label   string
	Sort    string
	Numeric bool // right-aligned
	Hidden  bool // the label is for screen readers only, as over row menus
}

// Filter is a row of chips, one of which holds. The first option should have the value "", for all.
type Filter struct {
	Name    string // the parameter
	Label   string
	Options []Option
}

// Page is the page that query asks for, from 1.
func Page(query url.Values) int {
	n, err := strconv.Atoi(query.Get("page"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}

// Pages counts the pages, at least 1.
func (m TableModel) Pages() int { return max(1, int((m.Total+PerPage-1)/PerPage)) }

func (m TableModel) page() int { return min(Page(m.Query), m.Pages()) }

func (m TableModel) target() string { return "#" + m.ID }

func (m TableModel) searchID() string { return m.ID + "-search" }

// narrowed tells whether search or filters hide rows.
func (m TableModel) narrowed() bool {
	if m.Query.Get("q") != "" {
		return true
	}
	for _, f := range m.Filters {
		if m.Query.Get(f.Name) != "" {
			return true
		}
	}
	return false
}

// href is the page's address with some parameters changed; an empty value removes one.
func (m TableModel) href(pairs ...string) string {
	q := url.Values{}
	for name, values := range m.Query {
		q[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q[pairs[i]] = []string{pairs[i+1]}
		}
	}
	if len(q) == 0 {
		return m.Path
	}
	return m.Path + "?" + q.Encode()
}

// sortHref sorts by a column, or turns the order around where it is already sorted by it.
func (m TableModel) sortHref(c Column) string {
	dir := "asc"
	if m.Query.Get("sort") == c.Sort && m.Query.Get("dir") != "desc" {
		dir = "desc"
	}
	return m.href("sort", c.Sort, "dir", dir, "page", "")
}

func (m TableModel) ariaSort(c Column) string {
	switch {
	case c.Sort == "" || m.Query.Get("sort") != c.Sort:
		return "none"
	case m.Query.Get("dir") == "desc":
		return "descending"
	}
	return "ascending"
}

func (m TableModel) sortIcon(c Column) string {
	switch m.ariaSort(c) {
	case "ascending":
		return "chevron-up"
	case "descending":
		return "chevron-down"
	}
	return "selector"
}

// keptState is the state a new search keeps: everything but q and the page.
func (m TableModel) keptState() []Link {
	var kept []Link
	for name, values := range m.Query {
		if name != "q" && name != "page" && len(values) > 0 && values[0] != "" {
			kept = append(kept, Link{Label: name, Href: values[0]})
		}
	}
	return kept
}

func (m TableModel) rangeText(p i18n.Printer) string {
	first := int64(m.page()-1)*PerPage + 1
	last := min(first+PerPage-1, m.Total)
	return p.T("ui.table.range", "first", first, "last", last, "total", m.Total)
}

func pageParam(n int) string {
	if n <= 1 {
		return ""
	}
	return strconv.Itoa(n)
}

// MenuItem is one action of a row. Set Href, or Opens (a dialog's id), or Post (an address, with CSRF).
type MenuItem struct {
	Label, Icon string
	Href        string
	Opens       string
	Post, CSRF  string
	Danger      bool
}

func (i MenuItem) class() string {
	if i.Danger {
		return "menu-item menu-danger"
	}
	return "menu-item"
}
