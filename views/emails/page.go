package emails

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/fila-ia/filaia/internal/i18n"
)

// page is a message in its words, as both the HTML and the text show it.
type page struct {
	say       i18n.Printer
	subject   string
	tone      tone
	label     string // of the tone
	when      string
	banner    string // that nobody has acknowledged it
	greeting  string
	title     string
	lead      []string
	figure    string
	caption   string
	filled    int64 // hundredths of a percent of the bar; negative: no bar
	facts     []fact
	chart     *chart
	nextTitle string
	next      []string
	listTitle string
	list      []item
	rest      link // what is not listed
	button    link
	also      link // beside the button
	why       []string
	settings  link
	leave     link // unsubscribe
	sender    string
	short     string
}

// item is one of several alerts.
type item struct {
	tone        tone
	label       string
	title, text string
	when        string
	href        string
}

// told is an alert with its words.
type told struct {
	Alert
	story
	passed []string // the lower thresholds that were passed too
}

// page composes the message.
func (m *Message) page() (*page, error) {
	pg := &page{say: m.Printer, when: m.Printer.DateTime(m.SentAt), filled: -1, sender: m.sender()}
	if m.Kind == Test {
		m.test(pg)
		return pg, nil
	}
	if m.Kind == Confirm {
		return pg, m.confirm(pg)
	}
	if len(m.Alerts) == 0 {
		return nil, errors.New("a message about no alert")
	}
	stories, err := m.stories()
	if err != nil {
		return nil, err
	}
	if m.Customer && m.Name != "" {
		pg.greeting = m.t("greeting", "name", m.Name)
	}
	m.footer(pg, stories[0])
	if m.Kind == Digest {
		m.digest(pg, stories)
		return pg, nil
	}
	m.one(pg, stories[0])
	if rest := stories[1:]; len(rest) > 0 {
		pg.listTitle = m.t("also.title", "n", len(rest))
		m.list(pg, rest)
		pg.subject = m.andMore(pg.subject, len(rest))
		pg.lead = append(pg.lead, m.t("also.lead", "n", len(rest)))
	}
	if m.Kind == Escalation {
		m.escalate(pg, stories[0])
	}
	pg.short = lines(pg.subject, first(pg.lead), first(pg.next))
	return pg, nil
}

func (m *Message) t(key string, args ...any) string { return m.Printer.T("emails."+key, args...) }

// stories are what is to be told, the most pressing first. Thresholds of one metric and subject make one story.
func (m *Message) stories() ([]told, error) {
	type family struct{ subject, metric string }
	var stories []told
	at := map[family]int{}
	for _, a := range leadsFirst(m.Alerts) {
		f := family{a.Subject, a.Metric}
		if i, met := at[f]; met && a.Subject != "" {
			if a.Unit == stories[i].Unit && a.Threshold < stories[i].Threshold {
				stories[i].passed = append(stories[i].passed, quantity(m.Printer, a.Unit, a.Threshold))
			}
			continue
		}
		at[f] = len(stories)
		s, err := (&teller{m.Printer, a, m.Customer, m.PublicURL, m.SentAt}).tell()
		if err != nil {
			return nil, err
		}
		stories = append(stories, told{Alert: a, story: s})
	}
	slices.SortStableFunc(stories, func(a, b told) int {
		return cmp.Or(compareBool(a.over() != "", b.over() != ""), compareBool(a.Resolved, b.Resolved), b.tone.rank()-a.tone.rank())
	})
	return stories, nil
}

// over is what has become of the alert while its message waited; "": it is open.
func (t *told) over() string {
	switch {
	case t.Resolved:
		return "resolved"
	case t.Acknowledged:
		return "acknowledged"
	}
	return ""
}

// leadsFirst orders alerts so that the one that stands for others comes before them.
func leadsFirst(alerts []Alert) []Alert {
	ordered := slices.Clone(alerts)
	slices.SortStableFunc(ordered, func(a, b Alert) int {
		if a.Subject == b.Subject && a.Metric == b.Metric && a.Lead == b.Lead && a.Unit == b.Unit {
			return cmp.Compare(b.Threshold, a.Threshold)
		}
		return compareBool(!a.Lead, !b.Lead)
	})
	return ordered
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (t tone) rank() int { return slices.Index([]tone{good, info, warn, bad}, t) }

// one tells a single alert with all its figures.
func (m *Message) one(pg *page, s told) {
	pg.subject, pg.title, pg.tone, pg.label = s.subject, s.subject, s.tone, m.t("tone."+string(s.tone))
	if !s.RaisedAt.IsZero() { // which the figures are of; when it was sent stands at the end
		pg.when = m.Printer.DateTime(s.RaisedAt)
	}
	if over := s.over(); over != "" && m.Kind != Escalation {
		pg.tone, pg.label = good, m.t("tone."+over)
		pg.subject = bounded(m.t("over.subject", "state", pg.label, "subject", s.subject), subjectLength)
	}
	pg.figure, pg.caption, pg.filled = s.figure, s.caption, s.filled
	pg.facts, pg.next, pg.button = s.facts, s.next, s.button
	pg.nextTitle = m.t("next.title")
	if s.todo {
		pg.nextTitle = m.t("next.todo")
	}
	if s.lead != "" {
		pg.lead = append(pg.lead, s.lead)
	}
	if len(s.passed) > 0 {
		pg.lead = append(pg.lead, m.t("passed", "n", len(s.passed), "thresholds", m.enumerate(s.passed)))
	}
	pg.also = link{m.t("confirm"), alertURL(m.PublicURL, m.Customer, s.ID)}
	if s.TenantID != 0 && !strings.HasPrefix(s.Metric, "key_") { // all keys' tokens say nothing of one
		pg.chart = newChart(m.Printer, m.Days)
	}
}

// escalate says that nobody has acknowledged the alert, and makes that the thing to do.
func (m *Message) escalate(pg *page, s told) {
	pg.tone, pg.label = bad, m.t("tone.escalation")
	pg.banner = m.t("escalation.banner")
	subject := m.t("escalation.subject", "subject", pg.subject)
	if waited := m.SentAt.Sub(s.RaisedAt).Truncate(60e9); !s.RaisedAt.IsZero() && waited > 0 {
		pg.banner = m.t("escalation.banner_since", "time", lasting(m.Printer, waited), "since", m.Printer.DateTime(s.RaisedAt))
		subject = m.t("escalation.subject_since", "time", lasting(m.Printer, waited), "subject", pg.subject)
	}
	pg.subject = bounded(subject, subjectLength)
	pg.button, pg.also = link{m.t("confirm.button"), pg.also.href}, pg.button
}

// digest lists what was collected.
func (m *Message) digest(pg *page, stories []told) {
	first := stories[0]
	pg.tone, pg.label = first.tone, m.t("tone.digest")
	pg.subject = m.t("digest.subject", "subject", m.andMore(first.subject, len(stories)-1))
	pg.subject = bounded(pg.subject, subjectLength)
	pg.title = m.t("digest.title", "n", len(stories))
	pg.lead = []string{m.t("digest.lead", "n", len(stories))}
	m.list(pg, stories)
	pg.button = link{m.t("button.alerts"), m.history()}
	if m.Customer && first.TenantID != 0 {
		pg.chart = newChart(m.Printer, m.Days)
	}
	pg.short = m.digestShort(pg.subject, stories)
}

// mostShort is how many alerts a digest names in a chat.
const mostShort = 10

// digestShort names what was collected, a line each; of a single alert it says what a message about it would.
func (m *Message) digestShort(subject string, stories []told) string {
	if len(stories) == 1 {
		return lines(subject, stories[0].lead, first(stories[0].next))
	}
	short := []string{subject}
	for _, s := range stories[:min(len(stories), mostShort)] {
		line := "• " + s.subject
		if s.Resolved {
			line += " (" + lowered(m.t("tone.resolved")) + ")"
		}
		short = append(short, line)
	}
	if more := len(stories) - mostShort; more > 0 {
		short = append(short, m.t("list.more", "n", more))
	}
	return lines(short...)
}

// mostListed bounds a message: readers' programs cut what is longer than a hundred kilobytes, and servers refuse megabytes.
const mostListed = 25

// list puts alerts into the page, the first ones one by one.
func (m *Message) list(pg *page, stories []told) {
	if more := len(stories) - mostListed; more > 0 {
		stories = stories[:mostListed]
		pg.rest = link{m.t("list.more", "n", more), m.history()}
	}
	pg.list = m.items(stories)
}

// history is the page of all alerts.
func (m *Message) history() string {
	if m.Customer {
		return m.PublicURL + "/portal/alerts"
	}
	return m.PublicURL + "/alerts"
}

// items are the lines of a list of alerts.
func (m *Message) items(stories []told) []item {
	items := make([]item, len(stories))
	for i, s := range stories {
		it := item{tone: s.tone, label: m.t("tone." + string(s.tone)), title: s.subject, text: s.lead, href: alertURL(m.PublicURL, m.Customer, s.ID)}
		if over := s.over(); over != "" {
			it.tone, it.label = good, m.t("tone."+over)
		}
		if len(s.passed) > 0 {
			it.text = joined(it.text, m.t("passed", "n", len(s.passed), "thresholds", m.enumerate(s.passed)))
		}
		if !s.RaisedAt.IsZero() {
			it.when = m.Printer.DateTime(s.RaisedAt)
		}
		items[i] = it
	}
	return items
}

// test tells that messages arrive.
func (m *Message) test(pg *page) {
	pg.subject, pg.title = m.t("test.subject"), m.t("test.title")
	pg.tone, pg.label = good, m.t("tone.test")
	pg.lead = []string{m.t("test.lead")}
	pg.facts = []fact{{m.t("fact.sent"), pg.when}, {m.t("fact.from"), m.host()}}
	pg.nextTitle, pg.next = m.t("next.todo"), []string{m.t("test.next")}
	pg.button = link{m.t("button.panel"), m.PublicURL + "/"}
	pg.why = []string{m.t("test.why")}
	if m.Customer {
		pg.button = link{m.t("button.portal"), m.PublicURL + "/portal"}
	}
	pg.short = lines(pg.subject, m.t("test.lead"))
}

// footer says why the message came, and how to have fewer.
func (m *Message) footer(pg *page, s told) {
	who := "why.team"
	if m.Customer {
		who = "why.customer"
	}
	limit := quantity(m.Printer, s.Unit, s.Threshold)
	if s.Metric == "provider_429" {
		limit = m.t("refusals", "n", s.Threshold)
	}
	switch {
	case m.Customer && s.Tenant == "":
		pg.why = append(pg.why, m.t("why.reader"))
	case m.Kind == Digest:
		pg.why = append(pg.why, m.t(who+".digest", "tenant", s.Tenant))
	case s.Rule != "":
		pg.why = append(pg.why, m.t(who+".rule", "tenant", s.Tenant, "rule", s.Rule))
	case s.Metric == "key_address":
		pg.why = append(pg.why, m.t(who+".address", "tenant", s.Tenant))
	case s.Metric == "sudden_change":
		pg.why = append(pg.why, m.t(who+".sudden", "tenant", s.Tenant))
	default:
		pg.why = append(pg.why, m.t(who+".threshold", "tenant", s.Tenant, "threshold", limit))
	}
	pg.settings = link{m.t("settings.team"), m.PublicURL + "/alerts/rules"}
	if m.Customer {
		pg.settings = link{m.t("settings.customer"), m.PublicURL + "/portal/alerts/settings"}
	}
	if m.Unsubscribe != "" {
		pg.leave = link{m.t("unsubscribe"), m.Unsubscribe}
		if slices.ContainsFunc(m.Alerts, func(a Alert) bool { return a.Metric != m.Alerts[0].Metric }) { // that link ends them all
			pg.leave.label = m.t("unsubscribe_all")
		}
	}
}

func (m *Message) host() string {
	if u, err := url.Parse(m.PublicURL); err == nil && u.Host != "" {
		return u.Host
	}
	return "FILA-IA"
}

func (m *Message) sender() string {
	zone := m.Printer.Zone().String()
	if zone == "America/Sao_Paulo" {
		zone = m.t("zone.brasilia")
	}
	return m.t("sender", "host", m.host(), "when", m.Printer.DateTime(m.SentAt), "zone", zone)
}

func (m *Message) andMore(subject string, n int) string {
	if n == 0 {
		return subject
	}
	return bounded(m.t("and_more", "subject", bounded(subject, subjectLength-20), "n", n), subjectLength)
}

// enumerate is "50%, 80% e 90%".
func (m *Message) enumerate(words []string) string {
	words = slices.Clone(words)
	slices.Reverse(words) // the lowest first
	if len(words) == 1 {
		return words[0]
	}
	return m.t("and", "some", strings.Join(words[:len(words)-1], ", "), "last", words[len(words)-1])
}

func lines(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "\n")
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}
