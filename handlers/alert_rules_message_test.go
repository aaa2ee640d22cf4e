package handlers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
)

// shownNotices write what they were asked for.
type shownNotices struct{}

func (shownNotices) Render(_ context.Context, n alert.Notice) (alert.Text, error) {
	e := n.Events[0]
	what := string(e.Metric) + " " + string(n.Language) + " " + e.RaisedAt.Location().String()
	return alert.Text{Subject: "Assunto " + what, Plain: "Puro " + what + " " + n.PublicURL, HTML: "<!doctype html><style>p{}</style><p>" + what + " " + e.Details.Tenant + "</p>"}, nil
}

func TestTheMessageIsShownInBothLanguagesInAFrameThatRunsNothing(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	b.get("/alerts/rules/1/message").status(http.StatusServiceUnavailable).has(text("alerts.message_none"))
	s.Notices = shownNotices{}
	page := b.get("/alerts/rules/1/message").status(http.StatusOK).has("Assunto input_quota pt-BR America/Sao_Paulo", "Assunto input_quota en", siteAddress, `sandbox=""`)
	if policy := page.head.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Fatal(policy)
	}
	const frame = "/alerts/rules/message/frame?audience=customer&lang=en&metric=input_quota&threshold=10000&unit=percent"
	page.has(strings.ReplaceAll(frame, "&", "&amp;"))
	inside := b.get(frame).status(http.StatusOK).has("input_quota en")
	if got := inside.head.Get("Content-Security-Policy"); got != framePolicy || inside.head.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Fatal(got)
	}
	for name, path := range map[string]string{
		"a metric that is none":    "/alerts/rules/message/frame?audience=customer&lang=en&metric=x&threshold=1&unit=percent",
		"the team's for customers": "/alerts/rules/message/frame?audience=customer&lang=en&metric=queue_age&threshold=1&unit=seconds",
		"another's unit":           "/alerts/rules/message/frame?audience=customer&lang=en&metric=input_quota&threshold=1&unit=brl",
		"a whole of one customer":  "/alerts/rules/message/frame?audience=customer&lang=en&metric=error_rate&threshold=500&unit=percent&whole=yes",
		"no threshold":             "/alerts/rules/message/frame?audience=customer&lang=en&metric=input_quota&threshold=x&unit=percent",
		"no language":              "/alerts/rules/message/frame?audience=customer&lang=xx&metric=input_quota&threshold=1&unit=percent",
	} {
		if got := b.get(path); got.code != http.StatusNotFound {
			t.Errorf("%s: status %d", name, got.code)
		}
	}
}

func TestTheMessageOfARuleForTheWholeNamesNoCustomer(t *testing.T) {
	s := newSite(t)
	s.Notices = shownNotices{}
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	rule := url.Values{"metric": {"error_rate"}, "audience": {"operator"}, "scope": {"all"}, "unit": {"percent"}, "direction": {"up"}, "thresholds": {"5"},
		"window": {"10"}, "roles": {"owner"}, "language": {"pt-BR"}, "shape": {"error_rate|operator|percent"}}
	const frame = "/alerts/rules/message/frame?audience=operator&lang=en&metric=error_rate&threshold=500&unit=percent"
	b.postPart("/alerts/rules/message", rule).has(strings.ReplaceAll(frame+"&whole=yes", "&", "&amp;"))
	b.get(frame + "&whole=yes").status(http.StatusOK).lacks("Padaria Sol")
	b.get(frame).status(http.StatusOK).has("Padaria Sol")
}

func TestTheFormShowsItsMessageBeforeItIsSaved(t *testing.T) {
	s := newSite(t)
	s.Notices = shownNotices{}
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	b.postPart("/alerts/rules/message", ruleForm()).status(http.StatusOK).has("Assunto overage pt-BR", "threshold=1234560000").lacks("<html")
	b.post("/alerts/rules/message", ruleForm()).status(http.StatusOK).has("<html", "Assunto overage en")
	// What is half typed shows the usual instead.
	b.postPart("/alerts/rules/message", with(ruleForm(), "thresholds", "dez")).status(http.StatusOK).has("threshold=500000000")
}

// replays answers as the store does for a rule that fired.
type replays struct {
	AlertRuleStore
	got  alert.Rule
	said alert.Replayed
}

func (r *replays) Replay(_ context.Context, rule alert.Rule, from, _ time.Time) (alert.Replayed, error) {
	r.got = rule
	said := r.said
	if said.Since.IsZero() {
		said.Since = from
	}
	return said, nil
}

func fired(tenant string, id int64, at time.Time, n int) []alert.Firing {
	one := alert.Firing{At: at, Subject: alert.OfSubscription(id, id, 0), Details: alert.Details{Tenant: tenant}, Metric: alert.Overage, Unit: alert.BRL, Threshold: 50_000_000}
	return slices.Repeat([]alert.Firing{one}, n)
}

func TestAReplayCountsWhoWouldHaveBeenToldOfBeforeTheRuleIsSaved(t *testing.T) {
	s := newSite(t)
	r := &replays{AlertRuleStore: s.store}
	s.AlertRules = r
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	before := s.rules(t)
	b.postPart("/alerts/rules/replay", ruleForm()).status(http.StatusOK).has(text("alerts.replay_unknown")).lacks("<html")
	r.said.Known = true
	b.postPart("/alerts/rules/replay", ruleForm()).has(text("alerts.replay_none"))
	if len(r.got.Thresholds) != 2 || r.got.Thresholds[0] != 50_000_000 || r.got.Metric != alert.Overage {
		t.Fatalf("asked for %+v", r.got)
	}
	day := s.clock.now().Add(-24 * time.Hour)
	r.said.Fired = slices.Concat(fired("Hotel", 7, day, 1), fired("Padaria", 8, day, 2))
	b.postPart("/alerts/rules/replay", ruleForm()).has("Teriam disparado 3 avisos", "Padaria", `href="/tenants/8"`, "2 avisos", "R$\u00a050,00").
		lacks(text("alerts.replay_noisy", "n", "10"))
	r.said.Fired = fired("Padaria", 8, day, 301)
	b.postPart("/alerts/rules/replay", ruleForm()).has(text("alerts.replay_noisy", "n", "10"))
	b.post("/alerts/rules/replay", ruleForm()).status(http.StatusOK).has("<html", "301 avisos", `value="1.234,56"`)
	b.postPart("/alerts/rules/replay", with(ruleForm(), "thresholds", "dez")).has(text("alerts.replay_invalid"))
	// What was told goes away with the rule that it was told of, and not with another address.
	r.got.Direction = "" // the form does not ask for it
	mark := replayMark(r.got)
	b.postPart("/alerts/rules/words", with(ruleForm(), "replayed", mark, "addresses", "")).lacks("rule-replay")
	b.postPart("/alerts/rules/words", with(ruleForm(), "replayed", mark, "thresholds", "60,00")).has(`id="rule-replay" hx-swap-oob="true"`).lacks("301 avisos")
	if s.rules(t) != before {
		t.Fatal("looking made a rule")
	}
}

func TestAReplayThatIsCutTellsWhatItIsADayNow(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m := replayModel(i18n.NewPrinter(i18n.PtBR, nil), alert.Replayed{Known: true, Truncated: true, Since: now.AddDate(0, 0, -30), Fired: fired("Padaria", 8, now.AddDate(0, 0, -2), 200)},
		now.AddDate(0, 0, -30), now)
	if m.PerDay != 100 || !m.Noisy || !m.More || len(m.Last) != replayLast || len(m.By) != 1 {
		t.Fatalf("%+v", m)
	}
}

func TestThresholdsAreReadAsPeopleTypeThem(t *testing.T) {
	for name, c := range map[string]struct {
		metric alert.Metric
		unit   alert.Unit
		typed  string
		want   int64
		wrong  string
	}{
		"whole percents":     {alert.InputQuota, alert.Percent, "80", 8000, ""},
		"with its sign":      {alert.InputQuota, alert.Percent, " 99,5 % ", 9950, ""},
		"with a dot":         {alert.InputQuota, alert.Percent, "99.5", 9950, ""},
		"a thousand":         {alert.Forecast, alert.Percent, "1.000", 100_000, ""},
		"too fine":           {alert.InputQuota, alert.Percent, "0,001", 0, "numbers.too_fine"},
		"no percent":         {alert.InputQuota, alert.Percent, "oitenta", 0, "alerts.error.read.percent"},
		"times":              {alert.SuddenChange, alert.Percent, "2,5", 25_000, ""},
		"three decimals":     {alert.InputQuota, alert.Percent, "50,555", 0, "numbers.too_fine"},
		"times as decimals":  {alert.SuddenChange, alert.Percent, "1,500", 15_000, ""},
		"tokens and a comma": {alert.InputQuota, alert.Tokens, "50,555", 0, "alerts.error.read.integer"},
		"no times":           {alert.SuddenChange, alert.Percent, "dobro", 0, "alerts.error.read.times"},
		"tokens":             {alert.InputQuota, alert.Tokens, "1.000.000", 1_000_000, ""},
		"half a token":       {alert.InputQuota, alert.Tokens, "1,5", 0, "alerts.error.read.integer"},
		"reais":              {alert.Overage, alert.BRL, "R$ 1.234,56", 1_234_560_000, ""},
		"no thousands":       {alert.Overage, alert.BRL, "1,500", 0, "numbers.too_fine"},
		"thousands alone":    {alert.Overage, alert.BRL, "1.234", 1_234_000_000, ""},
		"seconds alone":      {alert.SpoolLag, alert.Seconds, "90", 90, ""},
		"minutes":            {alert.SpoolLag, alert.Seconds, "10 min", 600, ""},
		"copied from a page": {alert.SpoolLag, alert.Seconds, "10\u00a0min", 600, ""},
		"an hour and a half": {alert.SpoolLag, alert.Seconds, "1,5 horas", 5400, ""},
		"half a second":      {alert.SpoolLag, alert.Seconds, "0,5 s", 0, "alerts.error.read.duration"},
		"milliseconds":       {alert.LatencyP95, alert.Millis, "350 ms", 350, ""},
		"a second and more":  {alert.LatencyP95, alert.Millis, "1,5", 1500, ""},
		"no time":            {alert.LatencyP95, alert.Millis, "5 semanas", 0, "alerts.error.read.duration"},
		"beyond any time":    {alert.SpoolLag, alert.Seconds, "999999999999 d", 0, "alerts.error.read.duration"},
	} {
		n, wrong := readAmount(i18n.NewPrinter(i18n.PtBR, nil), c.metric, c.unit, c.typed)
		if wrong != c.wrong || wrong == "" && n != c.want {
			t.Errorf("%s: %q is %d (%s), want %d (%s)", name, c.typed, n, wrong, c.want, c.wrong)
		}
	}
}

func TestThresholdsAreWrittenAsTheyAreRead(t *testing.T) {
	values := []int64{1, 7, 50, 99, 350, 1000, 1500, 5000, 9950, 10_000, 21_250, 30_000, 60_000, 604_800, 3_600_000}
	for _, lang := range i18n.Langs() {
		say := i18n.NewPrinter(lang, nil)
		for _, kind := range alert.Kinds() {
			for _, unit := range kind.Units {
				for _, n := range slices.Concat(values, kind.Usual) {
					if unit == alert.BRL || unit == alert.USD {
						n *= 10_000 // whole cents
					}
					typed := typedAmount(say, kind.Metric, unit, n)
					if got, wrong := readAmount(say, kind.Metric, unit, typed); got != n || wrong != "" {
						t.Errorf("%s %s: %d is written %q and read as %d (%s)", kind.Metric, unit, n, typed, got, wrong)
					}
				}
			}
		}
	}
}

func TestEveryMetricHasItsWordsInBothLanguages(t *testing.T) {
	for _, lang := range i18n.Langs() {
		say := i18n.NewPrinter(lang, nil)
		for _, kind := range alert.Kinds() {
			for _, key := range []string{"alerts.metric.", "alerts.metric_text."} {
				if got := say.T(key + string(kind.Metric)); strings.HasPrefix(got, key) {
					t.Errorf("%s: no text for %s", lang, got)
				}
			}
			for _, unit := range kind.Units {
				for _, scope := range kind.Scopes {
					for _, direction := range []alert.Direction{alert.Up, alert.Down, alert.Both} {
						for _, thresholds := range [][]int64{{1}, kind.Usual} {
							for _, audience := range kind.Audiences {
								r := alert.Rule{Metric: kind.Metric, Unit: unit, Scope: scope, Audience: audience, Direction: direction, Thresholds: thresholds,
									Window: kind.Window, PlanName: "Ouro", TenantName: "Padaria", KeyName: "Loja"}
								m := ruleModel(r, nil)
								if got := m.When(say); strings.ContainsAny(got, "{}") || strings.Contains(got, "alerts.") || !strings.HasSuffix(got, ".") {
									t.Errorf("%s %s %s: %q", lang, kind.Metric, scope, got)
								}
							}
						}
					}
				}
			}
		}
	}
}

func TestRulesSayWhatTheyWatch(t *testing.T) {
	say := i18n.NewPrinter(i18n.PtBR, nil)
	team := alert.Rule{Audience: alert.Operator, Scope: alert.All, Direction: alert.Up}
	rule := func(m alert.Metric, u alert.Unit, thresholds ...int64) alert.Rule {
		r := team
		r.Metric, r.Unit, r.Thresholds, r.Window = m, u, thresholds, 10
		return r
	}
	ofCustomer := rule(alert.SuddenChange, alert.Percent, 25_000)
	ofCustomer.Scope, ofCustomer.TenantName, ofCustomer.Direction = alert.Tenant, "Padaria", alert.Both
	for want, r := range map[string]alert.Rule{
		"Avisar quando um cliente usar 50% ou 99,5% da franquia de entrada.":                               rule(alert.InputQuota, alert.Percent, 5000, 9950),
		"Avisar quando um cliente usar 1.000.000 tokens de saída no período.":                              rule(alert.OutputQuota, alert.Tokens, 1_000_000),
		"Avisar quando 5% de todas as chamadas falharem em 10\u00a0min.":                                   rule(alert.ErrorRate, alert.Percent, 500),
		"Avisar quando Padaria usar em uma hora 2,5 vezes mais ou menos que o habitual.":                   ofCustomer,
		"Avisar quando uma chave for usada de um endereço novo.":                                           rule(alert.KeyAddress, alert.Count, 1),
		"Avisar quando uma chave ficar 30 ou 60 dias sem uso.":                                             rule(alert.KeyUnused, alert.Days, 30, 60),
		"Avisar quando os provedores cobrarem US$\u00a010,00 ou US$\u00a050,00 em um dia.":                 rule(alert.ProviderCost, alert.USD, 10_000_000, 50_000_000),
		"Avisar quando 5% de todas as respostas demorarem 1,5\u00a0s ou mais, em 10\u00a0min.":             rule(alert.LatencyP95, alert.Millis, 1500),
		"Avisar quando um modelo de um provedor estiver suspenso por falhas há 1\u00a0min ou 10\u00a0min.": rule(alert.BreakerOpen, alert.Seconds, 60, 600),
	} {
		if got := ruleModel(r, nil).When(say); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	m := alerts.Rule{Roles: []string{"tenant_admin"}, Contacts: true, Addresses: []string{"ana@x.com"}, Channels: []alerts.Channel{{Name: "Operação"}, {Name: "Velho", Gone: true}}}
	if got, want := m.Told(say), "Administradores do cliente, contato do cliente, ana@x.com, Operação e Velho (desligado)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestARuleWithManyAddressesNamesTheFirstAndCountsTheRest(t *testing.T) {
	say := i18n.NewPrinter(i18n.PtBR, nil)
	m := alerts.Rule{Roles: []string{"owner"}, Addresses: []string{"a@x.com", "b@x.com", "c@x.com"}}
	if got, want := m.Told(say), "Proprietários, a@x.com, b@x.com e c@x.com"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	m.Addresses = append(m.Addresses, "d@x.com")
	if got, want := m.Told(say), "Proprietários, a@x.com, b@x.com e mais 2 endereços"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestACustomerIsLedToItsCapOnlyWhereItMayChangeIt(t *testing.T) {
	say := i18n.NewPrinter(i18n.PtBR, nil)
	for _, metric := range []alert.Metric{alert.SpendCap, alert.Overage} {
		for mayEdit, want := range map[bool]string{true: "/portal/spend-cap", false: "/portal"} {
			if got := ownTodo(say, alert.Event{Metric: metric}, mayEdit); got == nil || got.Href != want {
				t.Errorf("%s, may edit %t: %+v, want %s", metric, mayEdit, got, want)
			}
		}
	}
	if got := ownTodo(say, alert.Event{Metric: alert.InputQuota}, true); got == nil || got.Href != "/portal" {
		t.Errorf("a quota: %+v", got)
	}
}
