package alert

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

const goodToken = "123456789:AAEabcdefghijklmnopqrstuvwxyz012345"

func draft(kind Channel, url string) DestinationDraft {
	return DestinationDraft{Kind: kind, Name: "Sala", Language: i18n.PtBR, Active: true, URL: url}
}

// wrong is what is wrong with a draft: "field key", or "".
func wrong(t *testing.T, d DestinationDraft, before Access, plain bool) string {
	t.Helper()
	_, _, err := d.Apply(before, plain)
	if err == nil {
		return ""
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		t.Fatal(err)
	}
	var all []string
	for _, field := range f.Fields {
		all = append(all, field.Name+" "+field.Key)
	}
	return strings.Join(all, ", ")
}

func TestADestinationsAddressIsRefusedForWhatIsWrongWithIt(t *testing.T) {
	for address, want := range map[string]string{
		"https://hooks.slack.com/services/T0/B0/x":      "",
		"https://a.example:8443/x?token=1":              "",
		"https://[2606:4700::1111]/x":                   "",
		"https://8.8.8.8/x":                             "",
		"http://a.example/x":                            "url channels.error.https",
		"hooks.slack.com/services/x":                    "url channels.error.url",
		"ftp://a.example/x":                             "url channels.error.url",
		"https:///x":                                    "url channels.error.url",
		"https://a.example/ x":                          "url channels.error.url",
		"https://a.example/x#y":                         "url channels.error.url",
		"https://a.example:0/x":                         "url channels.error.url",
		"https://a.example:99999/x":                     "url channels.error.url",
		"https://a.example/" + strings.Repeat("x", 2e3): "url channels.error.url",
		"https://user:pass@a.example/x":                 "url channels.error.url_user",
		"https://2130706433/x":                          "url channels.error.host",
		"https://0x7f000001/x":                          "url channels.error.host",
		"https://127.1/x":                               "url channels.error.host",
		"https://a.0x7f./x":                             "url channels.error.host",
		"https://1.2.3.4.5/x":                           "url channels.error.host",
	} {
		if got := wrong(t, draft(Slack, address), Access{}, false); got != want {
			t.Errorf("%.60s: %q, want %q", address, got, want)
		}
	}
	if got := wrong(t, draft(Webhook, "http://127.0.0.1:8000/x"), Access{}, true); got != "" {
		t.Errorf("without TLS where it is allowed: %q", got)
	}
	if got := wrong(t, draft(Teams, "https://acme.webhook.office.com/webhookb2/x"), Access{}, false); got != "url channels.error.teams_retired" {
		t.Errorf("a connector of Teams: %q", got)
	}
}

func TestTelegramNeedsATokenAndAChat(t *testing.T) {
	for name, c := range map[string]struct{ token, chat, want string }{
		"a group":    {goodToken, "-1001234567890", ""},
		"a channel":  {goodToken, "@minha_sala", ""},
		"none":       {"", "", "token error.required, chat error.required"},
		"a word":     {"senha", "sala", "token channels.error.token, chat channels.error.chat"},
		"an address": {goodToken + "/../x", "@a", "token channels.error.token, chat channels.error.chat"},
	} {
		d := draft(Telegram, "")
		d.Token, d.Chat = c.token, c.chat
		if got := wrong(t, d, Access{}, false); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatIsLeftEmptyStaysAsItWas(t *testing.T) {
	before := Access{URL: "https://a.example/secret", Secrets: []SigningSecret{{Secret: "whsec_x"}}}
	a, target, err := draft(Webhook, "").Apply(before, false)
	if err != nil || a.URL != before.URL || target != "a.example" || len(a.Secrets) != 1 {
		t.Errorf("%v %q %v", a, target, err)
	}
	if _, target, _ := draft(Teams, "https://x.logic.azure.com:443/workflows/1").Apply(Access{}, false); target != "x.logic.azure.com" {
		t.Errorf("the port that goes without saying: %q", target)
	}
	a, target, err = draft(Webhook, "https://b.example/other").Apply(before, false)
	if err != nil || a.URL != "https://b.example/other" || target != "b.example" || len(a.Secrets) != 1 {
		t.Errorf("%v %q %v", a, target, err)
	}
	if got := wrong(t, draft(Webhook, ""), Access{}, false); got != "url error.required" {
		t.Errorf("a new one without address: %q", got)
	}
}

func TestNamesAndKindsThatCannotBeAreRefused(t *testing.T) {
	d := draft(Slack, "https://a.example/x")
	d.Name = ""
	if got := wrong(t, d, Access{}, false); got != "name error.required" {
		t.Error(got)
	}
	d.Name = strings.Repeat("ç", 81)
	if got := wrong(t, d, Access{}, false); got != "name channels.error.name_long" {
		t.Error(got)
	}
	d.Name = "Vendas\u202e"
	if got := wrong(t, d, Access{}, false); got != "name channels.error.name" {
		t.Error(got)
	}
	d.Name, d.Kind, d.Language = "a\r\nBcc: x", Email, "fr"
	if got := wrong(t, d, Access{}, false); got != "name channels.error.name, kind channels.error.kind, language channels.error.language" {
		t.Error(got)
	}
}

func TestARotatedSecretHoldsForItsOverlapAndOnlyTheLastOne(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := Access{}.Rotate("one", now, time.Hour).Rotate("two", now, time.Hour).Rotate("three", now, time.Hour)
	for after, want := range map[time.Duration]string{0: "three two", time.Hour - 1: "three two", time.Hour: "three"} {
		if got := strings.Join(a.Signing(now.Add(after)), " "); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
	b, err := ReadAccess(a.Bytes())
	if err != nil || strings.Join(b.Signing(now), " ") != "three two" {
		t.Errorf("%v %v", b, err)
	}
}
