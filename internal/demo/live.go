package demo

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// LiveKeyName is the name of the keys that Live calls with.
const LiveKeyName = "Demonstração ao vivo"

// pause is the mean time between two calls of one key.
const pause = 6 * time.Second

var questions = []string{
	"Resuma em duas frases o contrato de aluguel comercial.",
	"Escreva um e-mail cordial cobrando a fatura 2041, vencida há cinco dias.",
	"Quais documentos preciso para abrir uma filial em Campinas?",
	"Crie uma legenda curta para a promoção de sexta-feira.",
	"Explique o Simples Nacional para um novo cliente.",
	"Liste três riscos deste cronograma e como reduzi-los.",
	"Traduza para o inglês: entregamos em todo o Brasil em até sete dias.",
	"Sugira um roteiro de atendimento para quem pede reembolso.",
}

// Live calls the gateway at baseURL with each key, as customers would, whole and streamed, until ctx ends. Refused calls
// are part of the picture; they are not told.
func Live(ctx context.Context, baseURL string, keys []tenancy.Secret, log *slog.Logger) {
	var callers sync.WaitGroup
	for _, key := range keys {
		config := openai.DefaultConfig(key.Reveal())
		config.BaseURL = baseURL
		client := openai.NewClientWithConfig(config)
		callers.Go(func() {
			for sleep(ctx, time.Duration(rand.ExpFloat64()*float64(pause))) {
				if err := ask(ctx, client); err != nil && ctx.Err() == nil {
					log.Debug("demonstration call", "error", err)
				}
			}
		})
	}
	callers.Wait()
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func ask(ctx context.Context, client *openai.Client) error {
	request := openai.ChatCompletionRequest{
		Model:               "gpt-4.1-nano",
		MaxCompletionTokens: 400,
		Messages: []openai.ChatCompletionMessage{
			{Role: openai.ChatMessageRoleSystem, Content: "Você é o assistente da empresa. Responda com clareza."},
			{Role: openai.ChatMessageRoleUser, Content: questions[rand.IntN(len(questions))]},
		},
	}
	if rand.IntN(2) == 0 {
		_, err := client.CreateChatCompletion(ctx, request)
		return err
	}
	stream, err := client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
