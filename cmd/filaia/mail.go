package main

import (
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/mail"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/store"
)

// newMailer makes what sends e-mail: as the environment says, else as the panel does, else into files.
func newMailer(cfg config.Config, s *store.Store, box *secret.Box) *mail.Sender {
	return mail.New(mail.Config{Settings: s, Box: box, Environment: cfg.SMTP, DataDir: cfg.DataDir})
}
