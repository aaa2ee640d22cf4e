package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/sashabaranov/go-openai"

	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// embedding is who tells how alike questions are: the provider of the model that the settings name.
type embedding struct {
	mu       sync.Mutex
	settings tenancy.CacheSettings
	route    gateway.Reached
	price    tenancy.Price
}

// use lets the cache compare questions as the settings say, or not at all.
func (e *embedding) use(ctx context.Context, s tenancy.CacheSettings, g *gateway.Gateway, c *connector) {
	route, ok := g.Models.Reach(s.EmbeddingModel)
	e.mu.Lock()
	same := e.settings == s && e.route == route
	e.settings, e.route, e.price = s, route, route.Price
	e.mu.Unlock()
	if same {
		return // the cache keeps what it has learnt
	}
	if !ok {
		g.Cache.Configure(nil, 0)
		return
	}
	address, key, err := c.reach(*route.Provider)
	if err != nil {
		c.log.Error("the cache cannot compare questions", "error", err)
		g.Cache.Configure(nil, 0)
		return
	}
	g.Cache.Configure(newEmbedder(*route.Provider, route.UpstreamModel, address, key), s.Threshold)
}

func (e *embedding) cost(tokens int64) money.Micros {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.price.Cost(usage.Tokens{Input: tokens})
}

// embedder asks a provider for vectors.
type embedder struct {
	name   string
	model  string
	client *openai.Client
}

func newEmbedder(p tenancy.Provider, model, address, key string) cache.Embedder {
	config := openai.DefaultConfig(key)
	if p.Kind == tenancy.AzureProvider {
		config = openai.DefaultAzureConfig(key, address)
		if p.APIVersion != "" {
			config.APIVersion = p.APIVersion
		}
		config.AzureModelMapperFunc = func(model string) string { return model }
	}
	config.BaseURL = address
	config.HTTPClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &embedder{name: p.Slug + "/" + model, model: model, client: openai.NewClientWithConfig(config)}
}

func (e *embedder) Name() string { return e.name }

var (
	errNoVector = errors.New("the provider gave no vector")
	errNoAnswer = errors.New("the provider gave no answer that can be read")
)

// told is what the log and the page of operations may say of a failure. The client's own errors hold the whole answer, in
// which a provider, or a proxy before it, may repeat the question and the credential.
func told(err error) error {
	var refused *openai.APIError
	var failed *openai.RequestError
	var network *net.OpError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("the provider refused with status %d", refused.HTTPStatusCode)
	case errors.As(err, &failed):
		return fmt.Errorf("the provider failed with status %d", failed.HTTPStatusCode)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.As(err, &network):
		return network
	}
	return errNoAnswer
}

func (e *embedder) Embed(ctx context.Context, text string) ([]float32, int64, error) {
	answer, err := e.client.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{Input: []string{text}, Model: openai.EmbeddingModel(e.model)})
	if err != nil {
		return nil, 0, told(err)
	}
	tokens := int64(answer.Usage.PromptTokens)
	if len(answer.Data) == 0 {
		return nil, tokens, errNoVector
	}
	return answer.Data[0].Embedding, tokens, nil
}
