package handlers

import (
	"context"
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/dashboard"
	"github.com/fila-ia/filaia/views/mail"
)

// stepsSnapshot is how far a new installation has come.
type stepsSnapshot struct {
	usage.FirstSteps
	command string
	mail    bool // messages leave the machine
}

func (p *Panel) readSteps(ctx context.Context, base string) (*stepsSnapshot, error) {
	first, err := p.Dashboard.FirstSteps(ctx)
	if err != nil {
		return nil, err
	}
	models, err := p.Dashboard.Models(ctx)
	if err != nil {
		return nil, err
	}
	return &stepsSnapshot{first, curl(base, firstModel(models)), p.mailReady(ctx)}, nil
}

func firstModel(models []tenancy.Model) string {
	if len(models) == 0 {
		return "gpt-4.1-nano"
	}
	return models[0].Name
}

func (s *stepsSnapshot) model(say i18n.Printer) dashboard.Steps {
	m := dashboard.Steps{Command: s.command, Done: s.Called}
	step := func(name, href string, done bool) {
		item := dashboard.Step{Title: say.T("dashboard.step." + name + ".title"), Text: say.T("dashboard.step." + name + ".text"), Done: done, Href: href}
		if href != "" {
			item.Act = say.T("dashboard.step." + name + ".act")
		}
		m.Items = append(m.Items, item)
	}
	step("plan", "/plans", s.Plans > 0)
	step("tenant", "/tenants/new", s.Tenants > 0)
	step("key", "/keys/new", s.Keys > 0)
	step("call", "", s.Called)
	step("mail", mail.Path, s.mail)
	for i := range m.Items {
		if !m.Items[i].Done {
			m.Items[i].Next = true
			break
		}
	}
	return m
}

func (s *stepsSnapshot) parts(ctx context.Context, lang i18n.Lang) ([]part, error) {
	say := i18n.NewPrinter(lang, nil)
	var text strings.Builder
	if err := dashboard.FirstSteps(say, s.model(say)).Render(ctx, &text); err != nil {
		return nil, fmt.Errorf("write steps: %w", err)
	}
	return []part{{"steps", text.String()}}, nil
}

// baseURL is where SDKs call: the public address, or the one this page was asked at.
func (p *Panel) baseURL(c *fiber.Ctx) string {
	if p.PublicURL.Host != "" {
		return strings.TrimSuffix(p.PublicURL.String(), "/") + "/v1"
	}
	return c.BaseURL() + "/v1"
}

// curl is a first call from a command line. The text is the same in every language: it is a program.
func curl(base, model string) string {
	return "curl " + base + "/chat/completions \\\n" +
		"  -H \"Authorization: Bearer $FILAIA_KEY\" \\\n" +
		"  -H \"Content-Type: application/json\" \\\n" +
		"  -d '{\"model\": \"" + model + "\",\n" +
		"       \"messages\": [{\"role\": \"user\", \"content\": \"Olá!\"}]}'"
}
