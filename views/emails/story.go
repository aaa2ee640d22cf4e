package emails

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/i18n"
)

// tone is how pressing a message is.
type tone string

const (
	info tone = "info"
	warn tone = "warn"
	bad  tone = "bad"
	good tone = "good"
)

type link struct{ label, href string }

// fact is one line of figures.
type fact struct{ label, value string }

// story is what there is to say of one alert.
type story struct {
	tone    tone
	subject string // what has happened, in one line
	lead    string
	figure  string // the number that matters
	caption string // of what
	filled  int64  // hundredths of a percent of the bar; negative: no bar
	facts   []fact
	todo    bool     // next is only what can be done
	next    []string // what happens from here on, and what can be done
	button  link
}

// teller tells one alert to one reader.
type teller struct {
	i18n.Printer
	Alert
	customer bool
	base     string // of links
	now      time.Time
}

// t is the text of key, filled from args; it is of the family of this package.
func (t *teller) t(key string, args ...any) string { return t.Printer.T("emails."+key, args...) }

// to is key for the reader: the customer's words end in ".you", the team's in ".them".
func (t *teller) to(key string, args ...any) string {
	if t.customer {
		return t.t(key+".you", args...)
	}
	return t.t(key+".them", args...)
}

// tell finds the words for the alert's metric.
func (t *teller) tell() (story, error) {
	var s story
	switch t.Metric {
	case "input_quota", "output_quota":
		s = t.quota()
	case "forecast":
		s = t.forecast()
	case "overage":
		s = t.overage()
	case "spend_cap":
		s = t.spendCap()
	case "error_rate":
		s = t.errorRate()
	case "latency_p95":
		s = t.latency()
	case "sudden_change":
		s = t.sudden()
	case "key_unused":
		s = t.keyUnused()
	case "key_address":
		s = t.keyAddress()
	default:
		if t.customer {
			return story{}, fmt.Errorf("an alert of %q is not for customers", t.Metric)
		}
		var known bool
		if s, known = t.platform(); !known {
			return story{}, fmt.Errorf("no words for alerts of %q", t.Metric)
		}
	}
	if !t.customer && t.Tenant != "" {
		s.subject = t.Tenant + ": " + lowered(s.subject)
		s.facts = append([]fact{{t.t("fact.tenant"), t.Tenant}}, s.facts...)
	}
	s.subject = bounded(s.subject, subjectLength) // names are clean
	return s, nil
}

// lowered begins a sentence in lower case, as after a colon.
func lowered(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	if second, _ := utf8.DecodeRuneInString(text[size:]); !unicode.IsLower(second) && second != ' ' { // R$, an abbreviation
		return text
	}
	return string(unicode.ToLower(r)) + text[size:]
}

// fact adds a line of figures, unless there is none.
func (s *story) fact(label, value string) {
	if strings.TrimSpace(value) != "" {
		s.facts = append(s.facts, fact{label, value})
	}
}

// at adds when something was, where that is known.
func (t *teller) at(s *story, label string, when time.Time) {
	if !when.IsZero() {
		s.fact(t.t(label), t.DateTime(when))
	}
}

// ofCustomer is the page with the customer's use and plan, or where all customers are seen.
func (t *teller) ofCustomer() link {
	switch {
	case t.customer:
		return link{t.t("button.portal"), t.base + "/portal"}
	case t.TenantID != 0:
		return link{t.t("button.tenant"), fmt.Sprintf("%s/tenants/%d", t.base, t.TenantID)}
	}
	return link{t.t("button.panel"), t.base + "/"}
}

// ofKey is the page of the alert's key.
func (t *teller) ofKey() link {
	switch {
	case t.customer:
		return link{t.t("button.keys"), t.base + "/portal/keys"}
	case t.KeyID != 0:
		return link{t.t("button.key"), fmt.Sprintf("%s/keys/%d", t.base, t.KeyID)}
	}
	return link{t.t("button.keys_all"), t.base + "/keys"}
}

func alertURL(base string, customer bool, id int64) string {
	if customer {
		return fmt.Sprintf("%s/portal/alerts/%d", base, id)
	}
	return fmt.Sprintf("%s/alerts/%d", base, id)
}
