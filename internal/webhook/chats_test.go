package webhook

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/alert"
)

// sent is what a chat was posted.
func sent(t *testing.T, kind alert.Channel, say alert.Text) object {
	t.Helper()
	got, address := receiver(t, with(200, "ok"))
	_, err := every(address)[kind].Send(context.Background(), delivery(kind), notice(), say)
	must(t, err)
	return decoded(t, got.body[0])
}

const hostile = "<!channel> <@U123> @everyone @here *negrito* `código` [aqui](https://mau.example) <b>x</b> & ~~fim~~ a@b.com.br"

func TestSlackIsWrittenInBlocksAndCallsNobody(t *testing.T) {
	o := sent(t, alert.Slack, alert.Text{Subject: "Alerta de " + hostile, Short: hostile, Link: "https://painel.example/portal?a=1&b=2"})
	blocks := o["blocks"].([]any)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks", len(blocks))
	}
	body := blocks[1].(object)["text"].(object)
	words := body["text"].(string)
	const want = "&lt;!channel&gt; &lt;@\u200bU123&gt; @\u200beveryone @\u200bhere ∗negrito∗ ˋcódigoˋ [aqui](https://mau.example) &lt;b&gt;x&lt;/b&gt; &amp; ∼∼fim∼∼ a@b.com.br"
	if words != want || body["verbatim"] != true || body["type"] != "mrkdwn" {
		t.Errorf("body %v", body)
	}
	for _, place := range []string{o["text"].(string), blocks[0].(object)["text"].(object)["text"].(string)} {
		if strings.ContainsAny(place, "<>") {
			t.Errorf("%q commands", place)
		}
	}
	if button := blocks[2].(object)["elements"].([]any)[0].(object); button["url"] != "https://painel.example/portal?a=1&b=2" {
		t.Errorf("button %v", button)
	}
}

func TestTeamsGetsAnAdaptiveCardWithoutMarkdown(t *testing.T) {
	o := sent(t, alert.Teams, alert.Text{Subject: "Alerta", Short: hostile + "\n\n" + "fim", Link: "https://painel.example/portal"})
	if o["type"] != "message" {
		t.Fatalf("%v", o)
	}
	part := o["attachments"].([]any)[0].(object)
	card := part["content"].(object)
	if part["contentType"] != "application/vnd.microsoft.card.adaptive" || card["type"] != "AdaptiveCard" {
		t.Fatalf("%v", part)
	}
	body := card["body"].([]any)
	if len(body) != 3 {
		t.Fatalf("%d blocks", len(body))
	}
	for _, b := range body { // text blocks would read Markdown
		if b.(object)["type"] != "RichTextBlock" {
			t.Errorf("%v", b)
		}
	}
	if card["actions"].([]any)[0].(object)["url"] != "https://painel.example/portal" {
		t.Errorf("actions %v", card["actions"])
	}
	if _, mentions := card["msteams"].(object)["entities"]; mentions {
		t.Error("somebody is mentioned")
	}
}

func TestDiscordShowsMarksAsTheyStandAndCallsNobody(t *testing.T) {
	o := sent(t, alert.Discord, alert.Text{Subject: "Alerta @everyone", Short: hostile, Link: "https://painel.example/portal"})
	embed := o["embeds"].([]any)[0].(object)
	const want = `\<!channel\> \<@` + "\u200b" + `U123\> @` + "\u200b" + `everyone @` + "\u200b" + `here \*negrito\* \` + "`" + `código\` + "`" +
		` \[aqui\]\(https://mau.example\) \<b\>x\</b\> & \~\~fim\~\~ a@b.com.br`
	if embed["description"] != want {
		t.Errorf("description\n%q\nwant\n%q", embed["description"], want)
	}
	if parse, is := o["allowed_mentions"].(object)["parse"].([]any); !is || len(parse) != 0 {
		t.Errorf("allowed mentions %v", o["allowed_mentions"])
	}
	if embed["url"] != "https://painel.example/portal" || o["content"] != "**Alerta @\u200beveryone**" {
		t.Errorf("%v", o)
	}
}

func TestTelegramIsWrittenToTheChatInEscapedHTML(t *testing.T) {
	got, address := receiver(t, with(200, `{"ok":true}`))
	answer, err := every(address)[alert.Telegram].Send(context.Background(), delivery(alert.Telegram), notice(),
		alert.Text{Subject: "Alerta", Short: hostile, Link: `https://painel.example/portal?a=1&b="2"`})
	must(t, err)
	o := decoded(t, got.body[0])
	if got.path[0] != "/bot123456789:AAEcanaryCANARYcanaryCANARYcanary1/sendMessage" || o["chat_id"] != "-100123" || o["parse_mode"] != "HTML" || answer != "HTTP 200" {
		t.Errorf("%s %v %q", got.path[0], o, answer)
	}
	const want = "<b>Alerta</b>\n\n&lt;!channel&gt; &lt;@\u200bU123&gt; @\u200beveryone @\u200bhere *negrito* `código` [aqui](https://mau.example) &lt;b&gt;x&lt;/b&gt; &amp; ~~fim~~ a@b.com.br" +
		"\n\n<a href=\"https://painel.example/portal?a=1&amp;b=&quot;2&quot;\">Abrir no FILA-IA</a>"
	if o["text"] != want {
		t.Errorf("text\n%q\nwant\n%q", o["text"], want)
	}
}

func TestNoHouseGetsMoreThanItTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"a", "&", "<", "*", "@x", "😀", "\n", "ç", "\\", "\x00", "\u202e", "\xff"})
		long := func(label string) string {
			return strings.Repeat(strings.Join(rapid.SliceOfN(piece, 1, 5).Draw(t, label), ""), rapid.IntRange(0, 4000).Draw(t, label+" times"))
		}
		say := alert.Text{Subject: long("subject"), Short: long("short"), Link: "https://painel.example/" + strings.Repeat("x", rapid.IntRange(0, 2500).Draw(t, "link"))}
		n := notice()
		var o struct {
			Text, Content string
			Blocks        []struct{ Text struct{ Text string } }
			Embeds        []struct{ Title, Description string }
		}
		read := func(body []byte, err error) {
			if err != nil || !utf8.Valid(body) || strings.Contains(string(body), "\u202e") {
				t.Fatalf("%v: %q", err, body)
			}
			o.Text, o.Content, o.Blocks, o.Embeds = "", "", nil, nil
			if err := json.Unmarshal(body, &o); err != nil {
				t.Fatal(err)
			}
		}
		read(slack(n, say))
		for _, b := range o.Blocks {
			if units(b.Text.Text) > 3000 {
				t.Fatalf("a block of %d", units(b.Text.Text))
			}
		}
		read(discord(n, say))
		if units(o.Content) > 2000 || units(o.Embeds[0].Description) > 4096 || units(o.Embeds[0].Title) > 256 {
			t.Fatalf("Discord gets %d and %d", units(o.Content), units(o.Embeds[0].Description))
		}
		read(telegram(n, say, "1"))
		visible := o.Text // Telegram counts what is left when its marks are read
		if i := strings.LastIndex(visible, "\n\n<a "); i >= 0 {
			visible = visible[:i] + "Abrir no FILA-IA"
		}
		if units(visible) > 4096 {
			t.Fatalf("Telegram gets %d", units(visible))
		}
		body, err := teams(n, say)
		if read(body, err); len(body) > 28<<10 {
			t.Fatalf("Teams gets %d bytes", len(body))
		}
	})
}

func TestNoChatIsToldTheSubjectTwice(t *testing.T) {
	say := alert.Text{Subject: "Aviso: 80 %", Short: "Aviso: 80 %\nRestam 20 %."}
	for _, kind := range chats {
		body, err := json.Marshal(sent(t, kind, say))
		must(t, err)
		want := 1
		if kind == alert.Slack || kind == alert.Teams { // in notifications too
			want = 2
		}
		if got := strings.Count(string(body), "Aviso"); got != want || !strings.Contains(string(body), "Restam 20 %.") {
			t.Errorf("%s: %d times in %s", kind, got, body)
		}
	}
}
