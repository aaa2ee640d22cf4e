package tenancy

// PageSize is how many rows a list page has.
const PageSize = 50

// ListQuery is what a list page was asked for. Unknown Sort or Status values mean the list's default.
type ListQuery struct {
	Search   string // matched without regard to case
	Status   string // the list's own words; empty: all
	Sort     string // column name of the list
	Desc     bool
	Page     int   // from 1
	TenantID int64 // only of this tenant; 0: all
	PlanID   int64 // only those on this plan; 0: all
}

// Offset is the number of rows before the page.
func (q ListQuery) Offset() int { return (max(q.Page, 1) - 1) * PageSize }

// Page is one page of a list and how many rows there are in all.
type Page[T any] struct {
	Items []T
	Total int
}
