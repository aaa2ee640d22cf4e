package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// postbox is a ChannelSender that keeps what it is to send; how things are sent is tested where that is done.
type postbox struct {
	sent   []alert.Delivery
	texts  []alert.Text
	answer string
	err    error
	plain  bool
}

func (b *postbox) Send(_ context.Context, d alert.Delivery, _ alert.Notice, t alert.Text) (string, error) {
	b.sent, b.texts = append(b.sent, d), append(b.texts, t)
	return b.answer, b.err
}

func (b *postbox) Check(_ context.Context, address string) error {
	if strings.Contains(address, "private.example") {
		var f fault.Form
		f.Reject("url", "channels.error.private")
		return f.Err()
	}
	return nil
}

func (b *postbox) Plain() bool { return b.plain }

// newChannelSite has channels, and a box for what they send.
func newChannelSite(t *testing.T) (*site, *postbox) {
	t.Helper()
	s, box := newSite(t), &postbox{answer: "HTTP 200: ok"}
	s.Panel.Channels, s.Panel.ChannelSender = s.store, box
	return s, box
}

const slackSecret = "https://hooks.slack.com/services/T0CANARY/B0CANARY/s3cr3tCANARY"

func channelForm(kind string, more ...string) url.Values {
	v := url.Values{"kind": {kind}, "name": {"#alertas"}, "language": {"pt-BR"}, "active": {"on"}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

// madeAt is where a form that worked leads.
func madeAt(t *testing.T, a answer) string {
	t.Helper()
	a.status(http.StatusSeeOther)
	return a.head.Get("Location")
}

func TestAChannelIsMadeListedAndShownWithoutItsAddress(t *testing.T) {
	for role, base := range map[tenancy.Role]string{tenancy.Manager: "/alerts/channels", tenancy.TenantAdmin: "/portal/alerts/channels"} {
		s, _ := newChannelSite(t)
		b := s.as(t, role)
		b.get(base).status(http.StatusOK).has("Nenhum canal ainda", base+"/new")
		b.get(base+"/new").status(http.StatusOK).has("Slack", "Microsoft Teams", "Discord", "Telegram", "Webhook assinado")
		b.get(base+"/new?kind=slack").status(http.StatusOK).has("Incoming Webhooks", "https://hooks.slack.com/services/…")
		path := madeAt(t, b.post(base, channelForm("slack", "url", slackSecret)))
		if !strings.HasPrefix(path, base+"/") {
			t.Fatalf("leads to %s", path)
		}
		for _, page := range []string{base, path, path + "/edit"} {
			b.get(page).status(http.StatusOK).has("#alertas", "hooks.slack.com").lacks("CANARY")
		}
		if where := "/alerts/rules"; role == tenancy.Manager {
			b.get(path).has(text("channels.rules_none"), `class="notice-link" href="`+where+`"`)
		} else {
			b.get(path).has(text("channels.rules_none_portal"), `class="notice-link" href="/portal/alerts/settings"`).lacks(text("channels.rules"))
			b.get(base).has("<h1>"+text("alert_events.title")+"</h1>", text("channels.col.notices")).lacks(text("channels.col.rules"))
		}
		var dump string
		must(t, s.db.Get(&dump, `SELECT (SELECT string_agg(c::text, ' ') FROM alert_channels c) || (SELECT string_agg(a::text, ' ') FROM audit_log a)`))
		if strings.Contains(dump, "CANARY") || strings.Contains(s.log.all(), "CANARY") {
			t.Error("the address is in the database or in the log as it is")
		}
	}
}

func TestAnAddressLeftEmptyIsKeptAndAnotherReplacesIt(t *testing.T) {
	s, _ := newChannelSite(t)
	b := s.as(t, tenancy.Owner)
	path := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	access := func() alert.Access {
		list, err := s.store.Channels(context.Background(), 0)
		must(t, err)
		d, err := s.store.SendingChannel(context.Background(), list[0].ID)
		must(t, err)
		plain, err := s.Credentials.Open(d.Sealed, d.SealedAs())
		must(t, err)
		a, err := alert.ReadAccess(plain)
		must(t, err)
		return a
	}
	b.post(path, channelForm("slack", "name", "#outra")).status(http.StatusSeeOther)
	if a := access(); a.URL != slackSecret {
		t.Errorf("kept %q", a.URL)
	}
	b.post(path, channelForm("slack", "url", "https://chat.example/hooks/abc")).status(http.StatusSeeOther)
	if a := access(); a.URL != "https://chat.example/hooks/abc" {
		t.Errorf("replaced by %q", a.URL)
	}
	b.get(path).has("chat.example").lacks("hooks/abc")
	b.post(path+"/off", nil).status(http.StatusSeeOther)
	b.get(path).has("Desligado")
	b.post(path+"/on", nil).status(http.StatusSeeOther)
	if a := access(); a.URL != "https://chat.example/hooks/abc" {
		t.Errorf("after it was switched off and on: %q", a.URL)
	}
	s.Panel.Credentials = secret.New([32]byte{8}) // what is sealed with another key
	b.get(path + "/edit").status(http.StatusOK)
	b.post(path, channelForm("slack")).status(http.StatusUnprocessableEntity)
	b.post(path, channelForm("slack", "url", slackSecret)).status(http.StatusSeeOther)
}

func TestWhatIsWrongStandsBesideItsFieldAndWhatWasTypedStays(t *testing.T) {
	s, _ := newChannelSite(t)
	b := s.as(t, tenancy.Owner)
	for name, c := range map[string]struct {
		form url.Values
		want []string
	}{
		"not https":       {channelForm("webhook", "url", "http://a.example/x"), []string{"começar com https://", `value="http://a.example/x"`}},
		"private":         {channelForm("webhook", "url", "https://private.example/x"), []string{"rede privada", `value="https://private.example/x"`}},
		"a number":        {channelForm("webhook", "url", "https://2130706433/x"), []string{"por extenso"}},
		"a connector":     {channelForm("teams", "url", "https://acme.webhook.office.com/webhookb2/x"), []string{"antigos Conectores"}},
		"no address":      {channelForm("discord"), []string{"f-url-error"}},
		"malformed token": {channelForm("telegram", "token", "senha", "chat", "sala"), []string{"não parece um token", "número da conversa", `value="sala"`}},
		"no name":         {channelForm("slack", "url", slackSecret, "name", ""), []string{"f-name-error"}},
	} {
		t.Run(name, func(t *testing.T) {
			b.post("/alerts/channels", c.form).status(http.StatusUnprocessableEntity).has(c.want...)
		})
	}
	b.post("/alerts/channels", channelForm("email", "url", slackSecret)).status(http.StatusUnprocessableEntity)
	if list, _ := s.store.Channels(context.Background(), 0); len(list) != 0 {
		t.Errorf("made %v", list)
	}
}

var shownSigning = regexp.MustCompile(`data-secret-value>(whsec_[^<]+)<`)

func TestASigningSecretIsShownOnceAndTheOldOneGoesOnForADay(t *testing.T) {
	s, _ := newChannelSite(t)
	b := s.as(t, tenancy.Owner)
	made := b.post("/alerts/channels", channelForm("webhook", "url", "https://sistema.example/alertas")).status(http.StatusOK).has("Canal criado")
	secretIn := func(a answer) string {
		found := shownSigning.FindStringSubmatch(a.body)
		if found == nil || !strings.Contains(a.head.Get("Cache-Control"), "no-store") {
			t.Fatalf("no secret, or it is kept: %v\n%s", a.head, a.body)
		}
		return strings.ReplaceAll(found[1], "&#43;", "+")
	}
	first := secretIn(made)
	list, err := s.store.Channels(context.Background(), 0)
	must(t, err)
	path := channelPages{s.Panel, false}.path(list[0].ID)
	holding := func() []string {
		d, err := s.store.SendingChannel(context.Background(), list[0].ID)
		must(t, err)
		plain, err := s.Credentials.Open(d.Sealed, d.SealedAs())
		must(t, err)
		a, err := alert.ReadAccess(plain)
		must(t, err)
		return a.Signing(s.Now())
	}
	if got := holding(); !slices.Equal(got, []string{first}) {
		t.Errorf("signs with %d secrets", len(got))
	}
	b.get(path).has("Um segredo em uso").lacks("whsec_")
	second := secretIn(b.post(path+"/rotate", nil).status(http.StatusOK))
	if got := holding(); first == second || !slices.Equal(got, []string{second, first}) {
		t.Errorf("while it is rotated it signs with %d secrets", len(got))
	}
	b.get(path).has("Dois segredos em uso").lacks("whsec_")
	b.post(path, channelForm("webhook", "name", "novo nome")).status(http.StatusSeeOther)
	if got := holding(); !slices.Equal(got, []string{second, first}) {
		t.Errorf("after an edit it signs with %d secrets", len(got))
	}
	slack := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	b.post(slack+"/rotate", nil).status(http.StatusNotFound)
	s.clock.pass(25 * time.Hour)
	if got := holding(); !slices.Equal(got, []string{second}) {
		t.Errorf("a day later it signs with %d secrets", len(got))
	}
}

func TestATestIsSentAndTheAnswerShown(t *testing.T) {
	s, box := newChannelSite(t)
	b := s.as(t, tenancy.TenantAdmin)
	path := madeAt(t, b.post("/portal/alerts/channels", channelForm("slack", "url", slackSecret, "language", "en")))
	b.header.Set("HX-Request", "true")
	b.post(path+"/test", nil).status(http.StatusOK).has("O teste foi entregue", "HTTP 200: ok")
	box.answer, box.err = "HTTP 404: no_service", alert.Refused(errors.New("HTTP 404: no_service"))
	b.post(path+"/test", nil).status(http.StatusOK).has("O teste não foi entregue", "no_service", "gere um novo")
	d := box.sent[0]
	if d.Kind != alert.TestNotice || d.TenantID != b.user.TenantID || d.Channel != alert.Slack || d.MessageID == box.sent[1].MessageID {
		t.Errorf("sent %+v", d)
	}
	if text := box.texts[0]; text.Subject != "Test of channel #alertas" || text.Link != siteAddress+path {
		t.Errorf("in the channel's language: %+v", text)
	}
	b.header.Del("HX-Request")
	b.post(path+"/test", nil).status(http.StatusSeeOther)
	b.get(path).has("no_service")
	s.Panel.ChannelSender = nil
	b.header.Set("HX-Request", "true")
	b.post(path+"/test", nil).status(http.StatusOK).has("não está disponível")
}

func TestAnOwnersTestsAreFewAMinute(t *testing.T) {
	s, box := newChannelSite(t)
	team, customer := s.as(t, tenancy.Manager), s.as(t, tenancy.TenantAdmin)
	theirs := madeAt(t, customer.post("/portal/alerts/channels", channelForm("slack", "url", slackSecret)))
	ours := madeAt(t, team.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	customer.header.Set("HX-Request", "true")
	team.header.Set("HX-Request", "true")
	for range maxTests {
		customer.post(theirs+"/test", nil).has("O teste foi entregue")
	}
	customer.post(theirs+"/test", nil).status(http.StatusOK).has(text("channels.test_wait"))
	if len(box.sent) != maxTests {
		t.Errorf("%d tests were sent, want %d", len(box.sent), maxTests)
	}
	team.post(ours+"/test", nil).has("O teste foi entregue")
	s.clock.pass(time.Minute)
	customer.post(theirs+"/test", nil).has("O teste foi entregue")
}

func TestNobodyTouchesAnotherOwnersChannels(t *testing.T) {
	s, box := newChannelSite(t)
	mine := s.as(t, tenancy.TenantAdmin)
	mine.post("/portal/alerts/channels", channelForm("webhook", "url", "https://a.example/x")).status(http.StatusOK)
	list, err := s.store.Channels(context.Background(), mine.user.TenantID)
	must(t, err)
	path := channelPages{s.Panel, true}.path(list[0].ID)
	id := path[strings.LastIndexByte(path, '/')+1:]
	others := map[string]*browser{
		"/portal/alerts/channels/" + id: s.as(t, tenancy.TenantAdmin),
		"/alerts/channels/" + id:        s.as(t, tenancy.Owner), // a customer's channels are the customer's own
	}
	for there, b := range others {
		b.get(there).status(http.StatusNotFound)
		b.get(there + "/edit").status(http.StatusNotFound)
		for _, act := range []string{"", "/test", "/rotate", "/on", "/off", "/delete"} {
			b.post(there+act, channelForm("webhook", "name", "mudou")).status(http.StatusNotFound)
		}
		b.get(strings.TrimSuffix(there, "/"+id)).status(http.StatusOK).lacks("#alertas")
	}
	if len(box.sent) != 0 {
		t.Error("a test was sent through it")
	}
	mine.get(path).status(http.StatusOK).has("#alertas", "Ligado")
}

func TestWhoMayOnlyReadChangesNoChannel(t *testing.T) {
	for reader, c := range map[tenancy.Role]struct {
		editor tenancy.Role
		base   string
	}{tenancy.Viewer: {tenancy.Manager, "/alerts/channels"}, tenancy.TenantViewer: {tenancy.TenantAdmin, "/portal/alerts/channels"}} {
		s, _ := newChannelSite(t)
		editor := s.as(t, c.editor)
		path := madeAt(t, editor.post(c.base, channelForm("slack", "url", slackSecret)))
		who := s.user(t, reader)
		if editor.user.TenantID != 0 {
			_, err := s.db.Exec(`UPDATE users SET tenant_id = $1 WHERE id = $2`, editor.user.TenantID, who.ID)
			must(t, err)
		}
		b := s.signedIn(t, who)
		for _, page := range []string{c.base, path} {
			b.get(page).status(http.StatusOK).has("#alertas").lacks(c.base+"/new", path+"/edit", path+"/test", path+"/delete")
		}
		b.get(c.base + "/new").status(http.StatusForbidden)
		b.get(path + "/edit").status(http.StatusForbidden)
		for _, act := range []string{c.base, path, path + "/test", path + "/rotate", path + "/off", path + "/delete"} {
			b.post(act, channelForm("slack", "url", slackSecret)).status(http.StatusForbidden)
		}
	}
}

func TestADeletedChannelIsGoneAndItsPageTellsWhichRulesUsedIt(t *testing.T) {
	s, _ := newChannelSite(t)
	b := s.as(t, tenancy.Owner)
	path := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	_, err := s.db.Exec(`UPDATE alert_rules SET channel_ids = (SELECT array_agg(id) FROM alert_channels), name = 'Aviso do financeiro' WHERE metric = 'overage'`)
	must(t, err)
	b.get(path).has("Aviso do financeiro", "1 regra deixa de avisar por aqui")
	b.get("/alerts/rules").has("#alertas")
	if to := madeAt(t, b.post(path+"/delete", nil)); to != "/alerts/channels" {
		t.Errorf("leads to %s", to)
	}
	b.get(path).status(http.StatusNotFound)
	b.get("/alerts/channels").has("Nenhum canal ainda")
	b.get("/alerts/rules").has("Aviso do financeiro").lacks("#alertas")
}

func TestAFailedTestIsNotToldAsASuccessWithoutScripts(t *testing.T) {
	s, box := newChannelSite(t)
	b := s.as(t, tenancy.Manager)
	path := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	b.get(path) // takes what was told
	box.answer, box.err = "HTTP 500: away", errors.New("away")
	b.post(path+"/test", nil).leadsTo(path)
	b.get(path).has(`class="toast-note tone-bad"`, "HTTP 500: away").lacks(`class="toast-note tone-ok"`)
	box.answer, box.err = "HTTP 200: ok", nil
	b.post(path+"/test", nil).leadsTo(path)
	b.get(path).has(`class="toast-note tone-ok"`, "HTTP 200: ok")
}

func TestTwoChannelsOfAnOwnerHaveTwoNames(t *testing.T) {
	s, _ := newChannelSite(t)
	b := s.as(t, tenancy.Manager)
	first := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	b.post("/alerts/channels", channelForm("slack", "url", slackSecret, "name", "#ALERTAS")).status(http.StatusUnprocessableEntity).has(text("channels.error.name_taken"))
	second := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret, "name", "#outro")))
	b.post(second, channelForm("slack", "name", "#alertas")).status(http.StatusUnprocessableEntity).has(text("channels.error.name_taken"))
	b.post(first, channelForm("slack", "name", "#Alertas")).leadsTo(first)
	s.as(t, tenancy.TenantAdmin).post("/portal/alerts/channels", channelForm("slack", "url", slackSecret)).status(http.StatusSeeOther)
}

func TestAChannelShowsWhatWentThroughItAndThatItFails(t *testing.T) {
	s, _ := newChannelSite(t)
	b := s.as(t, tenancy.Manager)
	path := madeAt(t, b.post("/alerts/channels", channelForm("slack", "url", slackSecret)))
	b.get(path).has(text("channels.sent_none")).lacks(text("channels.state.failing"))
	event := s.raised(t, "operator", "queue_age", 0)
	tried := func(batch, state, outcome, answer string) {
		var id int64
		must(t, s.db.Get(&id, `INSERT INTO deliveries (batch, kind, audience, channel, channel_id, recipient, language, event_ids, state, attempts, due_at, created_at)
			SELECT $1, 'alert', 'operator', 'slack', id, 'channel:' || id, 'pt-BR', ARRAY[$2::bigint], $3, 1, now(), now() FROM alert_channels RETURNING id`, batch, event, state))
		_, err := s.db.Exec(`INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer) VALUES ($1, now(), 12, $2, $3)`, id, outcome, answer)
		must(t, err)
	}
	tried("one", "pending", "retry", "HTTP 503: <canary>")
	b.get(path).has(text("channels.state.failing"), "HTTP 503: &lt;canary&gt;", "/alerts/"+strconv.FormatInt(event, 10)).lacks("<canary>")
	b.get("/alerts/channels").has(text("channels.state.failing"))
	tried("two", "delivered", "delivered", "HTTP 200: ok")
	b.get(path).has("HTTP 503", "HTTP 200: ok", text("channels.state.active")).lacks(text("channels.state.failing"))
	b.get("/alerts/channels").lacks(text("channels.state.failing"))
}
