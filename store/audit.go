package store

import (
	"context"
	"encoding/json"
	"fmt"
)

type actorKey struct{}

// actor is who a change is put down to. userID 0: no signed-in person, only a label such as "command line".
type actor struct {
	userID int64
	label  string
}

// WithActor tells whose changes the calls under ctx are. label is what the audit log shows: an e-mail address, or
// "command line" with userID 0.
func WithActor(ctx context.Context, userID int64, label string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{userID, label})
}

// actorOf is the actor in ctx; work that nobody asked for is put down to the system.
func actorOf(ctx context.Context) actor {
	if a, ok := ctx.Value(actorKey{}).(actor); ok {
		return a
	}
	return actor{label: "system"}
}

// audit records a change in the transaction that makes it: either both stay or neither. action is such as
// "plan.publish", subject such as "plan:7"; tenantID 0 means no tenant. details becomes a JSON object: no secrets.
func (t *tx) audit(ctx context.Context, action, subject string, tenantID int64, details any) error {
	if details == nil {
		details = struct{}{}
	}
	data, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, subject, err)
	}
	who := actorOf(ctx)
	const insert = `INSERT INTO audit_log (at, user_id, actor, tenant_id, action, subject, details)
		VALUES ($1, NULLIF($2, 0), $3, NULLIF($4, 0), $5, $6, $7)`
	if _, err := t.ExecContext(ctx, insert, t.now, who.userID, who.label, tenantID, action, subject, data); err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, subject, err)
	}
	return nil
}
