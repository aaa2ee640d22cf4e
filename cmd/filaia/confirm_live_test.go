package main

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
	"github.com/fila-ia/filaia/internal/openaitest"
)

var confirmLink = regexp.MustCompile(`/confirm/[A-Za-z0-9_-]{50,60}`)

// TestAnAddressFromOutsideIsToldOnlyOnceItHasAgreed walks from naming an address to the first alert that it gets.
func TestAnAddressFromOutsideIsToldOnlyOnceItHasAgreed(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t)
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 1, p.URL(), "FILAIA_SMTP_URL="+server.URL())
	_, err := f.books.DB().Exec(`UPDATE alert_rules SET enabled = false`)
	f.must(err)
	in, out := f.cost()
	tenant, key := f.tenantOn("confirma", blocking(10*in, 100*out))
	const address = "contador@fora.example"
	f.must(f.books.SaveTenantAlerts(f.ctx, tenant, alert.Rule{
		Audience: alert.Customer, Metric: alert.InputQuota, Unit: alert.Percent, Thresholds: []int64{2000, 8000}, Direction: alert.Up, Enabled: true, Rearm: 60, LastAtOnce: true,
		To: alert.Recipients{Addresses: []string{address, "Contador@FORA.example"}, Language: i18n.PtBR},
	}))
	asked := server.Await(t, 1, time.Minute)[0]
	if len(asked.To) != 1 || asked.To[0] != address || !strings.Contains(asked.Header("List-Unsubscribe"), "/decline") {
		t.Fatalf("asked %v: %s", asked.To, asked.Header("List-Unsubscribe"))
	}
	link := confirmLink.FindString(readable(string(asked.Data)))
	if link == "" {
		t.Fatalf("no link in %s", asked.Data)
	}

	call := func(n int) {
		for range n {
			if r := f.replicas[0].chat(key, question); judge(r) != served {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
	}
	call(3)
	eventually(t, "what was not sent is kept with its reason", func() bool {
		return f.number(`SELECT count(*) FROM deliveries WHERE recipient = '`+address+`' AND state = 'cancelled' AND reason = 'unconfirmed'`) == 1 || t.Failed()
	})
	base := f.replicas[0].url()
	if page := browse(t, base+link, nil); !strings.Contains(page, address) {
		t.Errorf("the page: %s", page)
	}
	if n := f.number(`SELECT count(*) FROM alert_addresses WHERE confirmed_at IS NOT NULL`); n != 0 {
		t.Error("looking at the page agreed")
	}
	if page := browse(t, base+link, url.Values{"page": {"yes"}}); !strings.Contains(page, "20%") && !strings.Contains(page, "30%") {
		t.Errorf("the page does not say what was missed: %s", page)
	}
	call(5)
	told := server.Await(t, 2, time.Minute)[1]
	if len(told.To) != 1 || told.To[0] != address {
		t.Errorf("told %v", told.To)
	}
	for _, s := range f.replicas {
		s.stop()
	}
	if n := len(server.Messages()); n != 2 {
		t.Errorf("%d messages, want the question and one alert", n)
	}
	f.agree()
}

// readable is a message's text without the soft breaks of its encoding.
func readable(raw string) string {
	return strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=").Replace(raw)
}

// browse opens a page, or presses its button.
func browse(t *testing.T, address string, form url.Values) string {
	t.Helper()
	var r *http.Response
	var err error
	if form == nil {
		r, err = http.Get(address)
	} else {
		r, err = http.PostForm(address, form)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("%s: %d", address, r.StatusCode)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
