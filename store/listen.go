package store

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Changes is who wants to hear of changes that any process made. The functions must not block.
type Changes struct {
	Callers func(tenantID int64) // what is known of this tenant's callers is old; 0: of all
	Models  func()
	Usage   func()
	// Recalled tells that a replica wants what nobody holds of a period handed back.
	Recalled func(periodID int64, replica string)
	Alerts   func() // something was raised, acknowledged or resolved; nil: nobody asks
	Inbox    func() // what pages show of alerts is old: that, or a delivery, or what somebody has seen; nil: nobody asks
}

// Listen tells of changes until ctx ends. At the start and after a lost connection everything is told to be old, because what
// happened before was not heard.
func Listen(ctx context.Context, dsn string, changes Changes, log *slog.Logger) error {
	return listen(ctx, dsn, listenSilence, changes, log)
}

func listen(ctx context.Context, dsn string, silence time.Duration, changes Changes, log *slog.Logger) error {
	d := &dialer{silence: silence}
	listener := pq.NewDialListener(d, several(dsn), 50*time.Millisecond, 5*time.Second, func(event pq.ListenerEventType, err error) {
		switch event {
		case pq.ListenerEventDisconnected:
			log.Warn("change notifications lost; trying again", "error", err)
			changes.Callers(0)
		case pq.ListenerEventReconnected:
			log.Info("change notifications are back")
		}
	})
	defer listener.Close()
	// The listener waits for connections and answers with its lock held, which Close needs as well.
	defer context.AfterFunc(ctx, func() {
		d.endBy(time.Now())
		listener.Close()
	})()
	for _, channel := range []string{"filaia_callers", "filaia_models", "filaia_usage", "filaia_leases", "filaia_alerts", "filaia_inbox"} {
		if err := listener.Listen(channel); err != nil && ctx.Err() == nil {
			return fmt.Errorf("listen on %s: %w", channel, err)
		}
	}
	changes.tell(nil) // what was read before anybody listened may be old
	ping := time.NewTicker(15 * time.Second)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ping.C:
			go listener.Ping() //nolint:errcheck // only to notice a dead connection
		case n, open := <-listener.Notify:
			if !open { // ctx has ended
				return nil
			}
			changes.tell(n)
		}
	}
}

// tell passes one notification on; nil stands for all that may have been missed.
func (c Changes) tell(n *pq.Notification) {
	switch {
	case n == nil:
		c.Callers(0)
		c.Models()
		c.Usage()
		c.alerts(true)
	case n.Channel == "filaia_callers":
		tenantID, _ := strconv.ParseInt(n.Extra, 10, 64) // unreadable: 0, all
		c.Callers(tenantID)
	case n.Channel == "filaia_models":
		c.Models()
	case n.Channel == "filaia_usage":
		c.Usage()
	case n.Channel == "filaia_leases":
		period, replica, _ := strings.Cut(n.Extra, " ")
		if periodID, err := strconv.ParseInt(period, 10, 64); err == nil {
			c.Recalled(periodID, replica)
		}
	case n.Channel == "filaia_alerts", n.Channel == "filaia_inbox":
		c.alerts(n.Channel == "filaia_alerts")
	}
}

// alerts tells that pages about alerts are old, and whether something was raised, acknowledged or resolved.
func (c Changes) alerts(raised bool) {
	if raised && c.Alerts != nil {
		c.Alerts()
	}
	if c.Inbox != nil {
		c.Inbox()
	}
}
