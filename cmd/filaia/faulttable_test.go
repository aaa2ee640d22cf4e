package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/store"
)

var writeTable = flag.Bool("write", false, "write docs/faults.md anew")

// faultRow is a way in which a provider fails, at every attempt unless told otherwise.
type faultRow struct {
	name      string
	behaviour openaitest.Behaviour
	once      bool     // only the first attempt fails
	gone      bool     // nothing listens at its address
	open      bool     // its breaker is held open
	taken     bool     // its only place is taken, and there is no line
	flags     []string // of provider create
}

func faultRows() []faultRow {
	status := func(code int, body string, header ...string) openaitest.Behaviour {
		b := openaitest.Behaviour{Status: code, Body: body, Header: map[string]string{}}
		for n := 0; n < len(header); n += 2 {
			b.Header[header[n]] = header[n+1]
		}
		return b
	}
	const noCredit = `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`
	return []faultRow{
		{name: "none"},
		{name: "500, once", behaviour: status(500, ""), once: true},
		{name: "500", behaviour: status(500, "")},
		{name: "400, the caller's mistake", behaviour: status(400, "")},
		{name: "401, our credential is refused", behaviour: status(401, "")},
		{name: "429 with retry-after 30", behaviour: status(429, "", "Retry-After", "30")},
		{name: "429 insufficient_quota, our account is used up", behaviour: status(429, noCredit)},
		{name: "redirect", behaviour: status(307, "", "Location", "https://elsewhere.example")},
		{name: "a page of HTML with status 200", behaviour: status(200, "<html>\n\n<body>Welcome</body></html>", "Content-Type", "text/html")},
		{name: "an empty answer with status 200", behaviour: status(200, "\n")},
		{name: "connection refused", gone: true},
		{name: "reset before the answer", behaviour: openaitest.Behaviour{Fault: openaitest.FaultRefuse}},
		{name: "reset in the middle", behaviour: openaitest.Behaviour{Fault: openaitest.FaultReset, After: 3}},
		{name: "answer cut short", behaviour: openaitest.Behaviour{Fault: openaitest.FaultTruncate, After: 3}},
		{name: "malformed chunk, or no JSON", behaviour: openaitest.Behaviour{Fault: openaitest.FaultMalformed, After: 3}},
		{name: "error event, or 500", behaviour: openaitest.Behaviour{Fault: openaitest.FaultErrorEvent, After: 3}},
		{name: "no usage", behaviour: openaitest.Behaviour{Fault: openaitest.FaultNoUsage}},
		{name: "late first byte", behaviour: openaitest.Behaviour{Delay: time.Hour}},
		{name: "silent in the middle, or all the time", behaviour: openaitest.Behaviour{Fault: openaitest.FaultStall, After: 3}},
		{name: "switched off", flags: []string{"--active=false"}},
		{name: "breaker open", open: true},
		{name: "all places taken", taken: true, flags: []string{"--max-parallel", "1", "--max-waiting", "0", "--idle", "1m", "--total", "10m"}},
	}
}

// faultStage is one server that goes through every row.
type faultStage struct {
	*server
	db             *store.Store
	key            string
	faulty, backup *openaitest.Server
	dead           string // an address where nothing listens
}

const (
	reserve  = "reserva"
	occupier = "occupier"
)

func newFaultStage(t *testing.T) *faultStage {
	f := &faultStage{dead: "http://" + freeAddress(t) + "/v1"}
	byModel := func(r *openaitest.Request) string { return gjson.GetBytes(r.Body(), "model").Str }
	f.backup = provider(t, openaitest.Options{Group: byModel})
	i := newInstall(t, f.backup.URL())
	i.env = append(i.env, "FILAIA_ABORT_DRAIN=50ms")
	f.server, f.db = i.serve(), i.database()
	_, f.key = i.customer("falhas", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	i.says("provider", "create", "--slug", reserve, "--name", "Reserva", "--kind", "compatible", "--base-url", f.backup.URL(), "--key-stdin")
	return f
}

// fails starts the provider of a row.
func (f *faultStage) fails(row faultRow) {
	row.behaviour.Text = "um dois três quatro cinco seis sete oito nove dez"
	user := func(r *openaitest.Request) string { return gjson.GetBytes(r.Body(), "user").Str }
	f.faulty = provider(f.t, openaitest.Options{Group: user, Script: func(r *openaitest.Request) openaitest.Behaviour {
		if user(r) == occupier {
			return openaitest.Behaviour{Pause: 20 * time.Millisecond, Text: strings.Repeat("palavra ", 2000)}
		}
		if row.once {
			return openaitest.Behaviour{}
		}
		return row.behaviour
	}})
	if row.once {
		f.faulty.Next(row.behaviour)
	}
}

// cell is what a client saw, and what is in the books.
type cell struct{ seen, recorded string }

// play calls a model of its own, whose first provider fails.
func (f *faultStage) play(n int, row faultRow, stream, fallback bool) cell {
	f.t.Helper()
	model := fmt.Sprintf("f%d%s%s", n, map[bool]string{true: "s"}[stream], map[bool]string{true: "r"}[fallback])
	f.fails(row)
	address := f.faulty.URL()
	if row.gone {
		address = f.dead
	}
	made := f.says(append([]string{"provider", "create", "--slug", model, "--name", model, "--kind", "compatible", "--base-url", address, "--key-stdin",
		"--first-byte", "1s", "--idle", "1s", "--total", "3s"}, row.flags...)...)
	if row.open {
		if err := f.db.ForceBreaker(context.Background(), made.Get("id").Int(), "", "forced_open"); err != nil {
			f.t.Fatal(err)
		}
	}
	offer := []string{"model", "create", "--name", model, "--input-price", "1", "--output-price", "1", "--route", model}
	if fallback {
		offer = append(offer, "--route", reserve)
	}
	f.says(offer...)
	body := strings.Replace(question, "gpt-4.1-nano", model, 1)
	if stream {
		body = strings.Replace(body, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
	}
	if row.taken {
		defer f.occupy(body)()
	}
	var r reply
	eventually(f.t, "the server knows the model", func() bool {
		r = f.chat(f.key, body)
		return r.status != http.StatusNotFound
	})
	return cell{clientSaw(r, stream), f.record(r, row, model)}
}

// occupy takes the place of a provider until the end is called.
func (f *faultStage) occupy(body string) (end func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	body = strings.Replace(body, "{", `{"user":"`+occupier+`",`, 1)
	if !strings.Contains(body, `"stream":true`) {
		body = strings.Replace(body, "{", `{"stream":true,`, 1)
	}
	body = strings.Replace(body, `"max_tokens":7`, `"max_tokens":5000`, 1)
	eventually(f.t, "the place is taken", func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url()+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			f.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+f.key)
		res, err := client.Do(req)
		if err != nil {
			f.t.Fatal(err)
		}
		if res.StatusCode != http.StatusOK {
			res.Body.Close()
			return false
		}
		f.t.Cleanup(func() { res.Body.Close() })
		_, err = res.Body.Read(make([]byte, 1))
		return err == nil
	})
	return cancel
}

// clientSaw tells status, error, tokens and when to try again.
func clientSaw(r reply, stream bool) string {
	if r.err != nil {
		return "broken connection"
	}
	text, last := fmt.Sprint(r.status), r.body
	if list := events(r.body); stream && len(list) > 0 {
		switch last = list[len(list)-1]; {
		case last == "[DONE]":
			last = list[len(list)-2]
		case gjson.Get(last, "error").Exists():
			text += fmt.Sprintf(", %d chunks, then", len(list)-1)
		default:
			text += ", without an end"
		}
	}
	if e := gjson.Get(last, "error"); e.Exists() {
		text += fmt.Sprintf(" `%s`", e.Get("type").Str)
		if code := e.Get("code").Str; code != "" && code != e.Get("type").Str {
			text += fmt.Sprintf(" `%s`", code)
		}
	} else if u := gjson.Get(last, "usage"); u.IsObject() {
		text += fmt.Sprintf(", %d + %d tokens", u.Get("prompt_tokens").Int(), u.Get("completion_tokens").Int())
	} else {
		text += ", no usage"
	}
	if after := r.header.Get("Retry-After"); after != "" {
		text += ", retry after " + after + " s"
	}
	return text
}

// record tells what is in the books, and how often each provider was asked.
func (f *faultStage) record(r reply, row faultRow, model string) string {
	f.t.Helper()
	var status, by string
	var httpStatus, in, out, rows int
	var estimated bool
	const query = `SELECT status, http_status, input_tokens, output_tokens, estimated, provider, count(*) OVER () FROM usage_events WHERE request_id = $1`
	eventually(f.t, "the call is recorded", func() bool {
		err := f.db.DB().QueryRow(query, r.header.Get("X-Request-Id")).Scan(&status, &httpStatus, &in, &out, &estimated, &by, &rows)
		return err == nil
	})
	if rows != 1 {
		f.t.Errorf("%s is recorded %d times", model, rows)
	}
	text := fmt.Sprintf("%s %d", status, httpStatus)
	switch {
	case estimated:
		text += fmt.Sprintf(", %d + %d tokens, estimated", in, out)
	case in+out > 0:
		text += fmt.Sprintf(", %d + %d tokens", in, out)
	}
	asked := fmt.Sprint(f.faulty.Stats().Requests - f.faulty.Stats().Groups[occupier].Requests)
	if row.gone {
		asked = "?" // nobody is there to count
	}
	who := map[string]string{"": "nobody", model: "first", reserve: "second"}[by]
	return text + fmt.Sprintf("; %s; %s + %d", cmp.Or(who, by), asked, f.backup.Stats().Groups[model].Requests)
}

// TestTableOfFaults prints what becomes of a call when providers fail, and holds docs/faults.md to it.
func TestTableOfFaults(t *testing.T) {
	f := newFaultStage(t)
	var table bytes.Buffer
	fmt.Fprintln(&table, "| the provider's fault | asked for | one provider: the client saw | recorded | with a second provider: the client saw | recorded |")
	fmt.Fprintln(&table, "| --- | --- | --- | --- | --- | --- |")
	for n, row := range faultRows() {
		for _, stream := range []bool{false, true} {
			alone, both := f.play(n, row, stream, false), f.play(n, row, stream, true)
			asked := map[bool]string{false: "whole", true: "stream"}[stream]
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s |\n", row.name, asked, alone.seen, alone.recorded, both.seen, both.recorded)
		}
	}
	fmt.Print(table.String())
	holdTable(t, "../../docs/faults.md", table.String())
}

// holdTable compares a table with the one in a page, or writes it there.
func holdTable(t *testing.T, path, table string) {
	t.Helper()
	const begin, end = "<!-- make faults -->\n", "<!-- end -->"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	if *writeTable {
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, is := strings.Split(old, "\n"), strings.Split(table, "\n")
	for n := range max(len(was), len(is)) {
		if n >= len(was) || n >= len(is) || was[n] != is[n] {
			t.Fatalf("%s is not true any more; go test -run %s ./cmd/filaia -args -write mends it. From line %d of the table:\nthere: %s\nnow:   %s",
				path, t.Name(), n+1, strings.Join(was[min(n, len(was)):min(n+1, len(was))], ""), strings.Join(is[min(n, len(is)):min(n+1, len(is))], ""))
		}
	}
}

// TestABreakerLeavesItsHistory is about what breakers do, as the binary keeps it.
func TestABreakerLeavesItsHistory(t *testing.T) {
	f := newFaultStage(t)
	f.fails(faultRow{behaviour: openaitest.Behaviour{Status: 500}})
	made := f.says("provider", "create", "--slug", "casa", "--name", "Casa", "--kind", "compatible", "--base-url", f.faulty.URL(), "--key-stdin",
		"--breaker-min-calls", "3", "--breaker-open", "1h")
	f.says("model", "create", "--name", "m", "--input-price", "1", "--output-price", "1", "--route", "casa:m-casa")
	body, id, ctx := strings.Replace(question, "gpt-4.1-nano", "m", 1), made.Get("id").Int(), context.Background()
	eventually(t, "the breaker opens", func() bool { return len(f.chat(f.key, body).header.Get("Retry-After")) == len("3600") })
	for _, state := range []string{"forced_closed", "closed"} {
		if err := f.db.ForceBreaker(ctx, id, "m-casa", state); err != nil {
			t.Fatal(err)
		}
		asked := f.faulty.Stats().Requests
		eventually(t, "the order is carried out", func() bool {
			f.chat(f.key, body)
			return f.faulty.Stats().Requests > asked
		})
	}
	var history []string
	eventually(t, "the history is written", func() bool {
		f.chat(f.key, body)
		changes, err := f.db.BreakerChanges(ctx, id, 100)
		if err != nil {
			t.Fatal(err)
		}
		history = history[:0]
		for _, c := range changes { // the newest first
			if c.Provider != "Casa" || c.Model != "m-casa" || c.Replica == "" || c.At.IsZero() {
				t.Fatalf("%+v", c)
			}
			history = append([]string{fmt.Sprint(c.From, " ", c.To, " ", c.Reason)}, history...)
		}
		return len(history) >= 4
	})
	want := []string{"closed open failures", "open forced_closed manual", "forced_closed closed manual", "closed open failures"}
	if !slices.Equal(history, want) {
		t.Errorf("the history is %q", history)
	}
}
