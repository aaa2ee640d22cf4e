package alert

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/secret"
)

var (
	ownServer   = MailDraft{Mail: Mail{Way: MailServer, Host: "smtp.x.example", Port: 587, User: "ana", From: "a@x.example"}, MailAccess: MailAccess{Password: "senha"}}
	googleDraft = MailDraft{Mail: Mail{Way: MailGoogleOAuth, User: "a@gmail.example", ClientID: "1-x.apps.googleusercontent.com"}, MailAccess: MailAccess{ClientSecret: "GOCSPX-x"}}
)

// applied applies a draft that must be accepted.
func applied(t *testing.T, d MailDraft, before Mail, access MailAccess) (Mail, MailAccess) {
	t.Helper()
	m, a, err := d.Apply(before, access)
	if err != nil {
		t.Fatal(err)
	}
	return m, a
}

// wrongFields are the fields of which a draft is told that they are wrong.
func wrongFields(d MailDraft, before Mail, access MailAccess) []string {
	_, _, err := d.Apply(before, access)
	var f *fault.Error
	var names []string
	if errors.As(err, &f) {
		for _, field := range f.Fields {
			names = append(names, field.Name)
		}
	}
	return names
}

func with(d MailDraft, change func(*MailDraft)) MailDraft {
	change(&d)
	return d
}

func TestAnAppPasswordIsTakenAsGoogleShowsIt(t *testing.T) {
	for _, typed := range []string{"abcd efgh ijkl mnop", " abcdefghijklmnop\n", "ABCD EFGH IJKL MNOP", "abcd\u00a0efgh\u00a0ijkl\u00a0mnop"} {
		m, a := applied(t, MailDraft{Mail: Mail{Way: MailGmail, User: " Alertas@Gmail.example "}, MailAccess: MailAccess{Password: typed}}, Mail{}, MailAccess{})
		if a.Password != "abcdefghijklmnop" || m.User != "alertas@gmail.example" || m.From != m.User || m.Host != GmailHost || m.Port != GmailPort ||
			m.Security != MailSTARTTLS || m.Auth != MailAuthPlain || !m.Ready() {
			t.Errorf("%q: %+v, %+v", typed, m, a)
		}
	}
	for _, typed := range []string{"", "minha senha de sempre", "abcdefghijklmno", "abcdefghijklmnop1", "abcd-efgh-ijkl-mnop"} {
		if got := wrongFields(MailDraft{Mail: Mail{Way: MailGmail, User: "a@gmail.example"}, MailAccess: MailAccess{Password: typed}}, Mail{}, MailAccess{}); !slices.Equal(got, []string{"password"}) {
			t.Errorf("%q: %v", typed, got)
		}
	}
}

func TestASecretLeftEmptyStaysAsItWas(t *testing.T) {
	before, access := applied(t, ownServer, Mail{}, MailAccess{})
	again := with(ownServer, func(d *MailDraft) { d.Password, d.Name = "", "Nova" })
	if m, a := applied(t, again, before, access); a.Password != "senha" || m.Name != "Nova" {
		t.Errorf("%+v, %+v", m, a)
	}
	before, access = applied(t, googleDraft, Mail{}, MailAccess{})
	access.RefreshToken = "1//x"
	if m, a := applied(t, with(googleDraft, func(d *MailDraft) { d.ClientSecret = "" }), before, access); a != access || m.Way != MailGoogleOAuth {
		t.Errorf("%+v", a)
	}
}

func TestAPasswordGoesToNoOtherServerOrUser(t *testing.T) {
	before, access := applied(t, ownServer, Mail{}, MailAccess{})
	for name, change := range map[string]func(*MailDraft){
		"another server": func(d *MailDraft) { d.Host = "mal.example" },
		"another user":   func(d *MailDraft) { d.User = "bia" },
		"at Google":      func(d *MailDraft) { d.Way, d.User = MailGmail, "a@gmail.example" },
	} {
		d := with(ownServer, func(d *MailDraft) { d.Password = ""; change(d) })
		if got := wrongFields(d, before, access); !slices.Contains(got, "password") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestConsentHoldsForItsAccountAndClientOnly(t *testing.T) {
	before, access := applied(t, googleDraft, Mail{}, MailAccess{})
	access.RefreshToken = "1//x"
	for name, change := range map[string]func(*MailDraft){
		"another account": func(d *MailDraft) { d.User = "b@gmail.example" },
		"another client":  func(d *MailDraft) { d.ClientID = "2-y.apps.googleusercontent.com" },
	} {
		if _, a := applied(t, with(googleDraft, change), before, access); a.RefreshToken != "" {
			t.Errorf("%s keeps the consent", name)
		}
	}
	var m Mail
	m, _ = applied(t, googleDraft, Mail{}, MailAccess{})
	if m.Seal(secret.New([32]byte{1}), MailAccess{ClientSecret: "x"}); m.Ready() || !m.Sends() {
		t.Error("ready without consent")
	}
	if m.Seal(secret.New([32]byte{1}), MailAccess{ClientSecret: "x", RefreshToken: "r"}); !m.Ready() {
		t.Error("not ready with consent")
	}
}

func TestWhatIsWrongIsToldBesideItsField(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*MailDraft)
		fields []string
	}{
		"no way":                  {func(d *MailDraft) { d.Way = "pombo" }, []string{"way"}},
		"nothing":                 {func(d *MailDraft) { *d = MailDraft{Mail: Mail{Way: MailServer}} }, []string{"host", "port", "from"}},
		"a host with a port":      {func(d *MailDraft) { d.Host = "smtp.x.example:587" }, []string{"host"}},
		"a host with a line":      {func(d *MailDraft) { d.Host = "smtp.x.example\r\nEHLO" }, []string{"host"}},
		"a port too high":         {func(d *MailDraft) { d.Port = 70000 }, []string{"port"}},
		"a sender with a name":    {func(d *MailDraft) { d.From = "Ana <a@x.example>" }, []string{"from"}},
		"a reply to two":          {func(d *MailDraft) { d.ReplyTo = "a@x.example,b@x.example" }, []string{"reply_to"}},
		"a name of two lines":     {func(d *MailDraft) { d.Name = "Ana\r\nBcc: b@x.example" }, []string{"name"}},
		"a long name":             {func(d *MailDraft) { d.Name = strings.Repeat("a", 81) }, []string{"name"}},
		"no password":             {func(d *MailDraft) { d.Password = "" }, []string{"password"}},
		"a password with NUL":     {func(d *MailDraft) { d.Password = "a\x00b" }, []string{"password"}},
		"no known sign-in":        {func(d *MailDraft) { d.Auth = "ntlm" }, []string{"auth"}},
		"no known security":       {func(d *MailDraft) { d.Security = "ssl2" }, []string{"security"}},
		"a password in the clear": {func(d *MailDraft) { d.Security = MailPlain }, []string{"security"}},
		"a token in the clear":    {func(d *MailDraft) { d.Security, d.Auth = MailPlain, MailAuthXOAUTH2 }, []string{"security"}},
		"a sender at an address":  {func(d *MailDraft) { d.From = "a@[127.0.0.1]" }, []string{"from"}},
		"LOGIN without a user":    {func(d *MailDraft) { d.User, d.Auth = "", MailAuthLogin }, []string{"user"}},
		"tokens in the clear": {func(d *MailDraft) {
			d.Auth, d.TokenURL, d.ClientID, d.RefreshToken = MailAuthXOAUTH2, "http://x.example/token", "id", "r"
		}, []string{"token_url"}},
		"tokens without one": {func(d *MailDraft) { d.Auth, d.TokenURL = MailAuthXOAUTH2, "https://x.example/token" }, []string{"client_id", "refresh_token"}},
		"no client":          {func(d *MailDraft) { *d = with(googleDraft, func(d *MailDraft) { d.ClientID = "x y" }) }, []string{"client_id"}},
	} {
		if got := wrongFields(with(ownServer, c.change), Mail{}, MailAccess{}); !slices.Equal(got, c.fields) {
			t.Errorf("%s: %v, want %v", name, got, c.fields)
		}
	}
	for name, change := range map[string]func(*MailDraft){
		"no sign-in": func(d *MailDraft) { d.User, d.Password = "", "" },
		"a relay that asks for no password, in the clear": func(d *MailDraft) { d.Auth, d.Security = MailAuthNone, MailPlain },
		"this machine, in the clear":                      func(d *MailDraft) { d.Host, d.Security = "127.0.0.1", MailPlain },
		"an address":                                      func(d *MailDraft) { d.Host = "10.0.0.5" },
		"IPv6":                                            func(d *MailDraft) { d.Host = "::1" },
		"tokens": func(d *MailDraft) {
			d.Auth, d.TokenURL, d.ClientID, d.RefreshToken = MailAuthXOAUTH2, "https://x.example/token", "id", "r"
		},
		"a bare token": func(d *MailDraft) { d.Auth, d.Password = MailAuthXOAUTH2, "token" },
	} {
		if _, _, err := with(ownServer, change).Apply(Mail{}, MailAccess{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoneForgetsWhatSignedIn(t *testing.T) {
	before, access := applied(t, ownServer, Mail{}, MailAccess{})
	m, a := applied(t, MailDraft{Mail: Mail{Way: MailNone}}, before, access)
	if a != (MailAccess{}) || m.Sends() || m.Host != "" {
		t.Errorf("%+v, %+v", m, a)
	}
}

func TestHintsGiveLittleAway(t *testing.T) {
	box := secret.New([32]byte{1})
	var m Mail
	for _, m.Way = range []MailWay{MailGmail, MailServer} {
		m.Seal(box, MailAccess{Password: "abcdefghijklmnop"})
		if m.PasswordHint != "…" || bytes.Contains(m.Sealed, []byte("abcdefgh")) {
			t.Errorf("%+v", m)
		}
	}
	m.Seal(box, MailAccess{})
	if m.PasswordHint != "" || m.Sealed != nil || m.Connected {
		t.Errorf("%+v", m)
	}
}
