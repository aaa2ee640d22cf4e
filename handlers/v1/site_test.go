package v1_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	v1 "github.com/fila-ia/filaia/handlers/v1"
	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/ledger"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/upstream"
	"github.com/fila-ia/filaia/store"
	"github.com/fila-ia/filaia/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Run(m)) }

// site is the API on a real port, over a real database, spool and provider.
type site struct {
	t        *testing.T
	url      string
	store    *store.Store
	ledger   *ledger.Ledger
	gate     *gateway.Gateway
	provider *openaitest.Server
	answers  *cache.Cache
	api      *v1.API
	planID   int64
	tenant   tenancy.Tenant
	keyID    int64
	key      string
	log      *strings.Builder
	logMu    sync.Mutex
}

// Write gathers the log.
func (s *site) Write(p []byte) (int, error) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return s.log.Write(p)
}

func (s *site) logged() string {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return s.log.String()
}

const (
	providerKey = "sk-canary-operator-credential"
	portalURL   = "https://painel.example"
	bodyLimit   = 1 << 20
)

func newSite(t *testing.T, terms tenancy.Terms, o openaitest.Options) *site {
	t.Helper()
	s := &site{t: t, log: &strings.Builder{}, store: store.New(storetest.Open(t).DB, time.Now)}
	log := slog.New(slog.NewTextHandler(s, nil))
	o.Keys, o.Record = []string{providerKey}, true
	var err error
	s.provider, err = openaitest.New(o)
	s.must(err)
	t.Cleanup(s.provider.Close)
	manager := quota.NewManager(s.store.Leases("test", 5*time.Minute, nil), 5*time.Minute, log, time.Now)
	s.ledger, err = ledger.Open(t.TempDir(), ledger.Options{Sink: s.store.UsageCommitter("test", func(c store.Committed) { manager.Committed(c.PeriodID, c.Lease) }), Log: log})
	s.must(err)
	_, err = s.ledger.Recover(context.Background())
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.ledger.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := s.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	s.answers, err = cache.New(cache.Options{Now: time.Now, Log: log})
	s.must(err)
	refusals := gateway.NewRefusalBook(refusalStore{s.store, s.store.Portal()}, log)
	s.gate = s.newGate(manager, refusals, log)
	writing, written := context.WithCancel(ctx)
	wrote := make(chan error, 1)
	go func() { wrote <- refusals.Run(writing) }()
	t.Cleanup(func() { written(); <-wrote })
	s.retries(0)
	s.customer(terms)
	s.listen(v1.New(s.gate, portalURL, log))
	return s
}

func (s *site) newGate(manager *quota.Manager, refusals gateway.Refusals, log *slog.Logger) *gateway.Gateway {
	return &gateway.Gateway{
		Callers: gateway.NewCallers(s.store, time.Now), Models: gateway.NewModels(s.store, s.connect, func(breaker.Change) {}, log), Quota: manager,
		Rates: ratelimit.New(ratelimit.Options{}), Cache: s.answers, Ledger: s.ledger, Refusals: refusals, Responses: s.store,
		Log: log, Now: time.Now, AbortDrain: 2 * time.Second,
	}
}

// serveAgain serves on another port with a gateway that remembers nothing, as another replica does.
func (s *site) serveAgain() {
	s.t.Helper()
	s.gate = s.newGate(s.gate.Quota, s.gate.Refusals, s.gate.Log)
	s.reload()
	s.listen(v1.New(s.gate, portalURL, s.gate.Log))
}

// refusalStore writes refusals with the program's rights and reads them with the tenant's.
type refusalStore struct {
	*store.Store
	portal store.Portal
}

func (r refusalStore) OwnRefusal(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error) {
	return r.portal.OwnRefusal(ctx, tenantID, id)
}

// connect reaches every provider without an address of its own where the site's is.
func (s *site) connect(p tenancy.Provider) (gateway.Upstream, error) {
	if p.BaseURL == "" {
		p.BaseURL = s.provider.URL()
	}
	return upstream.New(upstream.Options{Kind: p.Kind, BaseURL: p.BaseURL, APIKey: providerKey, APIVersion: p.APIVersion, Idle: p.Limits.Idle, FirstByte: p.Limits.FirstByte})
}

// retries sets how often a call is tried again: most tests want to see the provider's one answer.
func (s *site) retries(n int) {
	s.t.Helper()
	s.exec(`UPDATE providers SET retries = $1`, n)
	s.reload()
}

func (s *site) reload() { s.t.Helper(); s.must(s.gate.Models.Reload(context.Background())) }

func (s *site) exec(query string, args ...any) {
	s.t.Helper()
	_, err := s.store.DB().Exec(query, args...)
	s.must(err)
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) customer(terms tenancy.Terms) {
	ctx := context.Background()
	plan, err := s.store.CreatePlan(ctx, tenancy.PlanDraft{Slug: "test", Name: "Test", Terms: terms}, true)
	s.must(err)
	s.planID = plan.ID
	s.tenant, err = s.store.CreateTenant(ctx, tenancy.TenantDraft{Name: "Oficina", TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: plan.ID})
	s.must(err)
	key, secret, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "k"})
	s.must(err)
	s.keyID, s.key = key.ID, secret.Reveal()
}

// neighbour makes another tenant of the same plan, and gives its key.
func (s *site) neighbour() string {
	s.t.Helper()
	ctx := context.Background()
	tenant, err := s.store.CreateTenant(ctx, tenancy.TenantDraft{Name: "Vizinho", TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: s.planID})
	s.must(err)
	_, secret, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "k"})
	s.must(err)
	return secret.Reveal()
}

func (s *site) listen(api *v1.API) {
	s.api = api
	app := fiber.New(fiber.Config{
		Immutable: true, DisableStartupMessage: true, BodyLimit: bodyLimit, DisablePreParseMultipartForm: true,
		EnableTrustedProxyCheck: true, TrustedProxies: []string{"127.0.0.1"}, ProxyHeader: "X-Real-Ip", EnableIPValidation: true,
		ErrorHandler: func(c *fiber.Ctx, err error) error { return api.FiberError(c, err) },
	})
	api.Register(app)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.url = "http://" + l.Addr().String() + "/v1"
	served := make(chan error, 1)
	go func() { served <- app.Listener(v1.Linger(l)) }()
	s.t.Cleanup(func() {
		if err := app.ShutdownWithTimeout(time.Minute); err != nil {
			s.t.Error(err)
		}
		_ = l.Close() // a server that has not begun to serve knows of none
		<-served
		api.Close()
	})
}

func roomy() tenancy.Terms {
	return tenancy.Terms{Price: money.Unit, InputTokens: 1_000_000, OutputTokens: 1_000_000, Overage: tenancy.Block}
}

// answer is what a client saw.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // the body broke off
}

func (s *site) post(body string) answer {
	return s.do(http.MethodPost, "/chat/completions", s.key, body)
}

func (s *site) do(method, path, key, body string) answer {
	s.t.Helper()
	return s.send(method, path, key, "", body)
}

// send makes a request with a body of any type.
func (s *site) send(method, path, key, contentType, body string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	s.must(err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text), err}
}

// record is what the database keeps of a call.
type record struct {
	Status     string `db:"status"`
	HTTPStatus int    `db:"http_status"`
	Estimated  bool   `db:"estimated"`
	Streamed   bool   `db:"streamed"`
	In         int64  `db:"input_tokens"`
	Cached     int64  `db:"cached_tokens"`
	Out        int64  `db:"output_tokens"`
	RequestID  string `db:"request_id"`
	Endpoint   string `db:"endpoint"`
	Model      string `db:"model"`
	Reasoning  int64  `db:"reasoning_tokens"`
}

// records waits until n calls are committed, and gives them in order.
func (s *site) records(n int) []record {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		rows, err := s.store.DB().Query(`SELECT status, http_status, estimated, streamed, input_tokens, cached_tokens, output_tokens, request_id,
			endpoint, model, reasoning_tokens FROM usage_events ORDER BY id`)
		s.must(err)
		var list []record
		for rows.Next() {
			var r record
			s.must(rows.Scan(&r.Status, &r.HTTPStatus, &r.Estimated, &r.Streamed, &r.In, &r.Cached, &r.Out, &r.RequestID, &r.Endpoint, &r.Model, &r.Reasoning))
			list = append(list, r)
		}
		s.must(rows.Err())
		if len(list) == n {
			return list
		}
		if len(list) > n || time.Now().After(deadline) {
			s.t.Fatalf("%d calls are recorded, want %d: %+v", len(list), n, list)
		}
	}
}

// unheld fails unless every hold has been settled: the whole quota but what was used can be held by one call.
func (s *site) unheld() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.must(s.ledger.Flush(ctx))
	u, err := s.store.CurrentUsage(ctx, s.tenant.ID)
	s.must(err)
	caller, err := s.gate.Callers.Authenticate(ctx, s.key)
	s.must(err)
	rest := quota.Want{In: u.LimitInput - u.Tokens.Input, Out: u.LimitOutput - u.Tokens.Output}
	hold, err := s.gate.Quota.Reserve(ctx, caller.PeriodID, rest)
	if err != nil {
		s.t.Fatalf("after %d and %d tokens used, the rest cannot be held: %v", u.Tokens.Input, u.Tokens.Output, err)
	}
	hold.Settle(quota.Pair{})
}

func chatBody(extra string) string {
	return fmt.Sprintf(`{%s"model":"gpt-4.1-nano","messages":[{"role":"user","content":"Qual é o horário de hoje?"}]}`, extra)
}
