package v1

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// modelObject is a model as OpenAI lists it.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func objectOf(m *tenancy.Model) modelObject {
	return modelObject{ID: m.Name, Object: "model", Created: m.CreatedAt.Unix(), OwnedBy: m.OwnedBy}
}

// listModels lists what this key may use.
func (a *API) listModels(_ *fiber.Ctx, r *request) error {
	list := struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{"list", []modelObject{}}
	for _, m := range a.gate.Models.Allowed(r.caller) {
		list.Data = append(list.Data, objectOf(&m))
	}
	return a.answerJSON(r, list)
}

// getModel gives one model that this key may use.
func (a *API) getModel(c *fiber.Ctx, r *request) error {
	name, err := url.PathUnescape(c.Params("*"))
	if err != nil || name == "" {
		return &gateway.Refusal{Reason: gateway.UnknownModel, Subject: c.Params("*")}
	}
	model, err := a.gate.Models.Find(r.caller, name)
	if err != nil {
		return err
	}
	return a.answerJSON(r, objectOf(model))
}

func (a *API) answerJSON(r *request, value any) error {
	standing := a.standing(r)
	setStanding(&r.Response.Header, standing)
	setProcessing(&r.Response.Header, a.gate.Now().Sub(r.line.start))
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	r.Response.Header.SetContentType(fiber.MIMEApplicationJSON)
	r.Response.SetBody(b)
	return nil
}
