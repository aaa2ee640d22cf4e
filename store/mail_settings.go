package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fila-ia/filaia/internal/alert"
)

// mailSetting is where it lies how e-mail is sent.
const mailSetting = "mail"

// MailSettings tells how e-mail is sent. Until it is set, messages are kept as files. What is secret is sealed.
func (s *Store) MailSettings(ctx context.Context) (alert.Mail, error) {
	m := alert.Mail{Way: alert.MailNone}
	var value []byte
	err := s.db.GetContext(ctx, &value, `SELECT value FROM settings WHERE name = $1`, mailSetting)
	if errors.Is(err, sql.ErrNoRows) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read how e-mail is sent: %w", err)
	}
	return m, nil
}

// SetMailSettings keeps how e-mail is sent: what alert.MailDraft makes of a form, sealed. The log of changes gets none of what
// is sealed, not even its hints.
func (s *Store) SetMailSettings(ctx context.Context, m alert.Mail) error {
	value, err := json.Marshal(m)
	if err == nil {
		err = s.inTx(ctx, func(tx *tx) error {
			const upsert = `INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3)
				ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at`
			if _, err := tx.ExecContext(ctx, upsert, mailSetting, value, tx.now); err != nil {
				return err
			}
			told := m
			told.Sealed, told.PasswordHint, told.ClientSecretHint = nil, "", ""
			return tx.audit(ctx, "mail.change", "settings:"+mailSetting, 0, told)
		})
	}
	if err != nil {
		return fmt.Errorf("set how e-mail is sent: %w", err)
	}
	return nil
}
