package handlers

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/alerts"
)

// What a replay looks back over and shows.
const (
	replayDays  = 30
	replayNames = 8  // with how often each would have been told of
	replayLast  = 20 // newest alerts
	noisyPerDay = 10 // from here on, people stop reading
)

// replayRule tells what the rule in the form would have raised in the last days.
func (p *Panel) replayRule(c *fiber.Ctx) error {
	f := readForm(c)
	t := readRule(f)
	model, err := p.replayed(c, f, &t)
	if err != nil {
		return err
	}
	say := at(c).Say
	if wantsPartial(c) {
		part := alerts.ReplayCard(say, &model)
		return p.render(c, part, part)
	}
	m, err := p.typedRuleForm(c, f, t, f.id("id"))
	if err != nil {
		return err
	}
	m.Replay = &model
	return p.render(c, alerts.FormPage(m), nil)
}

func (p *Panel) replayed(c *fiber.Ctx, f *form, t *typedRule) (alerts.Replay, error) {
	words, err := p.wordsOf(c.UserContext(), f, t)
	if err != nil {
		return alerts.Replay{}, err
	}
	rule := t.Rule
	rule.Enabled = true // what it would tell if it were on
	_ = rule.Validate() // puts in order; what is wrong with who is told does not matter here
	if !words.OK {
		return alerts.Replay{Wrong: true, Mark: replayMark(t.Rule)}, nil
	}
	now := p.Now().In(p.Zone)
	from := now.AddDate(0, 0, -replayDays)
	got, err := p.AlertRules.Replay(c.UserContext(), rule, from, now)
	if err != nil {
		return alerts.Replay{}, err
	}
	m := replayModel(at(c).Say, got, from, now)
	m.Mark = replayMark(t.Rule)
	return m, nil
}

// replayMark changes with all that decides what a rule would have raised, and not with who is told of it.
func replayMark(r alert.Rule) string {
	return fmt.Sprint(r.Metric, r.Audience, r.Scope, r.PlanID, r.TenantID, r.KeyID, r.Unit, slices.Sorted(slices.Values(r.Thresholds)), r.Direction, r.Window)
}

// replayModel counts by whom the alerts are about. One message tells of what is raised together, but each counts here: a
// threshold is what can be changed.
func replayModel(say i18n.Printer, got alert.Replayed, from, now time.Time) alerts.Replay {
	m := alerts.Replay{Known: got.Known, Since: got.Since, Whole: !got.Since.After(from), Total: len(got.Fired), More: got.Truncated}
	count := map[string]*alerts.ReplayCount{}
	var order []*alerts.ReplayCount
	oldest := got.Since
	for i, fired := range got.Fired {
		about, href := firedAbout(fired)
		if i < replayLast {
			m.Last = append(m.Last, alerts.Fired{At: fired.At, About: about, Amount: alerts.Amount(say, string(fired.Metric), string(fired.Unit), fired.Threshold)})
		}
		one := count[fired.Subject.Key]
		if one == nil {
			one = &alerts.ReplayCount{Name: about, Href: href}
			if about == "" {
				one.Name = say.T("alerts.replay_installation")
			}
			count[fired.Subject.Key], order = one, append(order, one)
		}
		one.N++
	}
	slices.SortStableFunc(order, func(a, b *alerts.ReplayCount) int { return cmp.Compare(b.N, a.N) })
	for i, one := range order {
		if i == replayNames {
			m.Others = len(order) - replayNames
			break
		}
		m.By = append(m.By, *one)
	}
	if got.Truncated && len(got.Fired) > 0 { // the newest are there: they tell how many a day it is now
		oldest = got.Fired[len(got.Fired)-1].At
	}
	days := max(now.Sub(oldest).Hours()/24, 1)
	m.PerDay = float64(m.Total) / days
	m.Noisy = m.PerDay > noisyPerDay
	return m
}

// firedAbout names what an alert is about, and where more is told of it; "" is the installation.
func firedAbout(f alert.Firing) (name, href string) {
	d := f.Details
	switch {
	case d.Key != "" && f.Subject.KeyID != 0:
		return d.Key + " · " + d.Tenant, "/keys/" + strconv.FormatInt(f.Subject.KeyID, 10)
	case d.Tenant != "":
		return d.Tenant, "/tenants/" + strconv.FormatInt(f.Subject.TenantID, 10)
	case d.Provider != "" && d.Model != "":
		return d.Provider + " · " + d.Model, ""
	case d.Provider != "":
		return d.Provider, ""
	}
	return d.Replica, ""
}
