package config

import (
	"strings"
	"testing"
)

func TestTheSMTPAddressSaysHowToSend(t *testing.T) {
	for value, want := range map[string]SMTP{
		"smtp://ana%40x.example:se%3Anha@mail.example?name=FILA-IA&reply_to=ajuda@x.example": {
			Host: "mail.example", Port: 587, Security: "starttls", Auth: "auto", User: "ana@x.example", Password: "se:nha",
			From: "ana@x.example", Name: "FILA-IA", ReplyTo: "ajuda@x.example"},
		"smtps://u:p@mail.example?from=a@x.example":                       {Host: "mail.example", Port: 465, Security: "tls", Auth: "auto", User: "u", Password: "p", From: "a@x.example"},
		"smtp://127.0.0.1:2525?from=a@x.example":                          {Host: "127.0.0.1", Port: 2525, Security: "plain", Auth: "auto", From: "a@x.example"},
		"smtp://[::1]:2525?from=a@x.example":                              {Host: "::1", Port: 2525, Security: "plain", Auth: "auto", From: "a@x.example"},
		"smtp://localhost?from=a@x.example&security=starttls":             {Host: "localhost", Port: 587, Security: "starttls", Auth: "auto", From: "a@x.example"},
		"smtp://10.0.0.9:25?from=a@x.example&security=plain&auth=none":    {Host: "10.0.0.9", Port: 25, Security: "plain", Auth: "none", From: "a@x.example"},
		"smtp://u:token@mail.example?from=a@x.example&auth=xoauth2&name=": {Host: "mail.example", Port: 587, Security: "starttls", Auth: "xoauth2", User: "u", Password: "token", From: "a@x.example"},
	} {
		c, err := load(t, map[string]string{"FILAIA_SMTP_URL": value})
		if err != nil {
			t.Errorf("%s: %v", value, err)
		} else if *c.SMTP != want {
			t.Errorf("%s is read as %+v", value, *c.SMTP)
		}
	}
	if c, err := load(t, map[string]string{}); err != nil || c.SMTP != nil {
		t.Errorf("without the variable: %v, %v", c.SMTP, err)
	}
}

func TestAWrongSMTPAddressIsToldWithoutItsPassword(t *testing.T) {
	const secret = "s3nhaForte"
	for _, value := range []string{
		"http://u:" + secret + "@mail.example?from=a@x.example",
		"smtp://u:" + secret + "@mail.example",                         // no address to send from
		"smtp://u:" + secret + "@mail.example?from=a@x.example&tls=no", // not known
		"smtp://u:" + secret + "@mail.example?from=Ana%20%3Ca@x.example%3E",
		"smtp://u:" + secret + "@mail.example?from=a@x.example&from=b@x.example",
		"smtp://u:" + secret + "@mail.example?from=a@x.example%0D%0ABcc:b@x.example",
		"smtp://u:" + secret + "@mail.example:99999?from=a@x.example",
		"smtp://u:" + secret + "@mail.example/inbox?from=a@x.example",
		"smtp://u:" + secret + "@mail.example?from=a@x.example&auth=cram-md5",
		"smtps://u:" + secret + "@mail.example?from=a@x.example&security=plain",
		"smtp://u:" + secret + "/x@mail.example?from=a@x.example", // the slash ends the host
		"smtp://u:" + secret + "#@mail.example?from=a@x.example",
		"smtp://u:" + secret + "%zz@mail.example?from=a@x.example",
		"smtp:u:" + secret + "@mail.example",
		"u:" + secret + "@mail.example:587",
		"smtp://:" + secret + "@mail.example?from=a@x.example",
		"smtp://u@mail.example?from=a@x.example&name=" + secret,
	} {
		_, err := load(t, map[string]string{"FILAIA_SMTP_URL": value})
		switch {
		case err == nil:
			t.Errorf("%s is accepted", value)
		case strings.Contains(err.Error(), secret):
			t.Errorf("the password is told: %v", err)
		case !strings.HasPrefix(err.Error(), "FILAIA_SMTP_URL: ") || !strings.Contains(err.Error(), "smtps://") || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: %v", value, err)
		}
	}
}
