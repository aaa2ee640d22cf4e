package main

import (
	"log/slog"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/jobs"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/webhook"
	"github.com/fila-ia/filaia/store"
)

// newMessenger makes what tells people of alerts. Any number of replicas may have one.
func newMessenger(cfg config.Config, s *store.Store, replica string, log *slog.Logger) (*jobs.Runner, error) {
	box, links := secret.New([32]byte(cfg.SecretKey)), alert.NewUnsubscriber([32]byte(cfg.SecretKey))
	asks := alert.NewConfirmer([32]byte(cfg.SecretKey))
	return jobs.New(jobs.Options{
		DB: s.Jobs(), Store: s, Renderer: notices{}, Mail: newMailer(cfg, s, box), Channels: newCaller(cfg, s, box), Replica: replica,
		PublicURL: cfg.PublicURL, Zone: cfg.TimeZone, Log: log, Now: time.Now,
		Unsubscribe: func(tenantID int64, address string, metric alert.Metric) string {
			return cfg.PublicURL + "/unsubscribe/" + links.Token(alert.Subscription{TenantID: tenantID, Address: address, Metric: metric})
		},
		Confirm: func(a alert.Ask) string { return cfg.PublicURL + "/confirm/" + asks.Token(a.ID, a.Nonce) },
	})
}

// newCaller makes what brings alerts to webhooks and chats.
func newCaller(cfg config.Config, s *store.Store, box *secret.Box) *webhook.Sender {
	return webhook.New(webhook.Config{Doors: webhook.NewDoors(s, box), Private: cfg.WebhookPrivate})
}
