package quota

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// HandBack returns what nobody holds of a period: another replica has asked for it. The database is asked first how the
// lease stands, since it may know of one that this process never heard of.
func (m *Manager) HandBack(ctx context.Context, periodID int64) {
	if err := m.sync(ctx, []int64{periodID}); err != nil {
		return // the other replica asks again
	}
	if b := m.known(periodID); b != nil {
		m.giveBack(ctx, b)
	}
}

func (m *Manager) returnIdle(ctx context.Context, idleFor time.Duration) {
	for _, b := range m.all() {
		if b.idle(idleFor) {
			m.giveBack(ctx, b)
		}
	}
}

// idle tells whether there is something to hand back: the tokens of a bucket at rest, or a debt that did not arrive.
func (b *bucket) idle(since time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owed.Pair != Pair{} || b.holds == 0 && b.leasing == nil && b.now().Sub(b.activeAt) >= since
}

func (m *Manager) giveBack(ctx context.Context, b *bucket) {
	if err := b.giveBack(ctx); err != nil && ctx.Err() == nil {
		m.log.Warn("lease could not be handed back; trying again", "period", b.periodID, "error", err)
	}
}

// giveBack returns what nobody holds. Tokens are taken out first, so that no call spends them meanwhile; what did not
// arrive, or whose arrival was not heard of, is sent again under the same id.
func (b *bucket) giveBack(ctx context.Context) error {
	b.mu.Lock()
	owed, ok := b.owe(b.avail().atLeastZero())
	b.mu.Unlock()
	if !ok {
		return nil
	}
	return b.pay(ctx, owed)
}

// owe takes tokens out to be handed back, and gives what is to be sent: an earlier debt, where that did not arrive. false:
// there is nothing, or it is under way.
func (b *bucket) owe(idle Pair) (debt, bool) {
	if b.owed.sending || b.pulse.lost.Load() {
		return debt{}, false
	}
	if b.owed.Pair == (Pair{}) {
		b.owed = debt{Pair: idle, id: uuid.New()}
		b.known, b.chunk = false, Pair{}
	}
	b.owed.sending = b.owed.Pair != Pair{}
	return b.owed, b.owed.sending
}

// pay sends a debt.
func (b *bucket) pay(ctx context.Context, owed debt) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	stand, err := b.lessor.Return(ctx, b.periodID, owed.Pair, owed.id)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owed.sending = false
	if err == nil {
		b.owed, b.known = debt{}, false // what it freed was not heard yet
		b.stand(stand)
	}
	return err
}
