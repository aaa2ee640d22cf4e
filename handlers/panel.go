// Package handlers serves the browser: the panel of the gestores, the portal of their customers, sign-in and health.
//
// Every page family has a file with its routes, its handlers and the small interface it needs of the store. Handlers
// return errors; errors.go alone turns them into pages. Sessions, CSRF and gates are middleware (routes.go), so a family
// thinks about none of them.
package handlers

import (
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"net/url"
	"time"

	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Deps is what the pages stand on. All of it is required except where it says so.
type Deps struct {
	Secret    [32]byte // signs cookies and form tokens
	PublicURL *url.URL // where people reach the panel; https makes cookies Secure. Optional
	Zone      *time.Location
	Log       *slog.Logger
	Now       func() time.Time
	Passwords *tenancy.Passwords
	Simulated bool   // no provider is configured: every page says so
	Ping      pinger // for /readyz

	Sessions  SessionStore
	SignIns   SignInStore
	Setup     SetupStore
	Accounts  AccountStore
	Users     UserStore
	Plans     PlanStore
	Tenants   TenantStore
	Keys      KeyStore
	Dashboard DashboardStore
	Portal    PortalStore

	Providers   ProviderStore
	Models      ModelStore
	Rates       RateStore
	Breakers    BreakerStore
	CacheRules  CacheStore
	Credentials *secret.Box // seals what providers are called with
	Reach       Reach       // where providers are
	Operations  Operations  // what runs in this process; nil: nothing does
	Replicas    ReplicaStore
	Books       BookStore

	AlertRules    AlertRuleStore
	Alerts        AlertStore
	OwnAlerts     OwnAlerts // both or neither
	TenantAlerts  TenantAlertStore
	Channels      ChannelStore
	ChannelSender ChannelSender // nil: tests of channels are not on offer
	Mail          MailStore
	Mailer        Mailer  // sends e-mail; nil: nothing does
	Notices       Notices // writes what messages say; nil: nothing does
	SpendCaps     SpendCapStore
}

// Panel is the browser side. It is safe for concurrent use.
type Panel struct {
	Deps
	sessions *sessionCookies
	csrfKey  []byte
	hub      *liveHub
	audits   *auditor
	tests    *ratelimit.Limiter // of channels
	forged   *ratelimit.Limiter // links that were not made here
}

// New makes the browser side; Register puts its routes on an app.
func New(d Deps) *Panel {
	if d.PublicURL == nil {
		d.PublicURL = &url.URL{}
	}
	if d.Operations == nil {
		d.Operations = nothingRuns{}
	}
	p := &Panel{Deps: d, csrfKey: d.derive("csrf"), hub: newLiveHub(d.Log, d.Now), tests: ratelimit.New(ratelimit.Options{Now: d.Now}), forged: ratelimit.New(ratelimit.Options{Now: d.Now})}
	p.audits = newAuditor(d.Operations.Audit, d.Now, d.Log)
	p.sessions = newSessionCookies(d.derive("session"), d.Sessions, p.secure())
	return p
}

// secure tells whether people come over https, so that cookies may insist on it.
func (d *Deps) secure() bool { return d.PublicURL.Scheme == "https" }

// derive makes a key for one purpose from the secret, so that no two purposes share one.
func (d *Deps) derive(purpose string) []byte {
	mac := hmac.New(sha256.New, d.Secret[:])
	mac.Write([]byte("filaia browser " + purpose))
	return mac.Sum(nil)
}
