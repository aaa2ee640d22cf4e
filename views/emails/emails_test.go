package emails

import (
	"context"
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/i18n"
)

var saoPaulo = func() *time.Location {
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	return zone
}()

var now = time.Date(2026, 11, 22, 14, 5, 0, 0, saoPaulo)

// quotaAlert is a customer that has used a part of three million input tokens.
func quotaAlert(used, threshold int64) Alert {
	return Alert{
		ID: 7, Subject: "subscription:1", Lead: true, Metric: "input_quota", Unit: "percent", Threshold: threshold, Value: share(used, 3_000_000), RaisedAt: now,
		TenantID: 3, Tenant: "Padaria Sol", Plan: "Pro", LimitIn: 3_000_000, UsedIn: used, LimitOut: 1_500_000, UsedOut: 612_490,
		Blocks: true, PeriodEnd: time.Date(2026, 12, 1, 0, 0, 0, 0, saoPaulo),
	}
}

func message(lang i18n.Lang, customer bool, alerts ...Alert) Message {
	m := Message{
		Printer: i18n.NewPrinter(lang, saoPaulo), Kind: One, Customer: customer, Name: "Ana", Alerts: alerts,
		PublicURL: "https://ia.example.com", SentAt: now,
	}
	for i := range 14 {
		m.Days = append(m.Days, Day{now.AddDate(0, 0, i-13), int64(10_000 * i), int64(4_000 * i)})
	}
	if customer {
		m.Unsubscribe = "https://ia.example.com/unsubscribe?t=abc&m=x"
	}
	return m
}

func render(t *testing.T, m Message) Text {
	t.Helper()
	text, err := Render(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// seen is the text that a reader of the HTML sees.
func (t Text) seen() string {
	body := regexp.MustCompile(`(?s)<style>.*?</style>|<!--.*?-->`).ReplaceAllString(t.HTML, "")
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " "))
}

// flat is the plain text without its line breaks.
func (t Text) flat() string { return strings.Join(strings.Fields(t.Plain), " ") }

func (t Text) wants(tt *testing.T, phrases ...string) {
	tt.Helper()
	flat, seen := t.flat(), strings.Join(strings.Fields(t.seen()), " ")
	for _, phrase := range phrases {
		phrase = strings.Join(strings.Fields(phrase), " ")
		if !strings.Contains(flat, phrase) {
			tt.Errorf("the text lacks %q:\n%s", phrase, t.Plain)
		}
		if !strings.Contains(seen, phrase) {
			tt.Errorf("the HTML lacks %q:\n%s", phrase, seen)
		}
	}
}

func (t Text) lacks(tt *testing.T, phrases ...string) {
	tt.Helper()
	all := t.Subject + "\n" + t.Plain + "\n" + t.HTML + "\n" + t.Short
	for _, phrase := range phrases {
		if strings.Contains(all, phrase) {
			tt.Errorf("it must not say %q:\n%s", phrase, t.Plain)
		}
	}
}

func TestAQuotaAlertTellsTheCustomerWhatIsUsedWhatRemainsAndWhatComesNext(t *testing.T) {
	text := render(t, message(i18n.PtBR, true, quotaAlert(2_403_750, 8000)))
	if want := "Você usou 80,1% dos tokens de entrada do plano Pro"; text.Subject != want {
		t.Errorf("subject %q, want %q", text.Subject, want)
	}
	text.wants(t, "Olá, Ana.", "2.403.750 de 3.000.000 (80,1%)", "596.250 tokens", "612.490 de 1.500.000 (40,8%)", "O período termina em 30/11/2026.",
		"Ao chegar a 100%, novas chamadas são recusadas até a renovação, em 01/12/2026.", "peça um plano maior", "como contato de Padaria Sol, que é avisado ao chegar a 80%")
	for _, link := range []string{"https://ia.example.com/portal", "https://ia.example.com/portal/alerts/7", "https://ia.example.com/unsubscribe?t=abc&m=x"} {
		if !strings.Contains(text.Plain, link) || !strings.Contains(html.UnescapeString(text.HTML), `href="`+link+`"`) {
			t.Errorf("no link to %s", link)
		}
	}
	if text.Link != "https://ia.example.com/portal" {
		t.Errorf("main link %q", text.Link)
	}
	if n := strings.Count(text.Short, "\n") + 1; n > 3 || !strings.HasPrefix(text.Short, text.Subject+"\n") || strings.Contains(text.Short, "<") {
		t.Errorf("for chats: %q", text.Short)
	}
}

func TestAQuotaAlertTellsTheTeamWhichCustomer(t *testing.T) {
	text := render(t, message(i18n.En, false, quotaAlert(2_403_750, 8000)))
	if want := "Padaria Sol: 80.1% of the input quota used"; text.Subject != want {
		t.Errorf("subject %q, want %q", text.Subject, want)
	}
	text.wants(t, "2,403,750 of 3,000,000 (80.1%)", "At 100%, new calls are refused until the quota renews on 1 Dec 2026.", "Offer a bigger plan")
	text.lacks(t, "Hello", "nsubscribe", "/portal")
	if text.Link != "https://ia.example.com/tenants/3" || !strings.Contains(text.Plain, "https://ia.example.com/alerts/7\n") {
		t.Errorf("links: main %q in\n%s", text.Link, text.Plain)
	}
}

func TestWhatHappensNextFollowsThePlan(t *testing.T) {
	charging := quotaAlert(2_400_000, 8000)
	charging.Blocks, charging.OveragePrice = false, 100
	capped := charging
	capped.Cap = 200_000_000
	over := capped
	over.UsedIn, over.Charged = 3_000_001, 100
	full := over
	full.Metric, full.Unit, full.Charged = "overage", "brl", 200_000_000
	changed := quotaAlert(2_400_000, 50_000_000)
	changed.Metric, changed.Unit, changed.Charged = "overage", "brl", 50_000_000
	nothing := quotaAlert(3_000_000, 10_000)
	nothing.Capped = true
	late := quotaAlert(3_000_000, 10_000)
	late.PeriodEnd = now
	lateCap := full
	lateCap.Metric, lateCap.Unit, lateCap.Threshold, lateCap.Value, lateCap.PeriodEnd = "spend_cap", "percent", 10_000, 10_000, now.Add(-time.Hour)
	cases := []struct {
		name        string
		alert       Alert
		subject     string
		want, wrong []string
	}{
		{"refused now", quotaAlert(3_000_000, 10_000), "Seus tokens de entrada acabaram: as chamadas estão sendo recusadas",
			[]string{"Novas chamadas estão sendo recusadas agora, até a renovação em 01/12/2026.", "100%"}, []string{"Ao chegar a 100%", "R$"}},
		{"charged soon", charging, "Você usou 80% dos tokens de entrada do plano Pro",
			[]string{"Acima da franquia as chamadas continuam, e cada token a mais custa R$\u00a00,0001.", "Não há teto de gasto extra."}, []string{"recusadas"}},
		{"capped", capped, "Você usou 80% dos tokens de entrada do plano Pro",
			[]string{"Seu teto de gasto extra é de R$\u00a0200,00: ao chegar nele, novas chamadas são recusadas até a renovação, em 01/12/2026."}, []string{"Não há teto"}},
		{"charged now", over, "Sua franquia de entrada acabou: o que passar dela é cobrado",
			[]string{"Daqui em diante, cada token a mais custa R$\u00a00,0001.", "1 token", "um plano maior pode sair mais barato"}, []string{"sendo recusadas"}},
		{"cap reached", full, "Seu excedente neste período chegou a R$\u00a0200,00",
			[]string{"Novas chamadas estão sendo recusadas agora", "aumente o teto"}, []string{"As chamadas continuam"}},
		{"a cap of nothing", nothing, "Seus tokens de entrada acabaram: as chamadas estão sendo recusadas",
			[]string{"Novas chamadas estão sendo recusadas agora", "R$\u00a00,00", "aumente o teto"}, []string{"As chamadas continuam", "Não há teto", "plano maior"}},
		{"told late", late, "Você usou 100% dos tokens de entrada do período que terminou em 22/11/2026 14:05",
			[]string{"O período terminou em 22/11/2026 14:05.", "as chamadas seguem normalmente"}, []string{"sendo recusadas", "acabaram", "plano maior"}},
		{"a cap told late", lateCap, "Você chegou a 100% do seu teto de gasto extra",
			[]string{"O período terminou em 22/11/2026 13:05.", "as chamadas seguem normalmente"}, []string{"sendo recusadas", "aumente o teto"}},
		{"charged before, refused later", changed, "Seu excedente neste período chegou a R$\u00a050,00",
			[]string{"Ao chegar a 100%, novas chamadas são recusadas"}, []string{"recusadas agora", "As chamadas continuam"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := render(t, message(i18n.PtBR, true, c.alert))
			if text.Subject != c.subject {
				t.Errorf("subject %q, want %q", text.Subject, c.subject)
			}
			text.wants(t, c.want...)
			text.lacks(t, c.wrong...)
		})
	}
}

func TestAKeyWithItsOwnPlanIsNamed(t *testing.T) {
	a := quotaAlert(3_000_000, 10_000)
	a.KeyID, a.Key = 9, "Loja"
	if text := render(t, message(i18n.PtBR, true, a)); text.Subject != "Os tokens de entrada da chave “Loja” acabaram: as chamadas dela estão sendo recusadas" {
		t.Errorf("subject %q", text.Subject)
	}
	if text := render(t, message(i18n.PtBR, false, a)); text.Subject != "Padaria Sol: a chave “Loja” usou 100% da franquia de entrada, chamadas recusadas" {
		t.Errorf("subject %q", text.Subject)
	}
}

func TestAJumpOverThresholdsIsToldOnceWithTheOthersMentioned(t *testing.T) {
	lead := quotaAlert(2_760_000, 9000)
	half, most, output := lead, lead, lead
	half.ID, half.Threshold, half.Lead = 1, 5000, false
	most.ID, most.Threshold, most.Lead = 2, 8000, false
	output.ID, output.Metric, output.Threshold, output.UsedOut = 4, "output_quota", 5000, 750_000
	text := render(t, message(i18n.PtBR, false, half, most, output, lead))
	if want := "Padaria Sol: 92% da franquia de entrada usados (e mais 1 alerta)"; text.Subject != want {
		t.Errorf("subject %q, want %q", text.Subject, want)
	}
	text.wants(t, "As marcas de 50% e 80% também já foram atingidas.", "Padaria Sol: 50% da franquia de saída usados")
	if n := strings.Count(text.Plain, "https://ia.example.com/alerts/"); n != 3 { // its own, the other's, and the rules
		t.Errorf("%d links to alerts:\n%s", n, text.Plain)
	}
}

func TestADigestListsTheMostUrgentFirstAndTheResolvedLast(t *testing.T) {
	over := quotaAlert(3_000_000, 10_000)
	over.ID, over.Subject, over.Tenant = 8, "subscription:2", "Mercado Lua"
	gone := over
	gone.ID, gone.Subject, gone.Tenant, gone.Resolved = 9, "subscription:3", "Bar Mar", true
	m := message(i18n.PtBR, false, quotaAlert(1_500_000, 5000), gone, over)
	m.Kind = Digest
	text := render(t, m)
	if want := "[Resumo] Mercado Lua: 100% da franquia de entrada usados, chamadas recusadas (e mais 2 alertas)"; text.Subject != want {
		t.Errorf("subject %q, want %q", text.Subject, want)
	}
	text.wants(t, "3 alertas para você", "Já resolvido")
	first, second, third := strings.Index(text.Plain, "* Mercado Lua"), strings.Index(text.Plain, "* Padaria Sol"), strings.Index(text.Plain, "* Bar Mar")
	if !(0 < first && first < second && second < third) {
		t.Errorf("order %d, %d, %d:\n%s", first, second, third, text.Plain)
	}
	if text.Link != "https://ia.example.com/alerts" {
		t.Errorf("link %q", text.Link)
	}
	if want := text.Subject + "\n• Mercado Lua: 100% da franquia de entrada usados, chamadas recusadas\n• Padaria Sol: 50% da franquia de entrada usados\n" +
		"• Bar Mar: 100% da franquia de entrada usados, chamadas recusadas (já resolvido)"; text.Short != want {
		t.Errorf("for chats\n%s\nwant\n%s", text.Short, want)
	}
}

func TestWhatIsOverIsNotToldAsIfItWereOpen(t *testing.T) {
	open, taken := quotaAlert(1_500_000, 5000), quotaAlert(3_000_000, 10_000)
	taken.ID, taken.Subject, taken.Tenant, taken.Acknowledged = 8, "subscription:2", "Mercado Lua", true
	m := message(i18n.PtBR, false, taken, open)
	m.Kind = Digest
	text := render(t, m)
	text.wants(t, "Já confirmado")
	if first, second := strings.Index(text.Plain, "* Padaria Sol"), strings.Index(text.Plain, "* Mercado Lua"); first < 0 || second < first {
		t.Errorf("what is open comes first:\n%s", text.Plain)
	}
	if text := render(t, message(i18n.PtBR, false, taken)); !strings.HasPrefix(text.Subject, "[Já confirmado] Mercado Lua: ") || !strings.HasPrefix(text.Short, text.Subject) {
		t.Errorf("subject %q, for chats %q", text.Subject, text.Short)
	}
	taken.Resolved = true
	if text := render(t, message(i18n.En, false, taken)); !strings.HasPrefix(text.Subject, "[Resolved] Mercado Lua: ") {
		t.Errorf("subject %q", text.Subject)
	}
}

func TestADigestOfSeveralMetricsSaysThatItsLinkEndsAllMail(t *testing.T) {
	one := quotaAlert(2_700_000, 9000)
	other := one
	other.ID, other.Metric = 8, "output_quota"
	const these, all = "Não quero mais receber estes avisos", "Não quero mais receber nenhum aviso de uso por e-mail"
	render(t, message(i18n.PtBR, true, one)).wants(t, these)
	render(t, message(i18n.PtBR, true, one, other)).wants(t, all)
}

func TestALongDigestListsTheFirstAndCountsTheRest(t *testing.T) {
	var all []Alert
	for i := range 3000 {
		a := quotaAlert(1_500_000, 5000)
		a.ID, a.Subject, a.Tenant = int64(i+1), "subscription:"+strconv.Itoa(i), "Cliente "+strconv.Itoa(i)
		all = append(all, a)
	}
	m := message(i18n.PtBR, false, all...)
	m.Kind = Digest
	text := render(t, m)
	text.wants(t, "3.000 alertas para você", "E mais 2.975 alertas, no histórico")
	if n := strings.Count(text.Plain, "* Cliente "); n != 25 {
		t.Errorf("%d are listed", n)
	}
	if n := strings.Count(text.Short, "\n• Cliente "); n != 10 || !strings.HasSuffix(text.Short, "E mais 2.990 alertas, no histórico") {
		t.Errorf("for chats %s", text.Short)
	}
	if len(text.HTML) > 100_000 || !strings.Contains(text.HTML, `href="https://ia.example.com/alerts"`) {
		t.Errorf("%d bytes", len(text.HTML))
	}
}

func TestAnEscalationSaysForHowLongNobodyConfirmed(t *testing.T) {
	m := message(i18n.PtBR, false, quotaAlert(2_400_000, 8000))
	m.Kind, m.SentAt = Escalation, now.Add(30*time.Minute+20*time.Second)
	text := render(t, m)
	if want := "[Sem confirmação há 30\u00a0min] Padaria Sol: 80% da franquia de entrada usados"; text.Subject != want {
		t.Errorf("subject %q, want %q", text.Subject, want)
	}
	text.wants(t, "Este alerta espera confirmação há 30 min, desde 22/11/2026 14:05.", "22/11/2026 14:35 (horário de Brasília)")
	if text.Link != "https://ia.example.com/alerts/7" {
		t.Errorf("main link %q: the thing to do is to confirm", text.Link)
	}
}

func TestATestMessageNeedsNoAlert(t *testing.T) {
	m := message(i18n.En, false)
	m.Kind = Test
	render(t, m).wants(t, "It works", "ia.example.com")
	m.Kind = One
	if _, err := Render(context.Background(), m); err == nil {
		t.Error("a message about no alert was written")
	}
}

func TestFiguresThatAreNotKnownAreLeftOut(t *testing.T) {
	for _, lang := range i18n.Langs() {
		for _, metric := range []string{"input_quota", "output_quota", "overage", "spend_cap", "forecast", "error_rate", "latency_p95", "sudden_change", "key_unused",
			"key_address", "provider_cost", "breaker_open", "provider_429", "queue_age", "spool_lag", "rate_stale"} {
			m := message(lang, false, Alert{ID: 1, Metric: metric, Unit: "percent", Threshold: 8000, Value: 8123})
			m.Days, m.SentAt = nil, now
			text := render(t, m)
			text.lacks(t, "emails.", "%!", "0001", "undefined", "NaN", "31/12", "(0%)")
			if left := regexp.MustCompile(`\{[a-z_]+\}`).FindString(text.Subject + text.Plain + text.seen()); left != "" {
				t.Errorf("%s: %s is not filled", metric, left)
			}
			if strings.TrimSpace(text.Subject) == "" || strings.Contains(text.Plain, "█") {
				t.Errorf("%s: %q\n%s", metric, text.Subject, text.Plain)
			}
		}
	}
}

func TestAForecastNamesTheQuotaThatItIsAbout(t *testing.T) {
	for name, c := range map[string]struct {
		alert Alert
		want  string
	}{
		"as it was kept":                       {Alert{Quota: "output_quota", UsedIn: 900, LimitIn: 1000, UsedOut: 500, LimitOut: 1000}, "franquia de saída"},
		"though the other is above":            {Alert{Quota: "input_quota", UsedIn: 500, LimitIn: 1000, UsedOut: 1100, LimitOut: 1000}, "franquia de entrada"},
		"of an earlier build, fuller":          {Alert{UsedIn: 600, LimitIn: 1000, UsedOut: 920, LimitOut: 1000}, "franquia de saída"},
		"of an earlier build, not what is out": {Alert{UsedIn: 1166, LimitIn: 1000, UsedOut: 920, LimitOut: 1000}, "franquia de saída"},
	} {
		c.alert.ID, c.alert.Metric, c.alert.Unit, c.alert.Threshold, c.alert.Value = 1, "forecast", "percent", 12_000, 13_000
		m := message(i18n.PtBR, false, c.alert)
		if text := render(t, m); !strings.Contains(text.Subject, c.want) {
			t.Errorf("%s: %q, want the %s", name, text.Subject, c.want)
		}
	}
}

func TestAMetricOfTheTeamIsNotWrittenToCustomers(t *testing.T) {
	for _, metric := range []string{"provider_cost", "breaker_open", "provider_429", "queue_age", "spool_lag", "rate_stale", "no_such"} {
		if text, err := Render(context.Background(), message(i18n.PtBR, true, Alert{Metric: metric})); err == nil {
			t.Errorf("%s: wrote %q", metric, text.Subject)
		}
	}
}

func TestNamesThatPeopleTypeAreHarmless(t *testing.T) {
	hostile := map[string]string{
		"header":   "Sol\r\nBcc: todos@example.com\r\n\r\n<h1>oi</h1>",
		"markup":   `<script>alert(1)</script><img src=x onerror=alert(2)>" style="x`,
		"long":     strings.Repeat("Padaria", 200),
		"emoji":    "Padaria 👩‍👩‍👧 ☀️",
		"rtl":      "مخبز الشمس",
		"turned":   "Padaria \u202egnp.exe\u202c\u2066x",
		"control":  "Pa\x00da\x07ria\u2028Sol\u0085\u200b",
		"not text": "Pa\xff\xfedaria",
		"template": "{share} {{.}} %s %!d emails",
	}
	for name, typed := range hostile {
		t.Run(name, func(t *testing.T) {
			a := quotaAlert(2_400_000, 8000)
			a.Tenant, a.Plan, a.Key, a.KeyID, a.Rule = typed, typed, typed, 2, typed
			for _, customer := range []bool{true, false} {
				m := message(i18n.PtBR, customer, a)
				m.Name = typed
				text := render(t, m)
				if strings.ContainsFunc(text.Subject, unicode.IsControl) || utf8.RuneCountInString(text.Subject) > subjectLength || !utf8.ValidString(text.Subject) {
					t.Errorf("subject %q", text.Subject)
				}
				if strings.ContainsAny(text.Plain+text.HTML, "\r\x00\x07\u202e\u2066\u2028") {
					t.Error("control characters are in the body")
				}
				if regexp.MustCompile(`(?i)<script|<img|<h1>oi| onerror=[^&]*>`).MatchString(text.HTML) {
					t.Errorf("markup passed:\n%s", text.HTML)
				}
				if strings.Contains(text.Subject, "Bcc") && strings.Contains(text.Plain, "\nBcc") {
					t.Error("a name broke the line")
				}
			}
		})
	}
}

func TestANameFromRightToLeftIsSetApart(t *testing.T) {
	if got := Clean("مخبز"); !strings.HasPrefix(got, "\u2068") || !strings.HasSuffix(got, "\u2069") {
		t.Errorf("Clean = %q", got)
	}
	if got := Clean("  Padaria \n Sol\t"); got != "Padaria Sol" {
		t.Errorf("Clean = %q", got)
	}
	if got := Clean("👩‍👩‍👧"); got != "👩‍👩‍👧" {
		t.Errorf("Clean = %q: the family is taken apart", got)
	}
}

func TestTheHTMLLoadsNothingAndStaysBelowWhatClientsCut(t *testing.T) {
	text := render(t, message(i18n.PtBR, true, quotaAlert(2_400_000, 8000)))
	if regexp.MustCompile(`(?i)<(img|script|link|iframe|form|object)\b|\ssrc=|url\(|@import|@font-face`).MatchString(text.HTML) {
		t.Error("something is loaded or run")
	}
	for _, address := range regexp.MustCompile(`https?://[^"' <]+`).FindAllString(text.HTML, -1) {
		if !strings.HasPrefix(address, "https://ia.example.com") && address != "http://www.w3.org/1999/xhtml" {
			t.Errorf("a foreign address: %s", address)
		}
	}
	if len(text.HTML) > 90_000 {
		t.Errorf("%d bytes: Gmail cuts at 102,000", len(text.HTML))
	}
	if strings.Contains(text.HTML, "&amp;#") || strings.Contains(text.HTML, "zTempl") {
		t.Error("a style was mangled")
	}
	for _, table := range regexp.MustCompile(`<table[^>]*>`).FindAllString(text.HTML, -1) {
		if !strings.Contains(table, `role="presentation"`) && !strings.Contains(table, "border-collapse") { // the figures are a table
			t.Errorf("a table of the layout is read out as one: %s", table)
		}
	}
}

func TestTheTextKeepsToItsWidth(t *testing.T) {
	for _, lang := range i18n.Langs() {
		text := render(t, message(lang, true, quotaAlert(2_400_000, 8000)))
		for line := range strings.Lines(text.Plain) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 78 && !strings.Contains(line, "https://") {
				t.Errorf("%d characters: %q", n, line)
			}
		}
	}
}

// asking is the message that asks an address from outside.
func asking(lang i18n.Lang, by string) Message {
	return Message{
		Printer: i18n.NewPrinter(lang, saoPaulo), Kind: Confirm, Customer: true, PublicURL: "https://ia.example.com", SentAt: now, Unsubscribe: "https://ia.example.com/confirm/abc/decline",
		Ask: &Ask{Company: "Padaria Sol", By: by, Topics: []string{"input_quota", "overage"}, ExpiresAt: now.AddDate(0, 0, 7), Link: "https://ia.example.com/confirm/abc"},
	}
}

func TestAnAddressFromOutsideIsAskedWithoutBeingToldAnything(t *testing.T) {
	for lang, want := range map[i18n.Lang][]string{
		i18n.PtBR: {"Padaria Sol", "maria@padaria.com.br", "Tokens de entrada e Excedente cobrado", "29/11/2026 14:05"},
		i18n.En:   {"Padaria Sol", "maria@padaria.com.br", "Input tokens and Overage charged"},
	} {
		text := render(t, asking(lang, "maria@padaria.com.br"))
		for _, part := range want {
			for where, body := range map[string]string{"text": strings.Join(strings.Fields(text.Plain), " "), "html": text.seen()} {
				if !strings.Contains(body, part) {
					t.Errorf("%s: the %s lacks %q:\n%s", lang, where, part, body)
				}
			}
		}
		for _, body := range []string{text.Plain, text.HTML} {
			if !strings.Contains(body, "https://ia.example.com/confirm/abc") || strings.Contains(body, "/portal") || strings.Contains(body, "alert_confirm.") || strings.Contains(body, "tenant_alerts.") {
				t.Errorf("%s: %s", lang, body)
			}
		}
	}
}

func TestWhoOfTheTeamAskedIsNotNamed(t *testing.T) {
	if text := render(t, asking(i18n.PtBR, "")); !strings.Contains(text.Plain, "A equipe de ia.example.com") {
		t.Error(text.Plain)
	}
	for _, ask := range []*Ask{nil, {Company: "Padaria"}} {
		m := asking(i18n.En, "")
		m.Ask = ask
		if _, err := Render(context.Background(), m); err == nil {
			t.Errorf("%+v is asked", ask)
		}
	}
	m := asking(i18n.En, "x\r\nBcc: y@z.com")
	m.Ask.Company = "Sol\r\nSubject: x\u202e"
	if text := render(t, m); strings.ContainsAny(text.Subject, "\r\n\u202e") || strings.Contains(text.Plain, "\u202e") {
		t.Errorf("%q", text.Subject)
	}
}
