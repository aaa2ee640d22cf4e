package webhook

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

var chats = []alert.Channel{alert.Slack, alert.Teams, alert.Discord, alert.Telegram}

// every is a Sender for each kind to the same receiver.
func every(address string) map[alert.Channel]*Sender {
	senders := map[alert.Channel]*Sender{}
	for _, kind := range append(chats, alert.Webhook) {
		a := alert.Access{URL: address + "/services/T0CANARY/s3cr3tCanary", Token: "123456789:AAEcanaryCANARYcanaryCANARYcanary1", Chat: "-100123"}
		a = a.Rotate(alert.NewSigningSecret([32]byte{9}), begun, 0)
		o := door(kind, a)
		senders[kind] = New(Config{Doors: o, Private: true, Telegram: address})
	}
	return senders
}

func TestWhatIsRefusedForGoodDependsOnWhoAnswers(t *testing.T) {
	for _, c := range []struct {
		code          int
		chat, webhook string
	}{
		{200, "ok", "ok"}, {202, "ok", "ok"}, {204, "ok", "ok"},
		{301, "refused", "refused"}, {302, "refused", "refused"}, {307, "refused", "refused"}, {308, "refused", "refused"}, {304, "refused", "refused"},
		{400, "refused", "again"}, {401, "refused", "again"}, {403, "refused", "again"}, {404, "refused", "again"}, {405, "refused", "again"},
		{410, "refused", "refused"}, {413, "refused", "again"}, {422, "refused", "again"},
		{408, "again", "again"}, {425, "again", "again"}, {429, "again", "again"}, {500, "again", "again"}, {502, "again", "again"}, {503, "again", "again"},
	} {
		_, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/steal")
			w.WriteHeader(c.code)
		})
		for kind, s := range every(address) {
			want := c.chat
			if kind == alert.Webhook {
				want = c.webhook
			}
			answer, err := s.Send(context.Background(), delivery(kind), notice(), text())
			got := "ok"
			if err != nil {
				got = "again"
			}
			if errors.Is(err, alert.ErrRefused) {
				got = "refused"
			}
			if got != want || !strings.HasPrefix(answer, "HTTP "+strconv.Itoa(c.code)) {
				t.Errorf("%s, %d: %s (%q, %v), want %s", kind, c.code, got, answer, err, want)
			}
		}
	}
}

func TestRedirectsAreNotFollowedAndTheAnswerSaysSo(t *testing.T) {
	led, there := receiver(t, nil)
	_, address := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, there+"/inside?token=canary", http.StatusFound)
	})
	for kind, s := range every(address) {
		answer, err := s.Send(context.Background(), delivery(kind), notice(), text())
		if !errors.Is(err, alert.ErrRefused) || !strings.Contains(answer, "redirecionamentos não são seguidos") || strings.Contains(answer, "inside") {
			t.Errorf("%s: %q, %v", kind, answer, err)
		}
	}
	if led.count() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestWhereARedirectLeadsIsToldInAFewWords(t *testing.T) {
	for to, want := range map[string]string{
		"https://" + strings.Repeat("a", 50_000) + ".example/":          "?",
		"https://s3cr3tcanary.example/":                                 "….example",
		"https://other.example:8443/services/T0CANARY/s3cr3tCanary?t=1": "other.example:8443",
	} {
		_, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		})
		answer, _ := every(address)[alert.Webhook].Send(context.Background(), delivery(alert.Webhook), notice(), text())
		if len(answer) > 200 || !strings.Contains(answer, want) || strings.Contains(strings.ToLower(answer), "s3cr3t") {
			t.Errorf("%.40s: %.300q", to, answer)
		}
	}
}

func TestASlowReceiverIsTriedAgain(t *testing.T) {
	stop := make(chan struct{})
	_, address := receiver(t, func(http.ResponseWriter, *http.Request) { <-stop })
	t.Cleanup(func() { close(stop) }) // before the receiver is closed
	s := open(door(alert.Slack, alert.Access{URL: address}))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	answer, err := s.Send(ctx, delivery(alert.Slack), notice(), text())
	if err == nil || errors.Is(err, alert.ErrRefused) || answer != "Não houve resposta em 10 segundos." {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestAnEndlessAnswerIsReadInPartAndKeptInLess(t *testing.T) {
	for code, accepted := range map[int]bool{200: true, 500: false} {
		wrote := make(chan int64, 1)
		_, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			piece, n := strings.Repeat("x", 32<<10), int64(0)
			for { // until the other side hangs up
				k, err := io.WriteString(w, piece)
				if n += int64(k); err != nil {
					break
				}
			}
			wrote <- n
		})
		answer, err := open(door(alert.Slack, alert.Access{URL: address})).Send(context.Background(), delivery(alert.Slack), notice(), text())
		if (err == nil) != accepted || len(answer) > 400 {
			t.Errorf("%d: %d bytes kept, %v", code, len(answer), err)
		}
		if n := <-wrote; n > 64<<20 {
			t.Errorf("%d: %d bytes were taken", code, n)
		}
	}
}

func TestWhatWasAcceptedStaysAcceptedWhenTheAnswerBreaksOff(t *testing.T) {
	_, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "received")
	})
	if answer, err := open(door(alert.Slack, alert.Access{URL: address})).Send(context.Background(), delivery(alert.Slack), notice(), text()); err != nil || answer != "HTTP 200: received" {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestSecretsAreInNoAnswerAndNoError(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"echo": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "Cannot POST "+r.URL.RequestURI()+" at http://"+r.Host+r.URL.RequestURI()+" "+strings.ToUpper(r.URL.Path))
		},
		"described": with(400, `{"ok":false,"description":"bot123456789:AAEcanaryCANARYcanaryCANARYcanary1 is unknown","message":"s3cr3tCanary"}`),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI()+"/", http.StatusMovedPermanently)
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "this is no HTTP\r\n\r\n")
				c.Close()
			}
		},
	}
	check := func(name string, senders map[alert.Channel]*Sender) {
		for kind, s := range senders {
			answer, err := s.Send(context.Background(), delivery(kind), notice(), text())
			if err == nil {
				t.Errorf("%s, %s: it is taken for delivered", name, kind)
				continue
			}
			for _, word := range []string{"canary", "whsec_", alert.NewSigningSecret([32]byte{9})[6:]} {
				if strings.Contains(strings.ToLower(answer+err.Error()), strings.ToLower(word)) {
					t.Errorf("%s, %s tells %q: %q, %v", name, kind, word, answer, err)
				}
			}
			if answer == "" {
				t.Errorf("%s, %s: no words", name, kind)
			}
		}
	}
	for name, answer := range answers {
		_, address := receiver(t, answer)
		check(name, every(address))
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	check("nobody there", every("http://"+closed.Addr().String()))
	check("no such name", every("http://nothing..invalid"))
	foreign := httptest.NewUnstartedServer(nil)
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	foreign.StartTLS()
	t.Cleanup(foreign.Close)
	check("a certificate of nobody", every(foreign.URL))
}

func TestWaitsThatTheOtherSideAsksForAreTold(t *testing.T) {
	header := func(value string, date ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = date // without one, our own clock decides
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}
	theirs := "Wed, 21 Oct 2026 07:28:00 GMT"
	for name, c := range map[string]struct {
		kind   alert.Channel
		answer http.HandlerFunc
		want   time.Duration
	}{
		"seconds":                   {alert.Slack, header("30"), 30 * time.Second},
		"a fraction":                {alert.Discord, header("0.35"), time.Second},
		"for ever":                  {alert.Webhook, header("999999999"), alert.LongestWait},
		"NaN":                       {alert.Webhook, header("NaN"), 0},
		"negative":                  {alert.Webhook, header("-5"), 0},
		"no time at all":            {alert.Webhook, header("tomorrow"), 0},
		"a date":                    {alert.Webhook, header("Wed, 21 Oct 2026 07:30:05 GMT", theirs), 125 * time.Second},
		"a date of RFC 850":         {alert.Slack, header("Wednesday, 21-Oct-26 07:28:07 GMT", theirs), 7 * time.Second},
		"a date of asctime":         {alert.Teams, header("Wed Oct 21 07:28:09 2026", theirs), 9 * time.Second},
		"a date that has passed":    {alert.Webhook, header("Wed, 21 Oct 2026 07:27:59 GMT", theirs), 0},
		"a date in a hundred years": {alert.Webhook, header("Thu, 21 Oct 2126 07:28:00 GMT", theirs), alert.LongestWait},
		"a date by our clock":       {alert.Webhook, header(begun.Add(40*time.Second).UTC().Format(http.TimeFormat), "no date"), 40 * time.Second},
		"of Telegram":               {alert.Telegram, with(429, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 17","parameters":{"retry_after":17}}`), 17 * time.Second},
		"of Telegram, for ever":     {alert.Telegram, with(429, `{"parameters":{"retry_after":1e300}}`), alert.LongestWait},
		"of Discord":                {alert.Discord, with(429, `{"message":"You are being rate limited.","retry_after":64.57,"global":false}`), 65 * time.Second},
		"of Discord, header rounded": {alert.Discord, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			with(429, `{"retry_after":1.4}`)(w, r)
		}, 2 * time.Second},
		"of nobody we know": {alert.Slack, with(429, `{"retry_after":64.57}`), 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := receiver(t, c.answer)
			sender := every(address)[c.kind]
			sender.Now = func() time.Time { return begun }
			answer, err := sender.Send(context.Background(), delivery(c.kind), notice(), text())
			var later *Later
			if !errors.As(err, &later) || later.RetryAfter() != c.want || strings.Contains(answer, "esperar") != (c.want > 0) {
				t.Errorf("%q, %v, %s; want %s", answer, err, later.RetryAfter(), c.want)
			}
		})
	}
}

func TestAnswersAreOneLineOfPlainText(t *testing.T) {
	_, address := receiver(t, with(500, "Oops\r\n\tat \x00line\x1b[31m 3\xff"))
	answer, _ := open(door(alert.Webhook, at(alert.Access{}.Rotate(alert.NewSigningSecret([32]byte{1}), begun, 0), address))).Send(context.Background(), delivery(alert.Webhook), notice(), text())
	if answer != "HTTP 500: Oops at line[31m 3�" {
		t.Errorf("%q", answer)
	}
}

func TestOfAPageItsTitleIsKept(t *testing.T) {
	for page, want := range map[string]string{
		"<!doctype html><html><title>N\u00e3o &amp; fim</title><p>much</p>": "HTTP 502: Não & fim", "<html><p>much": "HTTP 502",
	} {
		_, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, page)
		})
		if answer, _ := open(door(alert.Slack, alert.Access{URL: address})).Send(context.Background(), delivery(alert.Slack), notice(), text()); answer != want {
			t.Errorf("%q is told as %q", page, answer)
		}
	}
}

func TestWhyThereIsNoAnswerIsSaidWithoutTheOperatorsOwnServers(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	for address, want := range map[string]string{
		"http://nothing..invalid/x":               "O servidor nothing..invalid não foi encontrado.",
		"http://" + closed.Addr().String() + "/x": "O servidor 127.0.0.1 não aceitou a conexão.",
	} {
		if answer, err := open(door(alert.Slack, alert.Access{URL: address})).Send(context.Background(), delivery(alert.Slack), notice(), text()); answer != want || err == nil || errors.Is(err, alert.ErrRefused) {
			t.Errorf("%s: %q, %v", address, answer, err)
		}
	}
}
