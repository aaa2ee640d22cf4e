package store

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// A rule that is switched on where many keys are old tells of all of them, each once, in a few digests and not in a message each.
func TestWhatIsRaisedOfManySubjectsFloodsNobody(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	const keys = 240
	l.db.MustExec(`INSERT INTO api_keys (tenant_id, name, hash, hint, created_at)
		SELECT $1, 'x' || n, sha256(n::text::bytea), 's', $2::timestamptz - interval '100 days' FROM generate_series(1, $3::int) AS n`, tenant.ID, l.at, keys)
	l.db.MustExec(`INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ('dono@filaia.com', 'Dono', 'owner', NULL, '')`)
	l.rule(alert.KeyUnused, `enabled = true`)
	l.at = time.Now() // messages are due by the database's clock
	l.look(alert.KeyUnused)
	jobs := 0
	for {
		n, err := l.DispatchAlerts(l.ctx, alert.Decide, func(_ context.Context, _ *sql.Tx, w []alert.Work) ([]int64, error) {
			jobs += len(w)
			return make([]int64, len(w)), nil
		})
		l.must(err)
		if n == 0 {
			break
		}
	}
	var got struct {
		Messages int `db:"messages"`
		Told     int `db:"told"`
		Events   int `db:"events"`
	}
	l.must(l.db.Get(&got, `SELECT count(DISTINCT d.id) AS messages, count(*) AS told, count(DISTINCT e) AS events
		FROM deliveries d, unnest(d.event_ids) AS e WHERE d.recipient = 'dono@filaia.com' AND d.state = 'pending'`))
	if got.Told != keys || got.Events != keys {
		t.Errorf("told %d times of %d alerts, want once of %d", got.Told, got.Events, keys)
	}
	if got.Messages != jobs || got.Messages > keys/50+1 { // a digest a minute, should this machine take minutes
		t.Errorf("%d messages and %d jobs", got.Messages, jobs)
	}
}
