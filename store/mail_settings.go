package store

import (
	"context"
	"encoding/base64"
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
		told.Sealed, told.Renewed, told.PasswordHint, told.ClientSecretHint = nil, nil, "", ""
		return tx.audit(ctx, "mail.change", "settings:"+mailSetting, 0, told)
	})
	if err != nil {
		return fmt.Errorf("set how e-mail is sent: %w", err)
	}
	return nil
}

// turnPause is how long it waits before it asks again whether it has the turn.
const turnPause = 100 * time.Millisecond

// MailTurn does what only one replica may be at, such as getting the next refresh token: who asks with one that was used already may
// lose the account. It waits for its turn, and keeps no connection while it waits and no transaction while it does it.
func (s *Store) MailTurn(ctx context.Context, do func(context.Context) error) error {
	for {
		mine, err := s.tryMailTurn(ctx, do)
		if mine || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the turn to renew: %w", ctx.Err())
		case <-time.After(turnPause):
		}
	}
}

func (s *Store) tryMailTurn(ctx context.Context, do func(context.Context) error) (mine bool, err error) {
	conn, err := s.patient.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("connect for the turn to renew: %w", err)
	}
	defer conn.Close()
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('filaia_mail'))`).Scan(&mine); err != nil || !mine {
		return false, err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtext('filaia_mail'))`) //nolint:errcheck // a connection that cannot say so ends, and its lock with it
	return true, do(ctx)
}

// RenewMail keeps a sealed refresh token that came with an access token, in place of the one in before, unless somebody has changed
// or renewed the settings since they were read as before. It is no change by a person: neither the log of changes nor MailTrouble
// hears of it.
func (s *Store) RenewMail(ctx context.Context, before alert.Mail, renewed []byte) error {
	encoded := base64.StdEncoding.EncodeToString // as encoding/json does
	const renew = `UPDATE settings SET value = jsonb_set(value, '{renewed}', to_jsonb($2::text))
		WHERE name = $1 AND value->>'sealed' = $3 AND coalesce(value->>'renewed', '') = $4`
	if _, err := s.db.ExecContext(ctx, renew, mailSetting, encoded(renewed), encoded(before.Sealed), encoded(before.Renewed)); err != nil {
		return fmt.Errorf("keep the new refresh token: %w", err)
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
