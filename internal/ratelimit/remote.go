package ratelimit

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// ratesScript is all that is done in Redis.
//
//go:embed rates.lua
var ratesScript string

// remote asks Redis.
type remote struct {
	client  rueidis.Client
	space   string // before all keys
	script  string
	hash    string // how Redis names the script
	replica string // names this limiter among those that share the Redis
	calls   atomic.Uint64

	lease    time.Duration // how long a call keeps its place unless that is renewed
	renew    time.Duration // when it is renewed
	patience time.Duration // how long Redis may take to answer before it counts as away
}

func newRemote(client rueidis.Client, space string) *remote {
	if space == "" {
		space = "filaia:"
	}
	r := &remote{client: client, space: space, replica: rand.Text()[:10], lease: 30 * time.Second, renew: 10 * time.Second, patience: 250 * time.Millisecond}
	r.use(ratesScript)
	return r
}

func (r *remote) use(script string) {
	sum := sha1.Sum([]byte(script)) // not for security: Redis names scripts so
	r.script, r.hash = script, hex.EncodeToString(sum[:])
}

// call is an admitted call that Redis counts.
type call struct {
	id      string
	scopes  [3]member
	renewAt int64 // of the limiter's clock
	// Neighbours in the queue's list of calls under way; both nil for one that holds no place.
	before, after *call
}

// member is one scope of a tenant.
type member struct {
	tenant int64
	scope  Scope
}

func (r *remote) newID() string {
	return r.replica + "-" + strconv.FormatUint(r.calls.Add(1), 36)
}

// question is one run of the script.
type question struct{ keys, args []string }

// What a question is for.
const (
	toTake = "take" // a call
	toLook = "look"
	toTell = "tell" // what became of calls
)

// newQuestion begins one; id names the call that wants to be taken.
func (r *remote) newQuestion(purpose, id string, tokens int64) question {
	q := question{make([]string, 0, 9), make([]string, 0, 4+3*7)}
	q.args = append(q.args, purpose, id, strconv.FormatInt(r.lease.Milliseconds(), 10), strconv.FormatInt(min(tokens, most), 10))
	return q
}

// about adds a scope, and what Redis is to be told of it. All keys of a tenant have one hash tag, so that a cluster
// keeps them together.
func (q *question) about(r *remote, m member, tell correction) {
	base := r.space + "rates:{t" + strconv.FormatInt(m.tenant, 10) + "}:" + m.scope.Kind.String() + ":" + strconv.FormatInt(m.scope.ID, 10)
	// Keys that this run will not use need not be made; what stands for them must have the same tag.
	places, heard := base, base
	if m.scope.Limits.Parallel > 0 || len(tell.alive)+len(tell.ended) > 0 {
		places = base + ":calls"
	}
	if tell.debt != 0 {
		heard = base + ":" + r.replica
	}
	q.keys = append(q.keys, base, places, heard)
	for _, n := range [...]int64{m.scope.Limits.requests(), m.scope.Limits.tokens(), m.scope.Limits.parallel(), tell.number, tell.debt} {
		q.args = append(q.args, strconv.FormatInt(n, 10))
	}
	q.args = append(append(q.args, strconv.Itoa(len(tell.alive))), tell.alive...)
	q.args = append(append(q.args, strconv.Itoa(len(tell.ended))), tell.ended...)
}

func (r *remote) command(q question) rueidis.Completed {
	return r.client.B().Evalsha().Sha1(r.hash).Numkeys(int64(len(q.keys))).Key(q.keys...).Arg(q.args...).Build()
}

// inFull is for a Redis that does not know the script yet.
func (r *remote) inFull(q question) rueidis.Completed {
	return r.client.B().Eval().Script(r.script).Numkeys(int64(len(q.keys))).Key(q.keys...).Arg(q.args...).Build()
}

// bounded waits no longer than for the patience, and no shorter: a question that was sent may be carried out at any
// later time, and who did not wait for the answer would have to guess.
func (r *remote) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), r.patience)
}

// attempts is how often a question is asked that meets a broken connection: a Redis that was restarted leaves behind as
// many as the client had, four unless told otherwise, and they are found broken only when used.
const attempts = 5

// ask gives the answer and how many round trips it took: one, unless the script had to be sent or a connection was broken.
func (r *remote) ask(ctx context.Context, q question) (a answer, trips int64, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	result, trips := r.try(ctx, q, r.command)
	if unknown(result) {
		var more int64
		result, more = r.try(ctx, q, r.inFull)
		trips += more
	}
	a, err = read(result, q)
	return a, trips, err
}

func (r *remote) try(ctx context.Context, q question, command func(question) rueidis.Completed) (result rueidis.RedisResult, trips int64) {
	for trips = 1; ; trips++ {
		if result = r.client.Do(ctx, command(q)); trips == attempts || !broken(result) {
			return result, trips
		}
	}
}

// askAll sends many questions at once. It gives an error, or nil, for each.
func (r *remote) askAll(ctx context.Context, questions []question) []error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	var results []rueidis.RedisResult
	for range attempts {
		commands := make(rueidis.Commands, len(questions))
		for i, q := range questions {
			commands[i] = r.command(q)
		}
		// Corrections may arrive twice: all are sent again.
		if results = r.client.DoMulti(ctx, commands...); !slices.ContainsFunc(results, broken) {
			break
		}
	}
	errs := make([]error, len(questions))
	for i, result := range results {
		if unknown(result) {
			result, _ = r.try(ctx, questions[i], r.inFull)
		}
		_, errs[i] = read(result, questions[i])
	}
	return errs
}

// broken tells a connection that failed from a Redis that answered, or said nothing for too long.
func broken(result rueidis.RedisResult) bool {
	err := result.NonRedisError()
	return err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded)
}

func unknown(result rueidis.RedisResult) bool {
	err, is := rueidis.IsRedisErr(result.Error())
	return is && err.IsNoScript()
}

// answer is what the script gave.
type answer struct {
	fits   bool
	stands []standing // of each scope asked about
}

func read(result rueidis.RedisResult, q question) (answer, error) {
	figures, err := result.AsIntSlice()
	if err != nil {
		return answer{}, err
	}
	if len(figures) != 1+len(q.keys) {
		return answer{}, fmt.Errorf("%d figures for %d scopes", len(figures), len(q.keys)/3)
	}
	a := answer{fits: figures[0] == 1, stands: make([]standing, 0, 3)}
	for f := figures[1:]; len(f) > 0; f = f[3:] {
		a.stands = append(a.stands, standing{f[0], f[1], f[2]})
	}
	return a, nil
}
