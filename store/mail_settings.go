package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// mailSetting is where it lies how e-mail is sent.
const mailSetting = "mail"

// MailSettings tells how e-mail is sent. Until it is set, messages are kept as files. What is secret is sealed.
func (s *Store) MailSettings(ctx context.Context) (alert.Mail, error) {
	m := alert.Mail{Way: alert.MailNone}
	if err := readSetting(ctx, s.db, mailSetting, &m); err != nil {
		return m, fmt.Errorf("read how e-mail is sent: %w", err)
	}
	return m, nil
}

// SetMailSettings keeps how e-mail is sent: what alert.MailDraft makes of a form, sealed. The log of changes gets none of what
// is sealed, not even its hints.
func (s *Store) SetMailSettings(ctx context.Context, m alert.Mail) error {
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.keepSetting(ctx, mailSetting, m); err != nil {
			return err
		}
		told := m
		told.Sealed, told.PasswordHint, told.ClientSecretHint = nil, "", ""
		return tx.audit(ctx, "mail.change", "settings:"+mailSetting, 0, told)
	})
	if err != nil {
		return fmt.Errorf("set how e-mail is sent: %w", err)
	}
	return nil
}

// MailTrouble gives the newest answer to a message by e-mail when the last three that were tried did not leave, or as many as were
// tried of late and since the set-up was changed; "" otherwise. One reader's wrong address is no trouble while others get theirs.
func (s *Store) MailTrouble(ctx context.Context) (answer string, err error) {
	var last []struct {
		Outcome alert.Outcome `db:"outcome"`
		Answer  string        `db:"answer"`
	}
	// The newest of all, so that nobody looks through years of webhooks for an e-mail.
	const query = `SELECT a.outcome, a.answer FROM (SELECT id, delivery_id, at, outcome, answer FROM delivery_attempts ORDER BY id DESC LIMIT 1000) a
		JOIN deliveries d ON d.id = a.delivery_id
		WHERE d.channel = 'email' AND a.at > $1 AND a.at > coalesce((SELECT updated_at FROM settings WHERE name = $2), '-infinity')
		ORDER BY a.id DESC LIMIT 3`
	if err := s.db.SelectContext(ctx, &last, query, s.now().Add(-24*time.Hour), mailSetting); err != nil {
		return "", fmt.Errorf("read how e-mail went: %w", err)
	}
	for _, a := range last {
		if a.Outcome == alert.OutcomeDelivered {
			return "", nil
		}
	}
	if len(last) == 0 {
		return "", nil
	}
	return last[0].Answer, nil
}
