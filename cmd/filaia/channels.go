package main

import (
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/webhook"
	"github.com/fila-ia/filaia/store"
)

// newChannelSender sends alerts where they go besides e-mail.
func newChannelSender(cfg config.Config, s *store.Store, box *secret.Box) *webhook.Sender {
	return webhook.New(webhook.Config{Doors: webhook.NewDoors(s, box), Private: cfg.WebhookPrivate})
}
