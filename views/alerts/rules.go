package alerts

import (
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// RulesModel is the page of all rules. Rows come by audience.
type RulesModel struct {
	Frame   layout.Model
	Table   ui.TableModel
	Rows    []Rule
	MayEdit bool
	Missing int // rules of a new installation that are not there any more
}

const rulesPath = "/alerts/rules"

func (r Rule) href() string { return rulesPath + "/" + r.ID }

func (r Rule) deleteID() string { return "delete-" + r.ID }

// title is what a rule is called: by its name, else by what it says.
func (r Rule) title(p i18n.Printer) string {
	if r.Name != "" {
		return r.Name
	}
	return r.When(p)
}

// heads tells whether row i begins an audience.
func (m RulesModel) heads(i int) bool { return i == 0 || m.Rows[i].Audience != m.Rows[i-1].Audience }

func (r Rule) menu(f layout.Model, mayEdit bool) []ui.MenuItem {
	p := f.Printer
	message := ui.MenuItem{Label: p.T("alerts.menu.message"), Icon: "mail", Href: r.href() + "/message"}
	if !mayEdit {
		return []ui.MenuItem{message}
	}
	return []ui.MenuItem{
		{Label: p.T("alerts.menu.edit"), Icon: "pencil", Href: r.href()},
		{Label: p.T("alerts.menu.copy"), Icon: "copy", Href: rulesPath + "/new?from=" + r.ID},
		message,
		{Label: p.T("alerts.menu.delete"), Icon: "trash", Opens: r.deleteID(), Danger: true},
	}
}

func (r Rule) deleteText(p i18n.Printer) string {
	if r.Nearer {
		return p.T("alerts.delete_nearer")
	}
	return p.T("alerts.delete_all")
}

// toggle names the switch by what pressing it does.
func (r Rule) toggle(p i18n.Printer) string {
	if r.Enabled {
		return p.T("alerts.toggle_off", "name", r.title(p))
	}
	return p.T("alerts.toggle_on", "name", r.title(p))
}

func (r Rule) switchTo() string {
	if r.Enabled {
		return "off"
	}
	return "on"
}
