package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// TestNothingSecretIsLoggedOrLeftOnTheDisk makes calls and sign-ins go wrong in every way, with keys, prompts and
// passwords where they belong and where they do not. What the server printed is looked at when the test ends.
func TestNothingSecretIsLoggedOrLeftOnTheDisk(t *testing.T) {
	p := provider(t, openaitest.Options{Script: wayToFail})
	i := newInstall(t, p.URL())
	i.env = append(i.env, "FILAIA_LOG=json", "FILAIA_ABORT_DRAIN=0s")
	s := i.serve()
	tenant, key := i.customer("segredo", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block")
	if _, errText, err := i.try(password, userWords...); err != nil {
		t.Fatal(errText)
	}

	failing := []string{"credentials", "quoting", "echo", "malformed", "truncated", "error", "no usage", "reset", "refused"}
	for _, way := range failing {
		body := strings.Replace(question, "{", `{"user":"`+way+`",`, 1)
		i.chat(key, body)
		i.chat(key, strings.Replace(body, "{", `{"stream":true,`, 1))
	}
	i.misplaceSecrets(key)
	i.signInWrongly()
	eventually(t, "all calls are committed", func() bool { return i.usage(tenant).Requests == int64(2*len(failing)) })
	s.stop()

	if n := strings.Count(s.output.String(), `"msg":"call"`); n < 2*len(failing) {
		t.Errorf("only %d calls are in the log: what is it that was searched?\n%s", n, s.output)
	}
	err := filepath.WalkDir(i.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		i.keepsSecrets(path, string(text))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// wayToFail is what the provider does with a request, by its user field.
func wayToFail(r *openaitest.Request) openaitest.Behaviour {
	prompt := gjson.GetBytes(r.Body(), "messages.0.content").Str
	says := func(status int, message string) openaitest.Behaviour {
		return openaitest.Behaviour{Status: status, Body: fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":null}}`, message)}
	}
	switch gjson.GetBytes(r.Body(), "user").Str {
	case "credentials":
		return says(http.StatusUnauthorized, "Incorrect API key provided: sk-canary-provider.")
	case "quoting":
		return says(http.StatusBadRequest, "This was flagged: "+prompt)
	case "echo":
		return says(http.StatusInternalServerError, "Crashed at: "+prompt)
	case "malformed":
		return openaitest.Behaviour{Fault: openaitest.FaultMalformed, Text: prompt, After: 1}
	case "truncated":
		return openaitest.Behaviour{Fault: openaitest.FaultTruncate, Text: prompt, After: 2}
	case "error":
		return openaitest.Behaviour{Fault: openaitest.FaultErrorEvent, Text: prompt, After: 2}
	case "no usage":
		return openaitest.Behaviour{Fault: openaitest.FaultNoUsage, Text: prompt}
	case "reset":
		return openaitest.Behaviour{Fault: openaitest.FaultReset, Text: prompt, After: 2}
	case "refused":
		return openaitest.Behaviour{Fault: openaitest.FaultRefuse}
	}
	return openaitest.Behaviour{}
}

// misplaceSecrets sends keys and prompts where programs with mistakes put them.
func (i *install) misplaceSecrets(key string) {
	i.t.Helper()
	const prompt = "Quantos pães cabem no forno?"
	for _, body := range []string{
		`{"model":"` + prompt + `","messages":[{"role":"user","content":"oi"}]}`,
		`{"model":"gpt-4.1-nano","max_tokens":"` + prompt + `","messages":[{"role":"user","content":"oi"}]}`,
		`{"model":"gpt-4.1-nano","stream":"` + prompt + `","messages":[{"role":"user","content":"oi"}]}`,
		`{"model":"gpt-4.1-nano","messages":"` + prompt + `"}`,
		`{"model":"gpt-4.1-nano","` + prompt + `":1,"` + prompt + `":2}`,
		`{"model":"gpt-4.1-nano","messages":[{"role":"` + prompt,
		prompt,
	} {
		if r := i.chat(key, body); r.err != nil || r.status < 400 || r.status >= 500 {
			i.t.Errorf("%s was answered with %d %v", body, r.status, r.err)
		}
	}
	i.chat(tenancy.NewSecret().Reveal(), question) // nobody's
	for _, path := range []string{"/v1/models/" + key, "/v1/" + key + "/chat/completions", "/v1/models?api_key=" + key, "/" + key, "/plans?q=" + key} {
		req, err := http.NewRequest(http.MethodGet, i.url()+path, nil)
		if err != nil {
			i.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := client.Do(req)
		if err != nil {
			i.t.Fatal(err)
		}
		res.Body.Close()
	}
	for _, head := range []string{
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\nContent-Length: abc\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\nContent-Length: 99999999\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\nTransfer-Encoding: chunked\r\n\r\n" + prompt + "\r\n",
		"Authorization: Bearer " + key + "\r\n\r\n",
	} {
		i.sendRaw(head)
	}
}

// sendRaw sends what no client library would, and waits for the first line of the answer.
func (i *install) sendRaw(text string) {
	i.t.Helper()
	conn, err := net.Dial("tcp", i.address)
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		i.t.Fatal(err)
	}
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 4") {
		i.t.Errorf("%.60q… was answered with %q", text, line)
	}
}

var formToken = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// signInWrongly signs in with a password that is wrong, in the wrong field, without a form's token, and at last rightly.
func (i *install) signInWrongly() {
	i.t.Helper()
	jar, _ := cookiejar.New(nil) // never fails
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	read := func(res *http.Response, err error) string {
		i.t.Helper()
		if err != nil {
			i.t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			i.t.Fatal(err)
		}
		return string(text)
	}
	token := formToken.FindStringSubmatch(read(browser.Get(i.url() + "/login")))
	if token == nil {
		i.t.Fatal("the sign-in form has no token")
	}
	for _, form := range []url.Values{
		{"email": {"eva@exemplo.com.br"}, "password": {password + "x"}, "csrf": {token[1]}},
		{"email": {password}, "password": {"eva@exemplo.com.br"}, "csrf": {token[1]}},
		{"email": {"eva@exemplo.com.br"}, "password": {password}},
		{"email": {"eva@exemplo.com.br"}, "password": {password}, "csrf": {token[1]}},
	} {
		read(browser.PostForm(i.url()+"/login", form))
	}
	if page := read(browser.Get(i.url() + "/account")); !strings.Contains(page, "eva@exemplo.com.br") {
		i.t.Error("the right password did not sign in: was it read at all?")
	}
}
