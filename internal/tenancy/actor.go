package tenancy

import "context"

// Actor is who a change is put down to in the audit log. UserID 0: no signed-in person, only a label such as
// "command line".
type Actor struct {
	UserID int64
	Label  string // an e-mail address, "command line", "system"
}

type actorKey struct{}

// WithActor tells whose changes the calls under ctx are.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf is the actor in ctx; work that nobody asked for is put down to the system.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Label: "system"}
}
