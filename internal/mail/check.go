package mail

import (
	"context"
	"errors"

	"github.com/fila-ia/filaia/internal/alert"
)

// Check tries what is in force up to the sign-in and tells each step, the last of which may have failed. Nothing is sent.
func (s *Sender) Check(ctx context.Context) ([]alert.MailStep, error) {
	r, err := s.route(ctx)
	if err != nil {
		return nil, err
	}
	if !r.Ready() {
		return nil, errNotConnected
	}
	var steps []alert.MailStep
	c, err := s.begin(ctx, r, func(step alert.MailStep) { steps = append(steps, step) })
	if err == nil {
		c.end()
		return steps, nil
	}
	return append(steps, s.Explain(err)), nil
}

// Explain says an error of Send or Check as a step that failed.
func (s *Sender) Explain(err error) alert.MailStep {
	failed := alert.MailStep{Key: "mail.problem.other", Detail: alert.Answer(err.Error())}
	var t *trouble
	if errors.As(err, &t) {
		failed.Name, failed.Args, failed.Detail = t.Step, t.Args, alert.Answer(t.text())
		if t.Key != "" {
			failed.Key = t.Key
		}
	}
	return failed
}
