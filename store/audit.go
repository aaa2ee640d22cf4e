package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// audit records a change in the transaction that makes it: either both stay or neither. action is such as
// "plan.publish", subject such as "plan:7"; tenantID 0 means no tenant. details becomes a JSON object: no secrets.
// Whose change it is comes from the context (tenancy.WithActor).
func (t *tx) audit(ctx context.Context, action, subject string, tenantID int64, details any) error {
	if details == nil {
		details = struct{}{}
	}
	data, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, subject, err)
	}
	who := tenancy.ActorOf(ctx)
	const insert = `INSERT INTO audit_log (at, user_id, actor, tenant_id, action, subject, details)
		VALUES ($1, NULLIF($2, 0), $3, NULLIF($4, 0), $5, $6, $7)`
	if _, err := t.ExecContext(ctx, insert, t.now, who.UserID, who.Label, tenantID, action, subject, data); err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, subject, err)
	}
	return nil
}
