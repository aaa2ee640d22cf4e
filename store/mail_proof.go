package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// mailProof is where it lies when e-mail was last seen to work by a person's check or test.
const mailProof = "mail_proof"

// MailWorks notes that a check or a test of how e-mail is sent went well now.
func (s *Store) MailWorks(ctx context.Context) error {
	if err := s.inTx(ctx, func(tx *tx) error { return tx.keepSetting(ctx, mailProof, true) }); err != nil {
		return fmt.Errorf("note that e-mail works: %w", err)
	}
	return nil
}

// MailProof tells when e-mail, as it is set up now, last worked, by a check, a test or a message that left, and when a message last
// did not leave. Zero: never, as far as the newest messages tell.
func (s *Store) MailProof(ctx context.Context) (worked, failed time.Time, err error) {
	var row struct {
		Worked *time.Time `db:"worked"`
		Failed *time.Time `db:"failed"`
	}
	// The newest of all, as in MailTrouble. A message that was kept as a file has not left.
	const query = `WITH mail AS (SELECT coalesce((SELECT updated_at FROM settings WHERE name = $1), '-infinity') AS since),
		tries AS (SELECT a.at, a.outcome FROM (SELECT id, delivery_id, at, outcome, answer FROM delivery_attempts ORDER BY id DESC LIMIT 1000) a
			JOIN deliveries d ON d.id = a.delivery_id WHERE d.channel = 'email' AND NOT starts_with(a.answer, $3) AND a.at > (SELECT since FROM mail))
		SELECT greatest((SELECT max(at) FROM tries WHERE outcome = 'delivered'),
				(SELECT updated_at FROM settings WHERE name = $2 AND updated_at >= (SELECT since FROM mail))) AS worked,
			(SELECT max(at) FROM tries WHERE outcome <> 'delivered') AS failed`
	if err := s.db.GetContext(ctx, &row, query, mailSetting, mailProof, alert.KeptPrefix); err != nil {
		return worked, failed, fmt.Errorf("read when e-mail worked: %w", err)
	}
	return moment(row.Worked), moment(row.Failed), nil
}
