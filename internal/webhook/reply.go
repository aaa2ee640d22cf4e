package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"html"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
)

// judge tells what an answer means. What a chat refuses it refuses for good; who runs a receiver of webhooks may mend it,
// so only 410 (Gone) ends that.
func judge(say i18n.Printer, hide secrets, kind alert.Channel, r *http.Response, body []byte, now time.Time) (string, error) {
	answer := "HTTP " + strconv.Itoa(r.StatusCode)
	if words := hide.scrub(said(kind, r.Header, body)); words != "" {
		answer += ": " + words
	}
	switch code := r.StatusCode; {
	case code >= 200 && code < 300:
		return answer, nil
	case code >= 300 && code < 400:
		return refuse(answer + " – " + say.T("channels.answer.redirect", "host", hide.scrub(redirectHost(r))))
	case code == http.StatusGone, kind != alert.Webhook && final(code):
		return refuse(answer)
	}
	wait := waitOf(r.Header, kind, body, now)
	if wait > 0 {
		answer += " – " + say.T("channels.answer.wait", "n", int64(wait/time.Second))
	}
	return answer, &Later{words: answer, After: wait}
}

// final tells whether a chat means its refusal for good.
func final(code int) bool {
	return code >= 400 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusTooManyRequests
}

// longestHost is that of a name, with a port.
const longestHost = 253 + len(":65535")

func redirectHost(r *http.Response) string {
	to, err := r.Location()
	if err != nil || len(to.Host) > longestHost {
		return "?"
	}
	return to.Host
}

// title is that of a page.
var title = regexp.MustCompile(`(?is)<title[^>]*>([^<]{1,200})`)

// said is what an answer says to people: the chats' own descriptions, a page's title, else its text.
func said(kind alert.Channel, h http.Header, body []byte) string {
	var told struct {
		Description string `json:"description"` // Telegram's
		Message     string `json:"message"`     // Discord's
	}
	if kind == alert.Telegram || kind == alert.Discord {
		if json.Unmarshal(body, &told) == nil {
			return cmp.Or(told.Description, told.Message)
		}
	}
	if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		if found := title.FindSubmatch(body); found != nil {
			return html.UnescapeString(string(found[1]))
		}
		return ""
	}
	return string(body)
}

// failed tells of a request that got no answer.
func failed(ctx context.Context, say i18n.Printer, hide secrets, host string, err error) (string, error) {
	if errors.Is(err, errPrivate) {
		return refuse(say.T("channels.error.private"))
	}
	var network net.Error
	if ctx.Err() != nil || errors.As(err, &network) && network.Timeout() {
		words := say.T("channels.answer.slow", "n", int64(sendTime/time.Second))
		return words, &Later{words: words}
	}
	words := hide.scrub(unreached(say, host, err))
	return words, &Later{words: words}
}

// unreached says why there was no answer. The names and addresses of the operator's own servers, such as those that resolve
// names, are left out.
func unreached(say i18n.Printer, host string, err error) string {
	var name *net.DNSError
	var dial *net.OpError
	var proof *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return say.T("channels.answer.no_host", "host", host)
	case errors.As(err, &proof):
		return say.T("channels.answer.certificate", "host", host, "why", proof.Err.Error())
	case errors.As(err, &dial) && dial.Op == "dial":
		return say.T("channels.answer.no_connection", "host", host)
	}
	var whole *url.Error // names the address, which is secret
	if errors.As(err, &whole) {
		err = whole.Err
	}
	return say.T("channels.answer.broken", "host", host, "why", err.Error())
}

// secrets are the texts that must not be told, the longest first.
type secrets []string

// leastSecret is how long a part of an address must be to be taken for one; shorter ones are in every text.
const leastSecret = 6

// secretsOf are the secrets of an access, and every part of it that could give it away.
func secretsOf(a alert.Access) secrets {
	var all secrets
	add := func(text string) {
		if len(text) >= leastSecret {
			all = append(all, text)
		}
	}
	add(a.Token)
	if _, key, ok := strings.Cut(a.Token, ":"); ok {
		add(key)
	}
	for _, s := range a.Secrets {
		add(s.Secret)
		add(strings.TrimPrefix(s.Secret, alert.SigningPrefix))
	}
	if u, err := url.Parse(a.URL); err == nil {
		for _, text := range []string{a.URL, u.RequestURI(), u.Path, u.EscapedPath(), u.RawQuery} {
			add(text)
		}
		for _, part := range strings.FieldsFunc(u.Path+"/"+u.EscapedPath(), func(r rune) bool { return r == '/' }) {
			add(part)
		}
		for _, values := range u.Query() {
			for _, v := range values {
				add(v)
				add(url.QueryEscape(v))
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(all)
}

// answerRunes is the longest that is kept of an answer.
const answerRunes = 300

// scrub makes a text fit to be kept and shown: one line, no secrets, not long.
func (all secrets) scrub(text string) string {
	text = strings.ToValidUTF8(text, "�")
	for _, one := range all {
		text = hidden(text, one)
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > answerRunes {
		text = string(runes[:answerRunes]) + "…"
	}
	return text
}

// hidden puts … for every occurrence of a secret, whatever its case.
func hidden(text, secret string) string {
	if strings.Contains(text, secret) {
		text = strings.ReplaceAll(text, secret, "…")
	}
	low, sought := strings.ToLower(text), strings.ToLower(secret)
	if len(low) != len(text) || len(sought) != len(secret) || !strings.Contains(low, sought) {
		return text // letters whose case changes their length: the exact text is gone at least
	}
	var b strings.Builder
	for {
		i := strings.Index(low, sought)
		if i < 0 {
			break
		}
		b.WriteString(text[:i] + "…")
		text, low = text[i+len(secret):], low[i+len(sought):]
	}
	return b.String() + text
}
