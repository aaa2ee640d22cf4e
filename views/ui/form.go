package ui

import "github.com/a-h/templ"

// FormModel opens a form that posts. Without JavaScript it is an ordinary one: answer 303 when it worked, and 422
// with the whole page, values kept, when it did not.
type FormModel struct {
	Action string
	CSRF   string           // token, sent as field "csrf"
	Error  string           // what is wrong as a whole, above the fields; optional
	Attrs  templ.Attributes // such as hx-post, hx-target
}

// Field is one input with its label above, its help under it and its error beside it.
type Field struct {
	Name         string // also the id, as "f-" + Name
	Label        string
	Help         string
	Value        string // what was typed, kept
	Error        string // what is wrong with it
	Placeholder  string
	Prefix       string // text before the input: "R$" (MoneyField sets it)
	Suffix       string // text after: "tokens"
	Optional     bool   // says so beside the label; all others are required
	Disabled     bool
	Autofocus    bool
	Autocomplete string // HTML autofill token: "username", "new-password"
	MaxLength    int
	Rows         int      // TextArea only, default 4
	Options      []Option // SelectField, RadioCards, CheckboxGroup
	Attrs        templ.Attributes
}

// Option is one choice. Text explains a RadioCards or CheckboxGroup choice. SelectField and RadioCards choose the one
// whose Value is the field's; CheckboxGroup those that are Checked.
type Option struct {
	Value, Label, Text string
	Checked            bool
}

// Unmanaged are the attributes of a field that password managers and spelling leave alone.
func Unmanaged() templ.Attributes {
	return templ.Attributes{"spellcheck": "false", "data-1p-ignore": "", "data-lpignore": "true"}
}

func (f Field) id() string { return "f-" + f.Name }

func (f Field) optionID(i int) string { return f.id() + "-" + itoa(i) }

// describedBy names the elements that explain the input to a screen reader.
func (f Field) describedBy() string {
	switch {
	case f.Error != "" && f.Help != "":
		return f.id() + "-error " + f.id() + "-help"
	case f.Error != "":
		return f.id() + "-error"
	case f.Help != "":
		return f.id() + "-help"
	}
	return ""
}

// inputAttrs are the attributes every kind of input shares.
func (f Field) inputAttrs() templ.Attributes {
	a := templ.Attributes{"id": f.id(), "name": f.Name, "required": !f.Optional, "disabled": f.Disabled, "autofocus": f.Autofocus}
	set := func(name, value string) {
		if value != "" {
			a[name] = value
		}
	}
	set("aria-describedby", f.describedBy())
	set("placeholder", f.Placeholder)
	set("autocomplete", f.Autocomplete)
	if f.Error != "" {
		a["aria-invalid"] = "true"
	}
	if f.MaxLength > 0 {
		a["maxlength"] = itoa(f.MaxLength)
	}
	for k, v := range f.Attrs {
		a[k] = v
	}
	return a
}

func (f Field) rows() string {
	if f.Rows == 0 {
		return "4"
	}
	return itoa(f.Rows)
}

func (f Field) with(change func(*Field)) Field {
	change(&f)
	return f
}
