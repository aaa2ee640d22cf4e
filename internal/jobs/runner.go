package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivertype"

	"github.com/fila-ia/filaia/internal/alert"
)

// How long things take.
const (
	pollEvery     = 100 * time.Millisecond
	dispatchEvery = time.Second           // what was raised, should nobody say so
	mendEvery     = time.Minute           // between looks for jobs that are gone, or that nobody does
	sendTime      = 45 * time.Second      // of one attempt, but for the answer to an e-mail that the server has all of
	leaseTime     = sendTime + recordTime // for which nobody else sends the message
	recordTime    = 20 * time.Second      // to write down how an attempt went, should the database be away
	rescueAfter   = leaseTime + 10*time.Second
	stopTime      = 10 * time.Second // for attempts under way, at the end
	startPause    = 2 * time.Second  // between tries to begin
)

// The queues: a chat that answers slowly must not hold back e-mail.
const (
	deliverQueue = "deliver" // e-mail, and looks whether others must be told
	channelQueue = "channels"
)

// Options is what a Runner needs.
type Options struct {
	DB       *sql.DB // a pool that keeps its connections
	Store    Store
	Renderer Renderer
	Mail     Sender // of e-mail
	Channels Sender // of everything else
	// Replica names this process for as long as its data folder lives; no two processes have the same at a time.
	Replica     string
	PublicURL   string                                                           // without a slash at the end
	Zone        *time.Location                                                   // of the installation
	Unsubscribe func(tenantID int64, address string, metric alert.Metric) string // link; metric "" is all of them; nil: there is none
	Confirm     func(alert.Ask) string                                           // link of a message that asks
	Log         *slog.Logger
	Now         func() time.Time
}

// Runner decides who is told of what was raised, and brings the messages. Any number of them may run on one database.
type Runner struct {
	Options
	client *river.Client[*sql.Tx]
	retry  retryPolicy
	wake   chan struct{}
	mend   time.Duration // between looks for jobs that are gone
	note   time.Duration // to write down how an attempt went

	mu         sync.Mutex
	unrecorded map[int64]alert.Attempt // what was delivered and could not be written down
	under      map[int64]bool          // way
}

// New makes a Runner. Nothing runs before Run.
func New(o Options) (*Runner, error) { return newRunner(o, retries(), func(*river.Config) {}) }

func newRunner(o Options, waits []time.Duration, tune func(*river.Config)) (*Runner, error) {
	r := &Runner{Options: o, retry: retryPolicy{waits, time.Now}, wake: make(chan struct{}, 1), mend: mendEvery, note: recordTime, unrecorded: map[int64]alert.Attempt{}, under: map[int64]bool{}}
	workers := river.NewWorkers()
	river.AddWorker(workers, &deliverer{r: r})
	river.AddWorker(workers, &escalator{r: r})
	config := &river.Config{
		ID: o.Replica, Workers: workers, PollOnly: true, FetchCooldown: pollEvery, FetchPollInterval: pollEvery,
		Queues: map[string]river.QueueConfig{
			deliverQueue: {MaxWorkers: 10},
			channelQueue: {MaxWorkers: 20, FetchPollInterval: 2 * pollEvery},
		},
		JobTimeout: sendTime + recordTime, RescueStuckJobsAfter: rescueAfter, SoftStopTimeout: stopTime, MaxAttempts: len(waits) + 1,
		RetryPolicy: r.retry, Logger: quiet(o.Log), ReindexerTimeout: 30 * time.Second,
	}
	tune(config)
	var err error
	if r.client, err = river.NewClient(riverdatabasesql.New(o.DB), config); err != nil {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	return r, nil
}

// Wake has what was raised looked at now. It does not block.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it will be
	}
}

// Run works until ctx ends and what is under way has ended. It never gives up on a database that is away.
func (r *Runner) Run(ctx context.Context) error {
	for {
		err := r.begin(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		r.Log.Error("messages cannot be delivered; trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(startPause):
		}
	}
	r.dispatch(ctx)
	<-r.client.Stopped()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dispatchEvery)
	defer cancel()
	if err := r.recordLate(ctx); err != nil {
		r.Log.Error("messages that were delivered could not be written down, and may be sent again", "error", err)
	}
	return nil
}

// begin puts back what this replica was at when it was killed: River would wait until it is sure that nobody works on it.
func (r *Runner) begin(ctx context.Context) error {
	n, err := r.Store.ReclaimJobs(ctx, r.Replica)
	if err != nil {
		return err
	}
	if n > 0 {
		r.Log.Warn("messages that were under way when this server ended are sent now", "jobs", n)
	}
	return r.client.Start(ctx)
}

// dispatch plans what was raised, whenever it is told to and every second, until ctx ends.
func (r *Runner) dispatch(ctx context.Context) {
	tick := time.NewTicker(dispatchEvery)
	defer tick.Stop()
	var looked time.Time // for jobs that are gone
	failing := false
	for {
		lost := time.Since(looked) >= r.mend
		err := r.round(ctx, lost)
		if lost && err == nil {
			looked = time.Now()
		}
		if err != nil && ctx.Err() == nil && !failing {
			r.Log.Error("alerts could not be dispatched; trying on", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// round plans all groups that wait, and makes jobs for messages that have none. A part that fails keeps no other from being done.
func (r *Runner) round(ctx context.Context, lost bool) error {
	failed := []error{
		r.recordLate(ctx),
		untilNone(func() (int, error) { return r.Store.DispatchAlerts(ctx, r.plan, r.enqueue) }),
		untilNone(func() (int, error) { return r.Store.QueueDeliveries(ctx, lost, r.enqueue) }),
	}
	if lost {
		late, gone, err := r.Store.MendQueue(ctx, r.enqueue)
		if late+gone > 0 {
			r.Log.Warn("jobs that nobody did are done now", "late", late, "gone", gone)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// untilNone does some of the work at a time until there is none left, or it fails.
func untilNone(some func() (int, error)) error {
	for {
		if n, err := some(); n == 0 || err != nil {
			return err
		}
	}
}

func (r *Runner) plan(s alert.Situation) alert.Planned {
	s.Zone = r.Zone
	return alert.Decide(s)
}

func (r *Runner) planEscalation(s alert.Situation, ruleID int64) (alert.Planned, time.Time) {
	s.Zone = r.Zone
	return alert.Escalate(s, ruleID)
}

// DeliverArgs is the job that brings a message.
type DeliverArgs struct {
	Delivery int64 `json:"delivery"`

	wait time.Duration // that the other side asked for at this attempt; River keeps nothing of it
}

// Kind is for River.
func (DeliverArgs) Kind() string { return "deliver" }

// EscalateArgs is the job that looks whether somebody has taken care of a group.
type EscalateArgs struct {
	Group  uuid.UUID `json:"group"`
	RuleID int64     `json:"rule"`
}

// Kind is for River.
func (EscalateArgs) Kind() string { return "escalate" }

// enqueue makes jobs. What is due at once has no time of its own: the database's clock decides when it is fetched.
func (r *Runner) enqueue(ctx context.Context, tx *sql.Tx, work []alert.Work) ([]int64, error) {
	params := make([]river.InsertManyParams, len(work))
	for i, w := range work {
		opts := &river.InsertOpts{Queue: deliverQueue, ScheduledAt: w.DueAt}
		params[i] = river.InsertManyParams{Args: EscalateArgs{w.Group, w.RuleID}, InsertOpts: opts}
		if w.DeliveryID != 0 {
			params[i].Args = DeliverArgs{Delivery: w.DeliveryID}
			if w.Channel != alert.Email {
				opts.Queue = channelQueue
			}
		}
	}
	made, err := r.client.InsertManyTx(ctx, tx, params)
	if err != nil {
		return nil, err
	}
	jobs := map[int64]int64{}
	for _, m := range made { // River promises no order
		var args DeliverArgs
		if err := json.Unmarshal(m.Job.EncodedArgs, &args); err != nil {
			return nil, fmt.Errorf("read job %d: %w", m.Job.ID, err)
		}
		jobs[args.Delivery] = m.Job.ID
	}
	ids := make([]int64, len(work))
	for i, w := range work {
		ids[i] = jobs[w.DeliveryID]
	}
	return ids, nil
}

// last tells whether a failed job is not tried again.
func last(job *rivertype.JobRow) bool { return job.Attempt >= job.MaxAttempts }
