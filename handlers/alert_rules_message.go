package handlers

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/alerts"
)

// sampleOf says which message a rule sends, in few words that fit an address.
type sampleOf struct {
	metric    alert.Metric
	audience  alert.Audience
	unit      alert.Unit
	threshold int64
	whole     bool // about the installation as a whole, not about a customer
}

// ruleSample is the message of the rule's highest threshold.
func ruleSample(r alert.Rule) sampleOf {
	s := sampleOf{metric: r.Metric, audience: r.Audience, unit: r.Unit, whole: r.OfWhole()}
	if len(r.Thresholds) > 0 {
		s.threshold = slices.Max(r.Thresholds)
	}
	return s
}

func (s sampleOf) frame(lang i18n.Lang) string {
	q := url.Values{"metric": {string(s.metric)}, "audience": {string(s.audience)}, "unit": {string(s.unit)},
		"threshold": {strconv.FormatInt(s.threshold, 10)}, "lang": {string(lang)}}
	if s.whole {
		q.Set("whole", "yes")
	}
	return rulesPath + "/message/frame?" + q.Encode()
}

// sampleQuery reads what frame wrote. What no rule could send leads to no page.
func sampleQuery(c *fiber.Ctx) (s sampleOf, lang i18n.Lang, err error) {
	missing := fault.New(fault.NotFound, "problem.no_page")
	s = sampleOf{metric: alert.Metric(c.Query("metric")), audience: alert.Audience(c.Query("audience")), unit: alert.Unit(c.Query("unit"))}
	kind, known := s.metric.Kind()
	if !known || !slices.Contains(kind.Audiences, s.audience) || !slices.Contains(kind.Units, s.unit) {
		return s, "", missing
	}
	if s.threshold, err = strconv.ParseInt(c.Query("threshold"), 10, 64); err != nil || s.threshold < 0 || s.threshold > 1<<53 {
		return s, "", missing
	}
	s.whole = c.Query("whole") != ""
	ofAll := alert.Rule{Metric: s.metric, Audience: s.audience, Scope: alert.All}
	lang, known = i18n.Parse(c.Query("lang"))
	if !known || s.whole && !ofAll.OfWhole() {
		return s, "", missing
	}
	return s, lang, nil
}

// text renders the sample in a language, with the links of this installation.
func (p *Panel) sampleText(ctx context.Context, s sampleOf, lang i18n.Lang) (alert.Text, error) {
	if p.Notices == nil {
		return alert.Text{}, fault.New(fault.Unavailable, "alerts.message_none")
	}
	n := alert.Sample(s.metric, s.audience, s.threshold, s.unit, p.Now().In(p.Zone))
	n.Language = lang
	if s.whole {
		n = n.OfWhole()
	}
	if p.PublicURL.Host != "" {
		n.PublicURL = p.PublicURL.Scheme + "://" + p.PublicURL.Host
		if n.Unsubscribe != "" {
			n.Unsubscribe = n.PublicURL + "/unsubscribe"
		}
	}
	return p.Notices.Render(ctx, n)
}

// ruleMessage is the page of what a rule's message says.
func (p *Panel) ruleMessage(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	r, err := p.AlertRules.AlertRule(c.UserContext(), id)
	if err != nil {
		return err
	}
	return p.showMessage(c, r)
}

// typedRuleMessage is the same for the rule in the form: in a dialog beside it, or as a page.
func (p *Panel) typedRuleMessage(c *fiber.Ctx) error {
	f := readForm(c)
	t := readRule(f)
	kind, known := t.Metric.Kind()
	if !known || !slices.Contains(kind.Units, t.Unit) || !slices.Contains(kind.Audiences, t.Audience) {
		return fault.New(fault.Invalid, "alerts.words_missing")
	}
	if _, unreadable := problemsOf(f.Err())["thresholds"]; unreadable || len(t.Thresholds) == 0 || t.checkThresholds() != nil {
		t.Thresholds = usualIn(t.Metric, t.Unit)
	}
	return p.showMessage(c, t.Rule)
}

// checkThresholds tells whether the thresholds could be saved.
func (t *typedRule) checkThresholds() error {
	rule := t.Rule
	if wrong, bad := problemsOf(rule.Validate())["thresholds"]; bad {
		return fault.New(fault.Invalid, wrong.Key, wrong.Args...)
	}
	return nil
}

func (p *Panel) showMessage(c *fiber.Ctx, r alert.Rule) error {
	say, sample := at(c).Say, ruleSample(r)
	m := alerts.MessageModel{Frame: p.frame(c, say.T("alerts.message_title"), "alerts")}
	langs := []i18n.Lang{i18n.PtBR, i18n.En}
	if say.Lang() == i18n.En {
		slices.Reverse(langs)
	}
	for _, lang := range langs {
		text, err := p.sampleText(c.UserContext(), sample, lang)
		if err != nil {
			return err
		}
		m.Texts = append(m.Texts, alerts.MessageText{Lang: string(lang), Language: say.T("alerts.language." + string(lang)), Subject: text.Subject, Plain: text.Plain, Source: sample.frame(lang)})
	}
	if r.ID != 0 {
		m.Rule = ruleTitle(say, r)
	}
	return p.render(c, alerts.MessagePage(m), alerts.MessagePart(say, m))
}

// ruleMessageFrame is the message itself, for a frame of these pages alone: it may bring its own styles, but runs and loads nothing.
func (p *Panel) ruleMessageFrame(c *fiber.Ctx) error {
	sample, lang, err := sampleQuery(c)
	if err != nil {
		return err
	}
	text, err := p.sampleText(c.UserContext(), sample, lang)
	if err != nil {
		return err
	}
	return framed(c, text.HTML)
}
