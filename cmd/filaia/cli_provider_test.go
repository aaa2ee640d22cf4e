package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// credential is the one that commands must never tell; keepsSecrets knows it.
const credential = "sk-canary-provider"

// withDatabase makes an installation whose PostgreSQL runs all the time, so that no command need start it.
func withDatabase(t *testing.T, providerURL string) *install {
	t.Helper()
	i := newInstall(t, providerURL)
	i.databaseURL()
	return i
}

// says runs a command that must succeed with the credential on standard input, and gives its JSON.
func (i *install) says(args ...string) gjson.Result {
	i.t.Helper()
	out, errText, err := i.try(credential+"\n", append(args, "--json")...)
	if err != nil || errText != "" {
		i.t.Fatalf("filaia %s: %v %s", strings.Join(args, " "), err, errText)
	}
	i.keepsSecrets("filaia "+strings.Join(args, " "), out)
	return gjson.Parse(out)
}

func TestAProviderIsMadeTestedImportedFromEditedAndDeleted(t *testing.T) {
	house := provider(t, openaitest.Options{Keys: []string{credential}, Models: []string{"gpt-4.1", "llama3:8b"}})
	i := withDatabase(t, "")
	made := i.says("provider", "create", "--slug", "casa", "--name", "Casa", "--kind", "compatible", "--base-url", house.URL()+"/",
		"--key-stdin", "--max-parallel", "7", "--retries", "1", "--hedge", "800ms")
	if made.Get("id").Int() != 2 || made.Get("slug").Str != "casa" || len(made.Map()) != 2 {
		t.Fatalf("create printed %s", made)
	}
	i.prints(fmt.Sprintf(`[{"id":2,"slug":"casa","name":"Casa","kind":"compatible","base_url":%q,"api_version":"","key_hint":"…ider",
		"from_environment":false,"active":true,"limits":{"max_parallel":7,"retries":1,"hedge":"800ms","first_byte":"5m0s"}},
		{"id":1,"slug":"openai","base_url":"","from_environment":true}]`, house.URL()), true, "provider", "list")
	if tested := i.says("provider", "test", "--slug", "casa"); tested.Get("models").Int() != 2 || tested.Get("milliseconds").Type != gjson.Number {
		t.Errorf("test printed %s", tested)
	}
	i.prints(`{"slug":"casa","added":["gpt-4.1","llama3:8b"]}`, false, "provider", "import", "--slug", "casa")
	i.prints(`{"slug":"casa","added":["phi"]}`, false, "provider", "import", "--slug", "casa", "--models", "phi, gpt-4.1")
	i.prints(`[{"name":"llama3:8b","active":false,"price":null,"routes":[{"provider":"casa","price":null}]},
		{"name":"gpt-4.1","active":true,"routes":[{"provider":"openai","priority":1},{"provider":"casa","upstream_model":"gpt-4.1","priority":2}]}]`,
		true, "model", "list")

	i.prints(`{"id":2,"slug":"casa"}`, false, "provider", "edit", "--slug", "casa", "--name", "Nova", "--active=false", "--idle", "30s")
	i.prints(`[{"slug":"casa","name":"Nova","kind":"compatible","key_hint":"…ider","active":false,
		"limits":{"max_parallel":7,"retries":1,"hedge":"800ms","idle":"30s"}}]`, true, "provider", "list")
	i.says("provider", "test", "--slug", "casa") // still with its credential

	i.refuses("", []string{"routed to this provider"}, "provider", "delete", "--slug", "casa")
	i.says("provider", "create", "--slug", "outra", "--name", "Outra", "--kind", "azure", "--base-url", "https://outra.example", "--key-stdin")
	i.prints(`{"slug":"outra","deleted":true}`, false, "provider", "delete", "--slug", "outra")
	i.keepsCredential()
}

// keepsCredential looks for the credential in all that the database has of providers.
func (i *install) keepsCredential() {
	i.t.Helper()
	const query = `SELECT concat((SELECT string_agg(p::text || encode(credential, 'escape'), ' ') FROM providers p), (SELECT string_agg(a::text, ' ') FROM audit_log a))`
	var text string
	if err := i.database().DB().QueryRow(query).Scan(&text); err != nil {
		i.t.Fatal(err)
	}
	if !strings.Contains(text, "provider.create") || !strings.Contains(text, "casa") {
		i.t.Fatalf("looked in the wrong place: %s", text)
	}
	i.keepsSecrets("the database", text)
}

func TestACredentialOfAnotherSecretKeyIsToldInOneLine(t *testing.T) {
	house := provider(t, openaitest.Options{Keys: []string{credential}})
	i := withDatabase(t, "")
	i.says("provider", "create", "--slug", "casa", "--name", "Casa", "--kind", "openai", "--base-url", house.URL(), "--key-stdin")
	i.env = append(i.env, "FILAIA_SECRET_KEY="+strings.Repeat("5a", 32))
	i.refuses("", []string{"provider casa", "FILAIA_SECRET_KEY"}, "provider", "test", "--slug", "casa")
}

func TestTheProviderOfTheEnvironmentIsTested(t *testing.T) {
	house := provider(t, openaitest.Options{Keys: []string{credential}})
	i := withDatabase(t, house.URL())
	if tested := i.says("provider", "test", "--slug", "openai"); tested.Get("models").Int() < 20 {
		t.Errorf("test printed %s", tested)
	}
	i.env = i.env[:len(i.env)-2] // neither address nor key
	i.refuses("", []string{"OPENAI_API_KEY", "simulator"}, "provider", "test", "--slug", "openai")
}

func TestAModelIsOfferedPricedAndEdited(t *testing.T) {
	i := withDatabase(t, "")
	i.says("provider", "create", "--slug", "azure-br", "--name", "Azure", "--kind", "azure", "--base-url", "https://casa.openai.azure.com")
	i.prints(`{"name":"rapido"}`, false, "model", "create", "--name", "rapido", "--route", "azure-br:gpt4mini-prod:1:3", "--route", "openai:ft:gpt-4o:casa::7f:2:1",
		"--input-price", "0.20", "--output-price", "0,80", "--cached-price", "0.05", "--request-price", "0.001", "--max-output", "9000", "--default")
	before := i.says("model", "list").Get(`#(name=="rapido")`)
	if !sameJSON(parsed(t, `{"name":"rapido","default":true,"active":true,"max_output_tokens":9000,
		"price":{"provider":"","input_price":"0.20","cached_price":"0.05","output_price":"0.80","reasoning_price":"0.80","request_price":"0.001"},
		"routes":[{"provider":"azure-br","upstream_model":"gpt4mini-prod","priority":1,"weight":3,"active":true},
		{"provider":"openai","upstream_model":"ft:gpt-4o:casa::7f","priority":2,"weight":1}]}`), before.Value(), true) {
		t.Errorf("list printed %s", before)
	}
	i.prints(`{"name":"veloz"}`, false, "model", "edit", "--name", "rapido", "--rename", "veloz", "--max-output", "100")
	after := i.says("model", "list").Get(`#(name=="veloz")`)
	if after.Get("max_output_tokens").Int() != 100 || !after.Get("default").Bool() || after.Get("routes").Raw != before.Get("routes").Raw ||
		after.Get("price").Raw != before.Get("price").Raw {
		t.Errorf("more changed than was given: %s\n%s", before, after)
	}
	i.prints(`{"name":"veloz"}`, false, "model", "edit", "--name", "veloz", "--route", "openai", "--default=false")
	if after = i.says("model", "list").Get(`#(name=="veloz")`); after.Get("routes.#").Int() != 1 || after.Get("routes.0.upstream_model").Str != "veloz" {
		t.Errorf("the routes given are not the routes: %s", after)
	}

	later := time.Now().AddDate(0, 0, 2).UTC().Truncate(time.Second).Format(time.RFC3339)
	i.says("model", "price", "--name", "veloz", "--provider", "azure-br", "--input-price", "7", "--output-price", "8")
	prices := i.says("model", "price", "--name", "veloz", "--input-price", "1", "--output-price", "2", "--since", later)
	if prices.Get("#").Int() != 3 || prices.Get("0.since").Str != later || prices.Get("0.input_price").Str != "1.00" ||
		prices.Get("1.provider").Str != "azure-br" || prices.Get("1.reasoning_price").Str != "8.00" || prices.Get("2.input_price").Str != "0.20" {
		t.Errorf("prices are %s", prices)
	}
	if again := i.says("model", "prices", "--name", "veloz"); again.Raw != prices.Raw {
		t.Errorf("prices are %s, then %s", prices, again)
	}
	for command, words := range map[string][]string{
		"model list":                {"NAME", "veloz", "0.20", "0.80", "openai:veloz:1:1"},
		"model prices --name veloz": {"SINCE", "azure-br", "7.00"},
		"provider list":             {"SLUG", "azure-br", "(environment)", "active"},
	} {
		out, _, err := i.try("", strings.Fields(command)...)
		for _, word := range words {
			if err != nil || !strings.Contains(out, word) {
				t.Errorf("filaia %s does not tell %q: %v\n%s", command, word, err, out)
			}
		}
	}
}

func parsed(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestExchangeRatesAreSetAndListed(t *testing.T) {
	i := withDatabase(t, "")
	i.prints(`{"day":"2026-11-20","brl":"5.40","source":""}`, false, "rate", "set", "--day", "2026-11-20", "--brl", "5,40")
	i.prints(`{"day":"2026-11-22","brl":"5.4321","source":"PTAX"}`, false, "rate", "set", "--day", "2026-11-22", "--brl", "5.4321", "--source", "PTAX")
	i.prints(`[{"day":"2026-11-22","brl":"5.4321","source":"PTAX"},{"day":"2026-11-20","brl":"5.40","source":""}]`, false, "rate", "list")
	i.prints(`[{"day":"2026-11-22","brl":"5.4321","source":"PTAX"}]`, false, "rate", "list", "--limit", "1")
}

func TestWhatAboutProvidersModelsAndRatesIsRefusedIsOneLine(t *testing.T) {
	house := provider(t, openaitest.Options{Keys: []string{"another"}})
	i := withDatabase(t, "")
	create := "provider create --name C --kind compatible --base-url " + house.URL() + " --slug "
	i.says(strings.Fields(create + "casa --key-stdin")...)
	i.says("provider", "create", "--slug", "az", "--name", "Az", "--kind", "azure", "--base-url", "https://az.example")
	offer := "model create --name m --route casa --input-price 1 --output-price 1"
	for _, c := range []struct{ command, words string }{
		{"provider create", "--slug, --name, --kind, --base-url is required"},
		{create + "casa", `--slug "casa"|Another provider`},
		{create + "Casa_Nova", "--slug|Casa_Nova|lower-case"},
		{create + "x --kind smoke", "--kind|smoke|openai, azure, compatible"},
		{create + "x --base-url ftp://x", "--base-url|ftp://x|not a valid address"},
		{create + "x --connect soon", `--connect: "soon"|500ms, 10s or 5m`},
		{create + "x --connect 2h", `--connect "2h0m0s"|between 100|and 1`},
		{create + "x --retries 11", `--retries "11"|between 0 and 10`},
		{"provider edit --slug nada", `--slug|"nada"|filaia provider list`},
		{"provider edit --slug casa --base-url x", "--base-url|not a valid address"},
		{"provider test --slug nada", `--slug|"nada"|filaia provider list`},
		{"provider test --slug casa", "refused the credential"},
		{"provider test --slug openai", "OPENAI_API_KEY|simulator"},
		{"provider import --slug casa", "refused the credential"},
		{"provider import --slug az", "--models|deployments"},
		{"provider delete --slug openai", "comes with the installation"},
		{"model create --name m", "--route, --input-price, --output-price is required"},
		{offer + " --route nada:x", `--route|"nada"|filaia provider list`},
		{offer + " --route casa", `--route "casa casa"|two routes`},
		{offer + " --route casa:x:101", "--route|between 1 and 100"},
		{offer + " --name gpt-4.1", `--name "gpt-4.1"|already`},
		{offer + " --input-price 1,5x", "--input-price|1,5x|not a valid amount"},
		{offer + " --cached-price 200000", `--cached-price "200000"|US$ 100,000`},
		{offer + " --max-output 0", `--max-output "0"|between 1 and`},
		{offer + " --default --active=false", "--default|on offer"},
		{"model edit --name nada", `--name|"nada"|filaia model list`},
		{"model price --name nada --input-price 1 --output-price 1", `--name|"nada"|filaia model list`},
		{"model price --name gpt-4.1 --input-price 1 --output-price 1 --provider nada", `--provider|"nada"|filaia provider list`},
		{"model price --name gpt-4.1 --input-price 1 --output-price 1 --since tomorrow", `--since: "tomorrow"|RFC 3339`},
		{"model price --name gpt-4.1 --input-price 1 --output-price 1 --since 2026-01-01T00:00:00Z", `--since "2026-01-01T00:00:00Z"|past`},
		{"model prices --name nada", `--name|"nada"|filaia model list`},
		{"rate set --day 22/11/2026 --brl 5", `--day: "22/11/2026"|2026-11-22`},
		{"rate set --day 2026-11-22 --brl five", "--brl|five|not a valid amount"},
		{"rate set --day 2026-11-22 --brl 0", `--brl "0"|above 0`},
		{"rate list --limit 0", "--limit|above 0"},
	} {
		i.refuses("", strings.Split(c.words, "|"), strings.Fields(c.command)...)
	}
	i.refuses("", []string{"--key-stdin: nothing came"}, strings.Fields(create+"x --key-stdin")...)
	i.refuses("two words\n", []string{"--key-stdin: a credential is one word"}, strings.Fields(create+"x --key-stdin")...)
	if n := i.says("provider", "list").Get("#").Int(); n != 3 {
		t.Errorf("%d providers after refused commands, want 3", n)
	}
}
