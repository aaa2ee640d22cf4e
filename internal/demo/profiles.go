package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// rhythm says when a customer calls.
type rhythm uint8

const (
	office rhythm = iota // weekdays, with a dip at lunch
	retail               // evenings and weekends too
	always               // machines: day and night
)

// profile is one made-up customer.
type profile struct {
	name, domain, taxBase string // taxBase: the tax id without its two check digits
	plan                  string
	rhythm                rhythm
	daysAgo               int               // since when
	fill                  float64           // share of the included input tokens that a whole period uses
	fillNow               float64           // instead: the share used by now, whatever the period's age
	began                 int               // how many days ago the current period did
	errors                float64           // share of failed calls
	cache                 tenancy.CacheMode // of its keys; empty: as the plan says
	hits                  float64           // share of calls that the cache answers, where it is asked
	models                []string
	keys                  []string
	suspended             bool
	admin, viewer         string
}

const blockingSlug = "essencial"

// blockingPlan refuses calls above its limit and answers from the cache, unlike the default plans.
func blockingPlan() tenancy.PlanDraft {
	return tenancy.PlanDraft{
		Slug: blockingSlug, Name: "Essencial", Description: "Valor fixo, sem surpresa na fatura",
		Terms: tenancy.Terms{
			Price: 59_900_000, InputTokens: 600_000, OutputTokens: 300_000, Overage: tenancy.Block,
			RequestsPerMinute: 60, TokensPerMinute: 60_000, ParallelCalls: 4,
			AllowedModels: []string{"gpt-4.1-nano", "gpt-4o-mini"},
			Cache:         tenancy.CacheSmart, CacheMinutes: 1440, CacheBilled: 20,
		},
	}
}

type person struct {
	name, email string
	role        tenancy.Role
}

var team = []person{
	{"Marina Duarte", "marina@demo.example", tenancy.Owner},
	{"Caio Fontes", "caio@demo.example", tenancy.Manager},
	{"Lia Prado", "lia@demo.example", tenancy.Viewer},
}

var (
	nano  = []string{"gpt-4.1-nano", "gpt-4.1-nano", "gpt-4.1-nano", "gpt-4.1-mini"}
	mixed = []string{"gpt-4.1-nano", "gpt-4.1-nano", "gpt-4.1-mini", "gpt-4o-mini", "gpt-4.1"}
	fixed = []string{"gpt-4.1-nano", "gpt-4.1-nano", "gpt-4o-mini"}
)

var profiles = []profile{
	{name: "Loja Maré Alta", domain: "marealta", taxBase: "417302580001", plan: "enterprise", rhythm: retail, daysAgo: 400, began: 21,
		fill: .36, errors: .004, models: mixed, keys: []string{"Atendimento", "Catálogo", "Busca do site"}, cache: tenancy.CacheExact, hits: .34, admin: "Renata Queiroz", viewer: "Tiago Lins"},
	{name: "Transportes Serra Verde", domain: "serraverde", taxBase: "085261940001", plan: "enterprise", rhythm: always, daysAgo: 250, began: 17,
		fill: .2, errors: .003, models: nano, keys: []string{"Roteirização", "Rastreio"}, admin: "Otávio Reis", viewer: "Nara Bueno"},
	{name: "Agência Cajuína Digital", domain: "cajuina", taxBase: "293847160001", plan: "pro", rhythm: office, daysAgo: 210, began: 24,
		fill: .66, errors: .006, models: mixed, keys: []string{"Redação", "Relatórios"}, admin: "Lívia Sampaio"},
	{name: "Braga & Nunes Advogados", domain: "braganunes", taxBase: "361905720001", plan: "pro", rhythm: office, daysAgo: 160, began: 12,
		fill: .5, errors: .003, models: mixed, keys: []string{"Peças", "Pesquisa"}, admin: "Henrique Braga"},
	{name: "Editora Ipê Amarelo", domain: "ipeamarelo", taxBase: "502718390001", plan: "pro", rhythm: office, daysAgo: 140, began: 19,
		fill: .42, errors: .004, models: mixed, keys: []string{"Revisão"}, admin: "Beatriz Moura"},
	{name: "Aurora Contabilidade", domain: "auroracontabil", taxBase: "174629850001", plan: "basico", rhythm: office, daysAgo: 120, began: 24,
		fillNow: 1.23, errors: .004, models: nano, keys: []string{"Conciliação", "Dúvidas de clientes"}, admin: "Sandra Pires"},
	{name: "Escola Caminho Novo", domain: "caminhonovo", taxBase: "630481270001", plan: blockingSlug, rhythm: office, daysAgo: 100, began: 24,
		fillNow: .94, errors: .003, models: fixed, keys: []string{"Tutor de redação"}, hits: .58, admin: "Paulo Teles"},
	{name: "Farmácia Bem Querer", domain: "bemquerer", taxBase: "748203510001", plan: blockingSlug, rhythm: retail, daysAgo: 80, began: 20,
		fill: .8, errors: .003, models: fixed, keys: []string{"Balcão"}, hits: .71, admin: "Joana Freitas"},
	{name: "Clínica Vida Serena", domain: "vidaserena", taxBase: "859174030001", plan: "basico", rhythm: office, daysAgo: 65, began: 22,
		fill: .72, errors: .005, models: nano, keys: []string{"Agenda", "Triagem"}, admin: "Cecília Rangel"},
	{name: "Cooperativa Grão do Cerrado", domain: "graocerrado", taxBase: "960352180001", plan: "basico", rhythm: always, daysAgo: 45, began: 9,
		fill: .33, errors: .002, models: nano, keys: []string{"Cotações"}, admin: "Elias Matos"},
	{name: "Imobiliária Porto Claro", domain: "portoclaro", taxBase: "213580460001", plan: "basico", rhythm: office, daysAgo: 70, began: 14,
		fill: .22, errors: .01, models: nano, keys: []string{"Anúncios"}, suspended: true, admin: "Vera Camargo"},
	{name: "Hotel Pedra do Sal", domain: "pedradosal", taxBase: "12ABC3450001", plan: "basico", rhythm: retail, daysAgo: 9, began: 9,
		fill: .5, errors: .004, models: nano, keys: []string{"Concierge"}, admin: "Davi Moraes"},
}

func (p profile) customer(now time.Time, zone *time.Location) Customer {
	c := Customer{
		Draft: tenancy.TenantDraft{
			Name: p.name, Email: "financeiro@" + p.domain + ".example", TaxID: completeTaxID(p.taxBase),
			TimeZone: zone.String(), BillingDay: now.In(zone).AddDate(0, 0, -p.began).Day(),
		},
		PlanSlug: p.plan, Status: tenancy.TenantActive, Since: now.AddDate(0, 0, -p.daysAgo),
	}
	if p.suspended {
		c.Status = tenancy.TenantSuspended
	}
	for i, name := range p.keys {
		created := c.Since.Add(time.Duration(i*7) * 24 * time.Hour)
		if created.After(now) {
			created = now
		}
		c.Keys = append(c.Keys, Key{Name: name, Secret: tenancy.NewSecret(), CreatedAt: created, Cache: p.cache})
	}
	return c
}

func (p profile) people() []person {
	list := []person{{p.admin, address(p.admin, p.domain), tenancy.TenantAdmin}}
	if p.viewer != "" {
		list = append(list, person{p.viewer, address(p.viewer, p.domain), tenancy.TenantViewer})
	}
	return list
}

// address is the first name at the customer's domain: renata@marealta.example.
func address(name, domain string) string {
	first, _, _ := strings.Cut(name, " ")
	return tenancy.Slugify(first) + "@" + domain + ".example"
}

// completeTaxID appends the check digits; of the hundred candidates exactly one passes.
func completeTaxID(base string) string {
	for digits := range 100 {
		if id, ok := tenancy.NormaliseTaxID(fmt.Sprintf("%s%02d", base, digits)); ok {
			return id
		}
	}
	return ""
}
