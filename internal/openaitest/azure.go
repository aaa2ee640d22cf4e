package openaitest

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"github.com/valyala/fasthttp"
)

// place is where a request goes: Azure's addresses are read as OpenAI's, with what they say beside it.
//
//	/openai/deployments/{deployment}/chat/completions?api-version=…   the deployment is the model
//	/openai/responses?api-version=…                                   the body names the model
//	/openai/v1/…                                                      as at OpenAI
type place struct {
	path       string // such as /v1/chat/completions
	azure, v1  bool   // v1: the address that needs no version
	deployment string // "" where the address names none
}

// azurePrologue is the event before a chat's first: what the filters found in the prompt, and no choice.
var azurePrologue = event(map[string]any{
	"id": "", "object": "", "created": 0, "model": "", "choices": []any{},
	"prompt_filter_results": []any{map[string]any{"prompt_index": 0, "content_filter_results": map[string]any{
		"hate":      map[string]any{"filtered": false, "severity": "safe"},
		"self_harm": map[string]any{"filtered": false, "severity": "safe"},
		"sexual":    map[string]any{"filtered": false, "severity": "safe"},
		"violence":  map[string]any{"filtered": false, "severity": "safe"},
	}}},
})

func placeOf(ctx *fasthttp.RequestCtx) place {
	path := string(ctx.Path())
	rest, azure := strings.CutPrefix(path, "/openai/")
	if !azure {
		return place{path: path}
	}
	if rest, ok := strings.CutPrefix(rest, "v1/"); ok {
		return place{path: "/v1/" + rest, azure: true, v1: true}
	}
	p := place{azure: true}
	if after, ok := strings.CutPrefix(rest, "deployments/"); ok {
		p.deployment, rest, _ = strings.Cut(after, "/")
	}
	p.path = "/v1/" + rest
	return p
}

// enterAzure checks what an address of Azure's must have and puts its deployment into the body as the model. It does nothing
// elsewhere.
func (c *call) enterAzure() *apiError {
	if !c.azure || c.v1 {
		return nil
	}
	if len(c.ctx.QueryArgs().Peek("api-version")) == 0 {
		return &apiError{status: 400, azure: true, code: "BadRequest", message: "Missing required query parameter: api-version"}
	}
	if c.deployment == "" {
		return nil
	}
	if _, ok := c.models.find(c.deployment); !ok && !c.opts.AnyModel {
		return &apiError{status: 404, azure: true, code: "DeploymentNotFound", message: "The API deployment for this resource does not " +
			"exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}
	}
	if gjson.ValidBytes(c.body) && bytes.HasPrefix(bytes.TrimSpace(c.body), []byte("{")) {
		body, err := sjson.SetBytes(c.body, "model", c.deployment)
		if err == nil {
			c.body = body
		}
	}
	return nil
}
