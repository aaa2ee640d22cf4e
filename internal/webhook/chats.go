package webhook

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/fila-ia/filaia/internal/alert"
)

// What the houses take at most, in characters; a little less, as they count after their own fashion.
const (
	slackHead, slackBody       = 300, 2900 // a section takes 3,000
	slackButton                = 75
	teamsHead, teamsBody       = 300, 6000  // a message takes 28 KB
	teamsParts                 = 40         // what is more stands in the last
	discordHead, discordBody   = 1900, 4000 // content takes 2,000, an embed's description 4,096
	discordTitle               = 250
	telegramHead, telegramBody = 300, 3400 // a message takes 4,096
	maxLink                    = 2000
)

// object is a JSON object.
type object = map[string]any

// written leaves &, < and > as they are: the houses count them as they come.
func written(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// slack writes for an incoming webhook: blocks for those who look, text for notifications. verbatim keeps Slack from
// looking for links and names itself.
func slack(n alert.Notice, t alert.Text) ([]byte, error) {
	head, body := fit(t.Subject, slackHead, slackMark), fit(rest(t), slackBody, slackMark)
	section := func(text string) object {
		return object{"type": "section", "text": object{"type": "mrkdwn", "text": text, "verbatim": true}}
	}
	blocks := []object{section("*" + strings.ReplaceAll(head, "\n", " ") + "*")}
	if body != "" {
		blocks = append(blocks, section(body))
	}
	if linkable(t.Link) {
		blocks = append(blocks, object{"type": "actions", "elements": []object{{
			"type": "button", "url": t.Link, "text": object{"type": "plain_text", "text": fit(button(n), slackButton, asIs), "emoji": false},
		}}})
	}
	return written(object{"text": head, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

// teams writes an adaptive card for a workflow that posts to a channel; the cards of the retired connectors are not
// taken there. Runs of rich text read no Markdown, unlike text blocks.
func teams(n alert.Notice, t alert.Text) ([]byte, error) {
	rich := func(run object, spacing string) object {
		run["type"] = "TextRun"
		return object{"type": "RichTextBlock", "spacing": spacing, "inlines": []object{run}}
	}
	body := []object{rich(object{"text": fit(t.Subject, teamsHead, asIs), "weight": "Bolder", "size": "Medium"}, "None")}
	for _, part := range strings.SplitN(fit(rest(t), teamsBody, asIs), "\n", teamsParts) {
		if part = strings.TrimSpace(strings.ReplaceAll(part, "\n", " ")); part != "" {
			body = append(body, rich(object{"text": part}, "Small"))
		}
	}
	card := object{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": body, "msteams": object{"width": "Full"}, "fallbackText": fit(t.Subject, teamsHead, asIs),
	}
	if linkable(t.Link) {
		card["actions"] = []object{{"type": "Action.OpenUrl", "title": button(n), "url": t.Link}}
	}
	return written(object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card,
	}}})
}

// discord writes for a channel's webhook. No mention calls anybody.
func discord(n alert.Notice, t alert.Text) ([]byte, error) {
	embed := object{"description": fit(rest(t), discordBody, discordMark)}
	if linkable(t.Link) {
		embed["title"], embed["url"] = fit(button(n), discordTitle, asIs), t.Link
	}
	return written(object{
		"content": "**" + fit(t.Subject, discordHead, discordMark) + "**", "embeds": []object{embed},
		"allowed_mentions": object{"parse": []string{}},
	})
}

// telegram writes for a bot's sendMessage.
func telegram(n alert.Notice, t alert.Text, chat string) ([]byte, error) {
	text := "<b>" + fit(t.Subject, telegramHead, htmlMark) + "</b>"
	if body := rest(t); body != "" {
		text += "\n\n" + fit(body, telegramBody, htmlMark)
	}
	if linkable(t.Link) {
		text += "\n\n<a href=\"" + escaped(t.Link, htmlMark) + "\">" + escaped(button(n), htmlMark) + "</a>"
	}
	return written(object{"chat_id": chat, "text": text, "parse_mode": "HTML", "link_preview_options": object{"is_disabled": true}})
}

// linkable tells whether a house takes the link: an overlong one would cost the whole message.
func linkable(link string) bool {
	return len(link) <= maxLink && (strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://"))
}

// rest is what is said below the subject, which texts may begin with.
func rest(t alert.Text) string { return strings.TrimSpace(strings.TrimPrefix(t.Short, t.Subject)) }
