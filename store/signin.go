package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Failed sign-ins are forgotten after an hour without another. That gives a guesser no more tries than waiting does:
// four an hour without a wait, four an hour at fifteen minutes each.
const forgetFailures = time.Hour

// BeginSignIn counts a try for the account and for the address before the password is looked at, so that tries made at
// the same time cannot all pass. From the fifth failure on the next try has to wait 1, 2, 4, 8, then 15 minutes. A zero
// time means go on; otherwise the try is refused, and not counted, until that time.
func (s *Store) BeginSignIn(ctx context.Context, email, address string) (wait time.Time, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		for _, subject := range signInSubjects(email, address) { // always the account first: no deadlock
			if wait, err = t.countTry(ctx, subject); err != nil {
				return err
			}
			if !wait.IsZero() {
				return errWaiting
			}
		}
		return nil
	})
	if errors.Is(err, errWaiting) {
		err = nil
	}
	return wait, err
}

// errWaiting rolls back what a refused try has counted.
var errWaiting = errors.New("wait before the next try")

func signInSubjects(email, address string) []string {
	return []string{"account:" + strings.ToLower(email), "address:" + address}
}

func (t *tx) countTry(ctx context.Context, subject string) (wait time.Time, err error) {
	const count = `INSERT INTO sign_in_failures AS f (subject, failures, blocked_until, updated_at) VALUES ($1, 1, $2, $2)
		ON CONFLICT (subject) DO UPDATE SET updated_at = $2,
			failures = CASE WHEN f.updated_at < $3 THEN 1 ELSE f.failures + 1 END,
			blocked_until = CASE WHEN f.updated_at < $3 OR f.failures < 4 THEN $2
				ELSE $2 + make_interval(mins => LEAST(15, 2 ^ LEAST(f.failures - 4, 4))::int) END
		WHERE f.blocked_until <= $2`
	result, err := t.ExecContext(ctx, count, subject, t.now, t.now.Add(-forgetFailures))
	if err != nil {
		return time.Time{}, fmt.Errorf("count sign-in: %w", err)
	}
	if n, _ := result.RowsAffected(); n == 1 { // lib/pq always knows
		return time.Time{}, nil
	}
	err = t.GetContext(ctx, &wait, `SELECT blocked_until FROM sign_in_failures WHERE subject = $1`, subject)
	if errors.Is(err, sql.ErrNoRows) {
		return t.now, nil // forgiven this very moment: try again
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read sign-in wait: %w", err)
	}
	return wait, nil
}

// SignInSucceeded takes back what BeginSignIn counted: the account starts anew; the address keeps its other failures,
// or whoever has one account could guess at others for ever.
func (s *Store) SignInSucceeded(ctx context.Context, email, address string) error {
	return s.inTx(ctx, func(t *tx) error {
		subjects := signInSubjects(email, address)
		steps := []struct {
			query string
			args  []any
		}{
			{`DELETE FROM sign_in_failures WHERE subject = $1`, []any{subjects[0]}},
			{`DELETE FROM sign_in_failures WHERE subject = $1 AND failures = 1`, []any{subjects[1]}},
			{`UPDATE sign_in_failures SET failures = failures - 1, blocked_until = $2 WHERE subject = $1`, []any{subjects[1], t.now}},
		}
		for _, step := range steps {
			if _, err := t.ExecContext(ctx, step.query, step.args...); err != nil {
				return fmt.Errorf("clear sign-in failures: %w", err)
			}
		}
		return nil
	})
}
