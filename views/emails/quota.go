package emails

import (
	"fmt"
	"math"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// pool is the input or the output tokens of a billing period.
type pool struct {
	name        string // "input" or "output"
	used, limit int64
}

func (a *Alert) pools() (input, output pool) {
	return pool{"input", a.UsedIn, a.LimitIn}, pool{"output", a.UsedOut, a.LimitOut}
}

func (q pool) left() int64 { return max(q.limit-q.used, 0) }

// words are the names of the pool for texts: {tokens} and {quota}.
func (q pool) words(p i18n.Printer) []any {
	return []any{"tokens", p.T("emails." + q.name + ".tokens"), "quota", p.T("emails." + q.name + ".quota")}
}

// pressing is how much a part of something limited presses.
func pressing(part int64) tone {
	switch {
	case part >= whole:
		return bad
	case part >= 8000:
		return warn
	}
	return info
}

// quota tells how much of the plan's tokens is used.
func (t *teller) quota() story {
	q, other := t.pools()
	if t.Metric == "output_quota" {
		q, other = other, q
	}
	part := share(q.used, q.limit)
	switch {
	case q.used == 0 && t.Unit == "tokens":
		q.used = t.Value
	case q.used == 0 && t.Unit == "percent": // the figures were not kept
		part = t.Value
	}
	words := append(q.words(t.Printer), "share", percent(t.Printer, part), "plan", t.Plan, "key", t.Key, "used", t.Int(q.used), "limit", t.Int(q.limit), "left", t.Int(q.left()))
	over := part >= whole
	s := story{tone: pressing(part), figure: percent(t.Printer, part), caption: t.t("quota.caption", words...), filled: part, button: t.ofCustomer()}
	if over && (!t.Blocks || t.ended()) {
		s.tone = warn // the calls go on
	}
	s.subject = t.quotaSubject(over, words)
	switch {
	case q.limit == 0 && q.used == 0:
	case q.limit == 0:
		s.lead = t.t("quota.lead.used", words...)
	case over:
		s.lead = t.t("quota.lead.over", words...)
	default:
		s.lead = t.t("quota.lead.left", words...)
	}
	s.lead = joined(s.lead, t.periodEnds(over))
	if t.customer && over && !t.Blocks && !t.capped() {
		s.button = t.ofCap() // what can still be decided
	}
	t.quotaFacts(&s, q, other)
	t.aboveThePlan(&s, over)
	return s
}

func (t *teller) quotaSubject(over bool, words []any) string {
	of := "" // the plan of all keys
	if t.KeyID != 0 && t.Key != "" {
		of = "key."
	}
	switch {
	case over && t.ended():
		return t.to("quota.subject."+of+"ended", append(words, "end", lastDay(t.Printer, t.PeriodEnd))...)
	case over && t.Blocks:
		return t.to("quota.subject."+of+"refused", words...)
	case over:
		return t.to("quota.subject."+of+"charged", words...)
	case t.Unit == "tokens":
		return t.to("quota.subject."+of+"tokens", words...)
	case of == "" && t.Plan == "":
		return t.to("quota.subject.planless", words...)
	}
	return t.to("quota.subject."+of+"share", words...)
}

// ended tells that the period is over: its end came while the message waited, or the calls were counted late.
func (t *teller) ended() bool { return !t.PeriodEnd.IsZero() && !t.now.Before(t.PeriodEnd) }

// periodEnds says when the use begins anew.
func (t *teller) periodEnds(over bool) string {
	switch {
	case t.PeriodEnd.IsZero():
		return ""
	case t.ended():
		return t.t("period.ended", "end", lastDay(t.Printer, t.PeriodEnd))
	case over:
		return t.t("period.renews", "end", moment(t.Printer, t.PeriodEnd))
	}
	return t.t("period.ends", "end", lastDay(t.Printer, t.PeriodEnd))
}

// quotaFacts are the figures of the pool, and of the other one.
func (t *teller) quotaFacts(s *story, q, other pool) {
	if q.used > 0 {
		s.fact(t.t("fact."+q.name+"_used"), t.poolUse(q))
	}
	switch {
	case q.limit > 0 && q.used > q.limit:
		s.fact(t.t("fact.above"), tokens(t.Printer, q.used-q.limit))
	case q.limit > 0:
		s.fact(t.t("fact.left"), tokens(t.Printer, q.left()))
	}
	if other.limit > 0 {
		s.fact(t.t("fact."+other.name+"_used"), t.poolUse(other))
	}
	t.chargeFacts(s)
	t.planFacts(s)
}

// planFacts say whose tokens they are, and until when.
func (t *teller) planFacts(s *story) {
	s.fact(t.t("fact.plan"), t.Plan)
	if t.KeyID != 0 {
		s.fact(t.t("fact.key"), t.Key)
	}
	if !t.PeriodEnd.IsZero() {
		s.fact(t.t("fact.period_end"), lastDay(t.Printer, t.PeriodEnd))
	}
}

// poolUse is "2.403.750 de 3.000.000 (80,1%)".
func (t *teller) poolUse(q pool) string {
	if q.limit == 0 {
		return tokens(t.Printer, q.used)
	}
	return t.t("fact.use", "used", t.Int(q.used), "limit", t.Int(q.limit), "share", percent(t.Printer, share(q.used, q.limit)))
}

func (t *teller) chargeFacts(s *story) {
	if t.Charged > 0 {
		s.fact(t.t("fact.charged"), brl(t.Printer, t.Charged))
	}
	if t.capped() {
		s.fact(t.t("fact.cap"), brl(t.Printer, t.Cap))
	}
}

// aboveThePlan says what calls above the plan's tokens meet: refusals, or a charge and perhaps its cap.
func (t *teller) aboveThePlan(s *story, over bool) {
	when := "soon"
	if over {
		when = "now"
	}
	if t.ended() {
		s.next = append(s.next, t.t("next.ended"))
		return
	}
	if t.Blocks && t.capped() { // the plan would charge, and the cap pays for nothing
		s.next = append(s.next, t.until("next.refused."+when), t.to("next.cap_raise."+when))
		return
	}
	if t.Blocks {
		s.next = append(s.next, t.until("next.refused."+when), t.to("next.bigger_plan."+when))
		return
	}
	if t.capped() && t.Charged+t.OveragePrice > t.Cap {
		s.tone = bad
		s.next = append(s.next, t.until("next.refused.now"), t.to("next.cap_raise.now"))
		return
	}
	if t.OveragePrice > 0 {
		s.next = append(s.next, t.t("next.charged."+when, "price", t.Price(int64(t.OveragePrice), "BRL")))
	} else {
		s.next = append(s.next, t.t("next.charged."+when+".unknown"))
	}
	t.capNext(s)
	if over {
		s.next = append(s.next, t.to("next.cheaper"))
	}
}

// capped tells that there is a cap. Alerts of earlier builds know only one that pays for something.
func (t *teller) capped() bool { return t.Capped || t.Cap > 0 }

// capNext says what the cap does, or that there is none.
func (t *teller) capNext(s *story) {
	if t.capped() {
		s.next = append(s.next, t.until(t.whose("next.cap"), "cap", brl(t.Printer, t.Cap)))
	} else if t.customer {
		s.next = append(s.next, t.t("next.no_cap"))
	}
}

// whose is the key of a text that is written apart for each reader.
func (t *teller) whose(key string) string {
	if t.customer {
		return key + ".you"
	}
	return key + ".them"
}

// until is the text that names the end of the period, where it is known; else its twin that ends in ".open".
func (t *teller) until(key string, args ...any) string {
	if t.PeriodEnd.IsZero() {
		return t.t(key+".open", args...)
	}
	return t.t(key, append(args, "end", moment(t.Printer, t.PeriodEnd))...)
}

// forecast tells when the tokens run out if the use goes on.
func (t *teller) forecast() story {
	q, other := t.forecastPools()
	words := append(q.words(t.Printer), "share", roughly(t.Printer, t.Value), "key", t.Key)
	s := story{tone: warn, figure: roughly(t.Printer, t.Value), caption: t.t("forecast.caption", words...), filled: min(t.Value, whole), button: t.ofCustomer()}
	if t.RunsOutAt.IsZero() || t.ended() {
		s.subject = t.to("forecast.subject.share", words...)
		s.lead = t.t("forecast.lead.share", words...)
	} else {
		words = append(words, "when", t.Date(t.RunsOutAt))
		s.subject = t.to("forecast.subject.out", words...)
		s.lead = t.t("forecast.lead.out", words...)
		if days := int(math.Floor(t.PeriodEnd.Sub(t.RunsOutAt).Hours() / 24)); days > 0 {
			s.lead = joined(s.lead, t.t("forecast.lead.early", "n", days))
		}
	}
	t.at(&s, "fact.runs_out", t.RunsOutAt)
	t.quotaFacts(&s, q, other)
	t.aboveThePlan(&s, false)
	return s
}

// forecastPools are the one that the forecast is about, and the other. Alerts of earlier builds do not say which: of what has not run
// out, what is used most.
func (t *teller) forecastPools() (q, other pool) {
	q, other = t.pools()
	swap := t.Quota == "output_quota"
	if t.Quota == "" {
		mine, theirs := share(q.used, q.limit), share(other.used, other.limit)
		swap = theirs < whole && (theirs > mine || mine >= whole)
	}
	if swap {
		return other, q
	}
	return q, other
}

// overage tells what the period's calls cost above the plan.
func (t *teller) overage() story {
	charged := t.Charged
	if charged == 0 {
		charged = money.Micros(t.Value)
	}
	t.Charged = charged
	input, output := t.pools()
	words := []any{"amount", brl(t.Printer, charged), "key", t.Key}
	s := story{tone: warn, figure: brl(t.Printer, charged), caption: t.t("overage.caption"), filled: -1, button: t.ofCap()}
	s.subject = t.to("overage.subject", words...)
	s.lead = joined(t.t("overage.lead", words...), t.periodEnds(false))
	if t.Cap > 0 {
		s.filled = share(int64(charged), int64(t.Cap))
		s.caption = t.t("overage.caption_cap", "cap", brl(t.Printer, t.Cap))
	}
	t.moneyFacts(&s, input, output)
	used := share(input.used, input.limit) >= whole || share(output.used, output.limit) >= whole
	t.aboveThePlan(&s, used || !t.Blocks) // the plan may have charged before it was changed to one that refuses
	return s
}

// spendCap tells how much of the cap on charges is used.
func (t *teller) spendCap() story {
	input, output := t.pools()
	part := share(int64(t.Charged), int64(t.Cap))
	if t.Cap == 0 || t.Charged == 0 { // the figures were not kept
		part = t.Value
	}
	words := []any{"share", percent(t.Printer, part), "cap", brl(t.Printer, t.Cap), "amount", brl(t.Printer, t.Charged), "left", brl(t.Printer, t.capLeft()), "key", t.Key}
	s := story{tone: pressing(part), figure: percent(t.Printer, part), caption: t.t("cap.caption"), filled: part, button: t.ofCap()}
	over := part >= whole
	switch {
	case t.ended():
		s.tone, s.subject, s.next = warn, t.to("cap.subject.share", words...), []string{t.t("next.ended")}
	case over:
		s.subject = t.to("cap.subject.over", words...)
		s.next = []string{t.until("next.refused.now"), t.to("next.cap_raise.now")}
	default:
		s.subject = t.to("cap.subject.share", words...)
		s.next = []string{t.until("next.cap_soon"), t.to("next.cap_raise.soon")}
	}
	switch {
	case t.Cap > 0 && over:
		s.lead = t.t("cap.lead.over", words...)
	case t.Cap > 0:
		s.lead = t.t("cap.lead.left", words...)
	}
	s.lead = joined(s.lead, t.periodEnds(over))
	t.moneyFacts(&s, input, output)
	return s
}

func (t *teller) moneyFacts(s *story, input, output pool) {
	t.chargeFacts(s)
	if t.Cap > t.Charged {
		s.fact(t.t("fact.cap_left"), brl(t.Printer, t.capLeft()))
	}
	for _, q := range []pool{input, output} {
		if q.limit > 0 {
			s.fact(t.t("fact."+q.name+"_used"), t.poolUse(q))
		}
	}
	t.planFacts(s)
}

// ofCap is the page where the cap is set.
func (t *teller) ofCap() link {
	switch {
	case t.customer:
		return link{t.t("button.cap"), t.base + "/portal/spend-cap"}
	case t.TenantID != 0:
		return link{t.t("button.tenant"), fmt.Sprintf("%s/tenants/%d", t.base, t.TenantID)}
	}
	return t.ofCustomer()
}

func joined(sentences ...string) string {
	var all string
	for _, s := range sentences {
		switch {
		case s == "":
		case all == "":
			all = s
		default:
			all += " " + s
		}
	}
	return all
}
