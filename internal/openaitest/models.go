package openaitest

import (
	"cmp"
	"fmt"
	"strings"
)

// model is one that the server knows. The snapshot is the dated name that answers carry, as OpenAI's do.
type model struct {
	id, snapshot string
	created      int64 // Unix seconds
}

// usualModels are offered unless Options.Models names others.
var usualModels = []model{
	{"gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", 1744321707},
	{"gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", 1744318173},
	{"gpt-4.1", "gpt-4.1-2025-04-14", 1744316542},
	{"gpt-4o", "gpt-4o-2024-08-06", 1715367049},
	{"gpt-4o-mini", "gpt-4o-mini-2024-07-18", 1721172741},
	{"gpt-5", "gpt-5-2025-08-07", 1754425777},
	{"gpt-5-mini", "gpt-5-mini-2025-08-07", 1754425928},
	{"gpt-5-nano", "gpt-5-nano-2025-08-07", 1754426384},
	{"o3", "o3-2025-04-16", 1744225308},
	{"o4-mini", "o4-mini-2025-04-16", 1744225351},
	{"gpt-4-turbo", "gpt-4-turbo-2024-04-09", 1712361441},
	{"gpt-4", "gpt-4-0613", 1687882411},
	{"gpt-3.5-turbo", "gpt-3.5-turbo-0125", 1677610602},
	{"gpt-3.5-turbo-instruct", "", 1692901427},
	{"davinci-002", "", 1692634301},
	{"babbage-002", "", 1692634615},
	{"text-embedding-3-small", "", 1705948997},
	{"text-embedding-3-large", "", 1705953180},
	{"text-embedding-ada-002", "text-embedding-ada-002-v2", 1671217299},
	{"omni-moderation-latest", "omni-moderation-2024-09-26", 1731689265},
	{"text-moderation-latest", "text-moderation-007", 1685138387},
	{"text-moderation-stable", "text-moderation-007", 1685138387},
	{"gpt-image-1", "", 1745517030},
	{"gpt-image-1-mini", "", 1758845821},
	{"dall-e-3", "", 1698785189},
	{"dall-e-2", "", 1698798177},
	{"whisper-1", "", 1677532384},
	{"gpt-4o-transcribe", "", 1742068463},
	{"gpt-4o-mini-transcribe", "", 1742068596},
	{"gpt-4o-mini-tts", "", 1742403959},
	{"tts-1", "", 1681940951},
	{"tts-1-hd", "", 1699046015},
}

// catalogue is the list of models.
type catalogue []model

func newCatalogue(ids []string) catalogue {
	if len(ids) == 0 {
		return usualModels
	}
	var own catalogue
	for _, id := range ids {
		m := model{id: id, created: 1_735_689_600}
		for _, usual := range usualModels {
			if usual.id == id {
				m = usual
			}
		}
		own = append(own, m)
	}
	return own
}

// find returns the model of an id or a snapshot, and of a fine-tuned name the model it was tuned from.
func (c catalogue) find(id string) (model, bool) {
	base, tuned := strings.CutPrefix(id, "ft:")
	base, _, _ = strings.Cut(base, ":")
	for _, m := range c {
		if base != m.id && base != m.snapshot || base == "" {
			continue
		}
		if tuned {
			m.snapshot = id
		}
		return m, true
	}
	return model{}, false
}

// resolve returns the name that answers carry, or the error of a model that does not exist.
func (s *Server) resolve(id string) (string, *apiError) {
	if m, ok := s.models.find(id); ok {
		return cmp.Or(m.snapshot, m.id), nil
	}
	if s.opts.AnyModel {
		return id, nil
	}
	return "", noModel(id)
}

func noModel(id string) *apiError {
	return &apiError{status: 404, code: "model_not_found",
		message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", id)}
}

type modelDoc struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (m model) doc() modelDoc { return modelDoc{m.id, "model", m.created, "simulator"} }

// listModels is GET /v1/models.
func (c *call) listModels() {
	list := struct {
		Object string     `json:"object"`
		Data   []modelDoc `json:"data"`
	}{Object: "list"}
	for _, m := range c.models {
		list.Data = append(list.Data, m.doc())
	}
	c.answerJSON(list)
}

// getModel is GET /v1/models/{id}.
func (c *call) getModel(id string) {
	m, ok := c.models.find(id)
	if !ok {
		c.fail(noModel(id))
		return
	}
	m.id = id
	c.answerJSON(m.doc())
}
