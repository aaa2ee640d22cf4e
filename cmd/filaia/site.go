package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/handlers"
	v1 "github.com/fila-ia/filaia/handlers/v1"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

// bodyLimit is the largest request body; OpenAI takes images of up to 20 MB inlined as base64.
const bodyLimit = 32 << 20

// formLimit is the largest form.
const formLimit = 1 << 20

// site is everything that answers HTTP.
type site struct {
	app   *fiber.App
	api   *v1.API
	panel *handlers.Panel
}

func newSite(cfg config.Config, db *database, c *core, log *slog.Logger) *site {
	publicURL, _ := url.Parse(cfg.PublicURL) // validated by config
	panel := handlers.New(handlers.Deps{
		Secret: [32]byte(cfg.SecretKey), PublicURL: publicURL, Zone: cfg.TimeZone, Log: log, Now: time.Now,
		Passwords: tenancy.NewPasswords(), Ping: db.Store, Simulated: cfg.Simulated(),
		Sessions: db.Store, SignIns: db.Store, Setup: db.Store, Accounts: db.Store, Users: db.Store, Plans: db.Store, Tenants: db.Store, Keys: db.Store,
		Dashboard: db.Store, Portal: db.Store.Portal(),
		Providers: db.Store, Models: db.Store, Rates: db.Store, Breakers: db.Store, CacheRules: db.Store,
		Credentials: c.houses.box, Reach: c.houses.reach, Operations: operations{c, cfg.LeaseGrace}, Replicas: db.Store, Books: db.Store,
		AlertRules: db.Store, Alerts: db.Store, OwnAlerts: db.Store.Portal(), TenantAlerts: db.Store, Channels: db.Store, Mail: db.Store, SpendCaps: db.Store,
		ChannelSender: newCaller(cfg, db.Store, c.houses.box),
		Mailer:        newMailer(cfg, db.Store, c.houses.box), Notices: notices{},
	})
	api := v1.New(c.gate, cfg.PublicURL, log)
	app := fiber.New(fiber.Config{
		AppName:               "FILA-IA",
		Immutable:             true, // Fiber's memory is reused; pages may keep what they read
		DisableStartupMessage: true,
		BodyLimit:             bodyLimit,
		ReadBufferSize:        8 << 10, // bounds a request's head; each open stream holds one
		ReadTimeout:           2 * time.Minute,
		IdleTimeout:           2 * time.Minute,
		// A reverse proxy on this machine may say who calls; X-Forwarded-For could be forged by the caller.
		EnableTrustedProxyCheck: true,
		TrustedProxies:          []string{"127.0.0.1", "::1"},
		ProxyHeader:             "X-Real-Ip",
		EnableIPValidation:      true,
		// Forms of files pass as they came; the server would take them apart.
		DisablePreParseMultipartForm: true,
		StreamRequestBody:            true, // bodies reads them
		// No WriteTimeout: it would cover a whole stream.
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			if strings.HasPrefix(c.Path(), v1.Prefix+"/") || errors.Is(err, fiber.ErrRequestHeaderFieldsTooLarge) { // its path is not known
				return api.FiberError(c, err)
			}
			return panel.Error(c, err)
		},
	})
	b := &bodies{api: api}
	app.Server().HeaderReceived = b.announced
	app.Use(b.read)
	api.Register(app)
	app.Get("/metrics", c.serveMetrics)
	panel.Register(app)
	return &site{app: app, api: api, panel: panel}
}

// stop lets calls under way end, and cuts those that take too long.
func (s *site) stop(c *core, log *slog.Logger) {
	s.panel.Close() // live pages would hold their connections for ever
	err := s.app.ShutdownWithTimeout(shutdownTime)
	ended := make(chan struct{})
	go func() { s.api.Close(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(cutTime):
		err = errors.Join(err, errors.New("responses in the background did not end"))
	}
	if err != nil {
		log.Warn("cutting calls that did not end in time", "seconds", shutdownTime.Seconds(), "error", err)
		c.cut(log)
	}
}

// listenChanges keeps what is in memory as fresh as the database. raised hears of alerts.
func listenChanges(ctx context.Context, db *database, c *core, s *site, raised func(), log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	reloading := sync.WaitGroup{}
	reloading.Go(func() { reloadModels(ctx, c.stale, c.reload, log) })
	defer reloading.Wait()
	defer stop()
	return store.Listen(ctx, db.dsn, store.Changes{
		Callers:  c.gate.Callers.Forget,
		Models:   c.outdated,
		Usage:    s.panel.Notify,
		Recalled: c.handBack(ctx),
		Alerts:   raised,
		Inbox:    s.panel.NotifyInbox,
	}, log)
}

// reloadTime is what reading the models may take, and reloadPause what is waited after it failed.
const (
	reloadTime  = 10 * time.Second
	reloadPause = time.Second
)

// reloadModels reads the models whenever they are said to be old, until it succeeds. It reads beside the listener, which
// would otherwise hear of no revoked key while the database is slow.
func reloadModels(ctx context.Context, old <-chan struct{}, reload func(context.Context) error, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-old:
		}
		for {
			timed, cancel := context.WithTimeout(ctx, reloadTime)
			err := reload(timed)
			cancel()
			if err == nil || ctx.Err() != nil {
				break
			}
			log.Error("models could not be read again; trying on", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(reloadPause):
			}
		}
	}
}

// announce prints where to go: the one-time link for the first owner, or the address.
func announce(ctx context.Context, w world, cfg config.Config, db *database) error {
	token, err := db.IssueSetupToken(ctx)
	if err != nil {
		return err
	}
	if token == "" {
		fmt.Fprintf(w.stdout, "\n  FILA-IA: %s\n\n", cfg.PublicURL)
		return nil
	}
	fmt.Fprintf(w.stdout, "\n  FILA-IA is ready. Open this link once to make the first owner:\n\n  %s/setup?token=%s\n\n", cfg.PublicURL, token)
	return nil
}
