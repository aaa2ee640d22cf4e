package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
)

// unfilled is what is left in a text whose key or figure is missing.
var unfilled = regexp.MustCompile(`emails\.[a-z]|%!|\{[a-z_]+\}|<nil>|NaN|01/01/0001|1 Jan 0001`)

// forTheTeam is what a customer must never read.
var forTheTeam = regexp.MustCompile(`(?i)US\$|provedor|provider|OpenAI|api-2|/tenants/|/providers/|/operations|cliente |customer|equipe|the team`)

func TestEveryAlertIsWrittenForItsReadersInBothLanguages(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 5, 0, 0, time.FixedZone("", -3*3600))
	for _, k := range alert.Kinds() {
		for _, audience := range k.Audiences {
			for _, unit := range k.Units {
				for _, threshold := range thresholdsOf(k, unit) {
					for _, lang := range i18n.Langs() {
						n := alert.Sample(k.Metric, audience, threshold, unit, now)
						n.Language = lang
						t.Run(fmt.Sprintf("%s %s %d %s %s", k.Metric, audience, threshold, unit, lang), func(t *testing.T) { checkNotice(t, n) })
					}
				}
			}
		}
	}
}

func thresholdsOf(k alert.Kind, unit alert.Unit) []int64 {
	if unit == alert.Tokens {
		return []int64{1_000_000}
	}
	return k.Usual
}

func checkNotice(t *testing.T, n alert.Notice) {
	text, err := notices{}.Render(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join([]string{text.Subject, text.Plain, text.HTML, text.Short}, "\n")
	if left := unfilled.FindString(all); left != "" {
		t.Errorf("%q is in the message:\n%s", left, text.Plain)
	}
	if text.Subject == "" || utf8.RuneCountInString(text.Subject) > 150 || strings.ContainsFunc(text.Subject, unicode.IsControl) {
		t.Errorf("subject %q", text.Subject)
	}
	if lines := strings.Count(text.Short, "\n") + 1; text.Short == "" || lines > 3 {
		t.Errorf("for chats: %q", text.Short)
	}
	if !strings.HasPrefix(text.Link, n.PublicURL+"/") || !strings.Contains(text.Plain, text.Link) {
		t.Errorf("main link %q", text.Link)
	}
	if n.Audience == alert.Operator {
		if name := n.Events[0].Details.Tenant; !strings.HasPrefix(text.Subject, name) || strings.Contains(all, "/portal") {
			t.Errorf("the team is not told which customer: %q", text.Subject)
		}
		return
	}
	if leaked := forTheTeam.FindString(all); leaked != "" {
		t.Errorf("a customer reads %q:\n%s", leaked, text.Plain)
	}
	if !strings.Contains(text.Plain, n.Unsubscribe) {
		t.Error("no link to unsubscribe")
	}
}

func TestACustomerIsToldOfNoOtherCustomerAndOfNothingMeantForTheTeam(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)
	other := alert.Sample(alert.InputQuota, alert.Customer, 8000, alert.Percent, now)
	other.Events = append(other.Events, other.Events[0])
	other.Events[1].Subject.TenantID = 2
	team := alert.Sample(alert.InputQuota, alert.Operator, 8000, alert.Percent, now)
	team.Audience = alert.Customer
	cost := alert.Sample(alert.ProviderCost, alert.Operator, 10_000_000, alert.USD, now)
	cost.Audience, cost.Events[0].Audience = alert.Customer, alert.Customer
	for name, n := range map[string]alert.Notice{"another customer": other, "the team's": team, "costs": cost} {
		if text, err := (notices{}).Render(context.Background(), n); err == nil {
			t.Errorf("%s: wrote %q", name, text.Subject)
		}
	}
}

func TestAnEventOfACustomerCarriesNoFiguresOfTheTeam(t *testing.T) {
	n := alert.Sample(alert.ErrorRate, alert.Customer, 500, alert.Percent, time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC))
	d := &n.Events[0].Details
	d.Provider, d.Model, d.Replica, d.Cost = "OpenAI", "gpt-4.1-nano", "api-2", 12_345_678
	n.Events[0].Subject.ProviderID, n.Events[0].RuleName = 4, "mau pagador"
	text, err := notices{}.Render(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	if leaked := regexp.MustCompile(`OpenAI|gpt-4|api-2|12[.,]34|pagador`).FindString(text.Plain + text.HTML + text.Short + text.Subject); leaked != "" {
		t.Errorf("a customer reads %q", leaked)
	}
}

func TestMomentsAreThoseOfTheReaderAndDaysThoseOfTheCustomer(t *testing.T) {
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	n := alert.Sample(alert.InputQuota, alert.Operator, 8000, alert.Percent, time.Date(2026, 11, 22, 17, 5, 0, 0, time.UTC))
	n.Events[0].Details.Zone = "America/Sao_Paulo"
	n.Events[0].Details.PeriodEnd = time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	for i := range n.Days {
		n.Days[i].Day = time.Date(2026, 11, 9+i, 3, 0, 0, 0, time.UTC) // midnight in São Paulo
	}
	for _, c := range []struct {
		zone  *time.Location
		wants []string
	}{
		{nil, []string{"30/11/2026\n", "22/11/2026 14:05", "de 09/11 a 22/11"}},
		{saoPaulo, []string{"30/11/2026\n", "22/11/2026 14:05", "de 09/11 a 22/11"}},
		{time.FixedZone("", -5*3600), []string{"30/11/2026 22:00", "22/11/2026 12:05", "de 09/11 a 22/11"}},
	} {
		n.Zone = c.zone
		text, err := notices{}.Render(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.wants {
			if !strings.Contains(text.Plain, want) {
				t.Errorf("in %v: no %q in\n%s", c.zone, want, text.Plain)
			}
		}
	}
}

func TestThresholdsOfOnePeriodAreOneStoryAndOfTwoPeriodsTwo(t *testing.T) {
	n := alert.Sample(alert.InputQuota, alert.Operator, 9000, alert.Percent, time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC))
	n.Kind = alert.Digest
	below, before := n.Events[0], n.Events[0]
	below.ID, below.Threshold, below.Lead = 2, 8000, false
	before.ID, before.Period = 3, before.Period.AddDate(0, -1, 0)
	n.Events = append(n.Events, below, before)
	text, err := notices{}.Render(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.Plain, "2 alertas para você") || !strings.Contains(text.Plain, "A marca de 80% também já foi atingida.") {
		t.Errorf("digest:\n%s", text.Plain)
	}
}

func TestATestMessageIsWrittenInBothLanguages(t *testing.T) {
	for _, lang := range i18n.Langs() {
		n := alert.Notice{
			Kind: alert.TestNotice, Audience: alert.Operator, Channel: alert.Email, Language: lang, Recipient: "ana@example.com", Name: "Ana Souza",
			Zone: time.UTC, PublicURL: "https://filaia.example", SentAt: time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC),
		}
		text, err := notices{}.Render(context.Background(), n)
		if err != nil || unfilled.MatchString(text.Subject+text.Plain+text.HTML) {
			t.Errorf("%s: %v\n%s", lang, err, text.Plain)
		}
	}
}
