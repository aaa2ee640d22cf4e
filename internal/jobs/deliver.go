package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/riverqueue/river"

	"github.com/fila-ia/filaia/internal/alert"
)

// deliverer brings one message.
type deliverer struct {
	river.WorkerDefaults[DeliverArgs]
	r *Runner
}

// busyPause bounds for how long a message that another sends is let alone.
const busyPause = 5 * time.Second

// escalatePause is how long it waits to tell others when that failed.
const escalatePause = time.Minute

// errNotDelivered is all that River and the log are told: most servers repeat the address of a person in their answers, which
// are kept with the attempts.
var errNotDelivered = errors.New("not delivered; the answer is with the attempt")

// Timeout is what the longest attempt takes. What nobody works at any more is found before by its lease, see Store.MendQueue.
func (w *deliverer) Timeout(*river.Job[DeliverArgs]) time.Duration {
	return sendTime + alert.LongestAnswer + recordTime
}

// Work tries once. What is delivered, dead or cancelled already is left alone, so that a job that runs twice sends once.
func (w *deliverer) Work(ctx context.Context, job *river.Job[DeliverArgs]) error {
	r, id := w.r, job.Args.Delivery
	if a, done := r.takeUnrecorded(id); done {
		return r.record(ctx, id, a, alert.Delivered)
	}
	if !r.enter(id) {
		return river.JobSnooze(busyPause) // its job was taken for stuck; the store tells replicas apart, and not what one does twice
	}
	defer r.leave(id)
	begun, state, wait, err := r.Store.BeginDelivery(ctx, id, r.Replica, leaseTime)
	switch {
	case err != nil:
		r.Log.Warn("a message could not be read; trying again", "delivery", id, "error", err)
		return river.JobSnooze(busyPause) // that nothing was sent is no attempt
	case state != alert.Pending:
		return nil
	case wait > 0:
		if wait <= leaseTime {
			wait = min(wait, busyPause)
		} // else it is not due, or who sends it waits for a long answer
		return river.JobSnooze(wait)
	}
	a, err := r.try(ctx, begun)
	unanswered := errors.Is(err, alert.ErrUnanswered)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) && !unanswered {

		r.letGo(ctx, id)
		return river.JobSnooze(0) // this process ends; whoever comes next begins at once
	}
	again := !last(job.JobRow)
	if unanswered && again {
		job.Args.wait, again = alert.UnansweredWait(begun.Unanswered + 1)
	}
	switch {
	case err == nil:
		return r.record(ctx, id, a, alert.Delivered)
	case a.Outcome == alert.OutcomeRefused || !again:
		r.Log.Error("a message was given up", "delivery", id, "channel", string(begun.Delivery.Channel), "attempts", job.Attempt)
		if err := r.record(ctx, id, a, alert.Dead); err != nil {
			return err
		}
		return river.JobCancel(errNotDelivered)
	}
	r.Log.Warn("a message was not taken; trying again later", "delivery", id, "channel", string(begun.Delivery.Channel), "attempt", job.Attempt)
	var asked interface{ RetryAfter() time.Duration }
	if errors.As(err, &asked) {
		job.Args.wait = min(asked.RetryAfter(), alert.LongestWait)
	}
	a.Next = max(r.retry.least(job.JobRow), job.Args.wait)
	if err := r.record(ctx, id, a, alert.Pending); err != nil {
		return err
	}
	return errNotDelivered
}

func (r *Runner) enter(id int64) (free bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	free = !r.under[id]
	r.under[id] = true
	return free
}

func (r *Runner) leave(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.under, id)
}

// letGo has another begin with a message whose attempt was broken off. Where that fails, its claim ends by itself.
func (r *Runner) letGo(ctx context.Context, id int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startPause)
	defer cancel()
	if err := r.Store.HoldDelivery(ctx, id, r.Replica, 0); err != nil {
		r.Log.Warn("a message that was under way is sent a minute later", "delivery", id, "error", err)
	}
}

// NextRetry is not before the time that the other side asked for.
func (w *deliverer) NextRetry(job *river.Job[DeliverArgs]) time.Time {
	if job.Args.wait <= 0 {
		return time.Time{} // as for other jobs
	}
	next := w.r.retry.NextRetry(job.JobRow)
	if asked := w.r.retry.now().Add(job.Args.wait); asked.After(next) {
		return asked
	}
	return next
}

// try renders and sends, and tells how it went. A panic is a failed attempt.
func (r *Runner) try(ctx context.Context, b alert.Begun) (a alert.Attempt, err error) {
	begin := time.Now()
	a = alert.Attempt{At: r.Now().UTC(), Outcome: alert.OutcomeDelivered, Replica: r.Replica}
	sender, most := r.Channels, sendTime
	if b.Delivery.Channel == alert.Email {
		sender, most = r.Mail, sendTime+alert.LongestAnswer // it keeps to sendTime up to the answer
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	ctx = alert.WithHandOver(ctx, func(ctx context.Context, answer time.Duration) error {
		return r.Store.HoldDelivery(ctx, b.Delivery.ID, r.Replica, answer+recordTime)
	})
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			r.Log.Error("delivering a message panicked", "delivery", b.Delivery.ID, "panic", p)
		}
		a.Took = time.Since(begin)
		if err != nil {
			a.Outcome = alert.OutcomeRetry
			if errors.Is(err, alert.ErrRefused) {
				a.Outcome = alert.OutcomeRefused
			}
			if a.Answer == "" {
				a.Answer = err.Error()
				if b.Delivery.Channel != alert.Email {
					a.Answer = alert.InternalPrefix + a.Answer
				}
			}
		}
		a.Answer = alert.Answer(a.Answer)
	}()
	n := r.notice(b, a.At)
	text, err := r.Renderer.Render(ctx, n)
	if err != nil {
		return a, fmt.Errorf("write the message: %w", err)
	}
	if sender == nil {
		return a, fmt.Errorf("nothing here sends by %s", b.Delivery.Channel)
	}
	a.Answer, err = sender.Send(ctx, b.Delivery, n, text)
	return a, err
}

// notice is what a message says.
func (r *Runner) notice(b alert.Begun, now time.Time) alert.Notice {
	d := b.Delivery
	alert.Arrange(b.Events)
	n := alert.Notice{
		MessageID: d.MessageID, Kind: d.Kind, Audience: d.Audience, Channel: d.Channel, Language: d.Language, Recipient: d.Recipient, Name: d.Name,
		Zone: r.Zone, Events: b.Events, Days: b.Days, PublicURL: r.PublicURL, SentAt: now,
	}
	if b.Zone != nil {
		n.Zone = b.Zone
	}
	if d.Audience == alert.Customer && d.Channel == alert.Email && r.Unsubscribe != nil {
		n.Unsubscribe = r.Unsubscribe(d.TenantID, d.Recipient, onlyMetric(b.Events))
	}
	if d.Kind == alert.Confirmation && b.Ask != nil && r.Confirm != nil {
		n.Ask, n.Confirm = b.Ask, r.Confirm(*b.Ask)
		n.Unsubscribe = n.Confirm + "/decline" // there is nothing to end yet
	}
	return n
}

// onlyMetric is what all events are about; "" where they differ.
func onlyMetric(events []alert.Event) alert.Metric {
	for _, e := range events {
		if e.Metric != events[0].Metric {
			return ""
		}
	}
	if len(events) == 0 {
		return ""
	}
	return events[0].Metric
}

// record writes an attempt down, also while this process ends and while the database is away for a moment: a message that was
// delivered and is not known to be would be sent again.
func (r *Runner) record(ctx context.Context, id int64, a alert.Attempt, state alert.DeliveryState) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.note)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := r.Store.RecordAttempt(ctx, id, a, state)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if state == alert.Delivered {
				r.keepUnrecorded(id, a)
			}
			return err
		case <-time.After(pause):
		}
	}
}

// recordLate writes down what was delivered while the database was away, as soon as it is back: before another replica sends it again.
func (r *Runner) recordLate(ctx context.Context) error {
	r.mu.Lock()
	late := maps.Clone(r.unrecorded)
	r.mu.Unlock()
	var failed []error
	for id := range late {
		if a, still := r.takeUnrecorded(id); still {
			if err := r.Store.RecordAttempt(ctx, id, a, alert.Delivered); err != nil {
				r.keepUnrecorded(id, a)
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

func (r *Runner) keepUnrecorded(id int64, a alert.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unrecorded[id] = a
}

func (r *Runner) takeUnrecorded(id int64) (alert.Attempt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.unrecorded[id]
	delete(r.unrecorded, id)
	return a, ok
}

// escalator looks whether somebody has taken care of a group.
type escalator struct {
	river.WorkerDefaults[EscalateArgs]
	r *Runner
}

// Work tells the others, once, or looks again later.
func (w *escalator) Work(ctx context.Context, job *river.Job[EscalateArgs]) error {
	again, err := w.r.Store.EscalateAlerts(ctx, job.Args.Group, job.Args.RuleID, w.r.planEscalation, w.r.enqueue)
	if err != nil {
		w.r.Log.Error("others could not be told; trying again", "group", job.Args.Group, "error", err)
		return river.JobSnooze(escalatePause) // for as long as it takes
	}
	if !again.IsZero() {
		return river.JobSnooze(max(0, again.Sub(w.r.Now())))
	}
	return nil
}
