package v1

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/usage"
)

// Requests about a stored response go to the provider that made it, and only for the tenant that it was made for.

func (a *API) getResponse(c *fiber.Ctx, r *request) error {
	if c.QueryBool("stream") {
		return invalid("stream", "A stored response cannot be streamed here. Ask without 'stream', or set it when the response is made.")
	}
	_, err := a.aboutResponse(c, r, fiber.MethodGet, "")
	return err
}

func (a *API) deleteResponse(c *fiber.Ctx, r *request) error {
	status, err := a.aboutResponse(c, r, fiber.MethodDelete, "")
	if err == nil && status == fiber.StatusOK {
		err = a.gate.ForgetResponse(c.UserContext(), r.caller, c.Params("id"))
	}
	return err
}

func (a *API) cancelResponse(c *fiber.Ctx, r *request) error {
	_, err := a.aboutResponse(c, r, fiber.MethodPost, "/cancel")
	return err
}

func (a *API) listInputItems(c *fiber.Ctx, r *request) error {
	_, err := a.aboutResponse(c, r, fiber.MethodGet, "/input_items")
	return err
}

// aboutResponse passes a request on, and its answer back.
func (a *API) aboutResponse(c *fiber.Ctx, r *request, method, below string) (status int, err error) {
	r.endpoint = "responses"
	id := c.Params("id")
	stored, err := a.gate.FindResponse(c.UserContext(), r.caller, id)
	if err != nil {
		return 0, err
	}
	m := &gateway.Message{Method: method, Path: responsePath(id, below), Query: string(r.URI().QueryString())}
	answer, err := a.gate.SendTo(context.Background(), r.caller, stored, m)
	if err != nil {
		return 0, err
	}
	defer answer.Release()
	if p := hidden(answer.Status(), answer.Body()); p != nil {
		return 0, p
	}
	setStanding(&r.Response.Header, a.gate.Standing(c.UserContext(), r.caller))
	passHeaders(&r.Response.Header, answer.Header)
	setProcessing(&r.Response.Header, a.gate.Now().Sub(r.line.start))
	r.Response.SetStatusCode(answer.Status())
	r.Response.Header.SetContentType(contentType(answer.Header("Content-Type"), fiber.MIMEApplicationJSON))
	r.Response.SetBody(answer.Body())
	return answer.Status(), nil
}

func responsePath(id, below string) string { return "/responses/" + url.PathEscape(id) + below }

// polls are the calls whose response is made in the background: they end when their provider says so.
type polls struct {
	life context.Context
	stop context.CancelFunc
	wait *sync.WaitGroup
}

func newPolls() polls {
	life, stop := context.WithCancel(context.Background())
	return polls{life, stop, &sync.WaitGroup{}}
}

// Close cancels what is still made in the background, and records it.
func (a *API) Close() {
	a.polls.stop()
	a.polls.wait.Wait()
}

// How often a response in the background is looked at, and for how long: OpenAI keeps none for longer.
const (
	firstPoll   = 500 * time.Millisecond
	slowestPoll = 10 * time.Second
	lastPoll    = 24 * time.Hour
)

// background answers a response that has only begun, and records the call when it has ended.
func (a *API) background(r *request, call *gateway.Call, m meter, answer wholeAnswer) error {
	passWhole(r, call, answer)
	call.Stored(m.object)
	m.body = m.body.retained()
	caller, providerID := r.caller, answer.header("X-Request-Id")
	a.polls.wait.Go(func() {
		stored, err := a.gate.FindResponse(context.Background(), caller, m.object)
		if err == nil {
			m = a.poll(stored, m)
		}
		outcome := gateway.Outcome{HTTPStatus: fiber.StatusOK, ProviderID: providerID, Object: m.object}
		outcome.Tokens, outcome.Estimated = m.used()
		if m.failed || m.pending {
			outcome.Status = usage.Failed
		}
		if err := call.Finish(outcome); err != nil {
			a.log.Error("record a response made in the background", "id", call.Event().RequestID, "error", err)
		}
	})
	return nil
}

// poll looks at a response until it has ended.
func (a *API) poll(stored gateway.StoredResponse, m meter) meter {
	deadline := time.Now().Add(lastPoll)
	for pause := firstPoll; ; pause = min(2*pause, slowestPoll) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-a.polls.life.Done(): // what is not ended must be, so that it can be counted
			timer.Stop()
			return a.look(stored, m, fiber.MethodPost, "/cancel")
		}
		if m = a.look(stored, m, fiber.MethodGet, ""); !m.pending || time.Now().After(deadline) {
			return m
		}
	}
}

func (a *API) look(stored gateway.StoredResponse, m meter, method, below string) meter {
	answer, err := a.gate.SendAbout(context.Background(), stored, &gateway.Message{Method: method, Path: responsePath(stored.ID, below)})
	if err != nil {
		return m
	}
	defer answer.Release()
	switch {
	case answer.Status() == fiber.StatusOK:
		m = newMeter(m.body)
		m.whole(answer.Body())
		m.object = stored.ID
	case answer.Status() == fiber.StatusNotFound: // deleted meanwhile
		m.pending = false
	}
	return m
}
