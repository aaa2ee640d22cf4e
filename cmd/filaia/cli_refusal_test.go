package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// plan, tenant and user are commands that work; a flag given again overrides.
var (
	planWords   = []string{"plan", "create", "--slug", "novo", "--name", "Novo", "--price", "10", "--input-tokens", "10", "--output-tokens", "5", "--overage", "block"}
	tenantWords = []string{"tenant", "create", "--name", "Cliente", "--plan", "basico"}
	userWords   = []string{"user", "create", "--email", "eva@exemplo.com.br", "--name", "Eva", "--role", "viewer", "--password-stdin"}
)

// refusals are commands that must end with one line on standard error that holds all the words.
var refusals = []struct {
	args  string // after the base; | separates
	base  []string
	stdin string
	words string // | separates
}{
	{args: "frobnicate|--json", words: `unknown command "frobnicate|filaia help`},
	{args: "plan", words: `unknown command "plan"|filaia help`},
	{args: "version|now", words: `"now" is not expected|--help`},
	{args: "plan|create", words: "--slug, --name, --price, --input-tokens, --output-tokens, --overage is required|--help"},
	{args: "--colour|red", base: planWords, words: "--colour is no flag|--help"},
	{args: "extra", base: planWords, words: `"extra" is not expected|--help`},
	{args: "--slug", base: planWords, words: "--slug needs a value|--help"},
	{args: "--slug|basico", base: planWords, words: `--slug "basico"|already`},
	{args: "--slug|Ouro Preto", base: planWords, words: "--slug|Ouro Preto|lower-case letters, digits and hyphens"},
	{args: "--price|99,9x", base: planWords, words: "--price|99,9x|Example: 1234.56"},
	{args: "--price|1.234", base: planWords, words: "--price|1.234|Example: 1234.56"}, // thousands or decimals?
	{args: "--price|-1", base: planWords, words: `--price "-1"|from 0 to R$ 10,000,000`},
	{args: "--input-tokens|ten", base: planWords, words: `--input-tokens: "ten" is not accepted|whole number`},
	{args: "--input-tokens|-1", base: planWords, words: `--input-tokens "-1"|between 0 and 1,000,000,000,000`},
	{args: "--overage|stop", base: planWords, words: "--overage|stop|block, charge"},
	{args: "--overage|charge", base: planWords, words: `--overage-price "0"|price per token`},
	{args: "--models|gpt-4.1-nano,gpt-nope", base: planWords, words: `--models: "gpt-nope"|gpt-4.1-nano`},
	{args: "--draft=perhaps", base: planWords, words: `--draft: "perhaps"|true or false`},
	{args: "--slug|dois slugs|--overage|stop", base: planWords, words: "--slug|dois slugs|--overage|stop"}, // all at once
	{args: "--cache|clever", base: planWords, words: "--cache|clever|off, exact, smart"},
	{args: "--cache-minutes|0", base: planWords, words: `--cache-minutes "0"|between 1 and 43,200`},
	{args: "--cache-minutes|43201", base: planWords, words: `--cache-minutes "43201"|between 1 and 43,200`},
	{args: "--cache-billed-percent|101", base: planWords, words: `--cache-billed-percent "101"|between 0 and 100`},
	{args: "--rpm|-1", base: planWords, words: `--rpm "-1"|between 1 and 1,000,000,000`},
	{args: "tenant|create|--plan|basico", words: "--name is required|--help"},
	{args: "--plan|platina", base: tenantWords, words: `--plan|"platina"|filaia plan list`},
	{args: "--tax-id|11.222.333/0001-00", base: tenantWords, words: "--tax-id|11.222.333/0001-00|CNPJ or CPF"},
	{args: "--tax-id|11.222.333/0001-81", base: tenantWords, words: `--tax-id "11.222.333/0001-81"|already`},
	{args: "--email|ana", base: tenantWords, words: "--email|ana|name@company.com"},
	{args: "--time-zone|Mars/Olympus", base: tenantWords, words: "--time-zone|Mars/Olympus|America/Sao_Paulo"},
	{args: "--rpm|-7", base: tenantWords, words: `--rpm "-7"|between 1 and 1,000,000,000`},
	{args: "--billing-day|32", base: tenantWords, words: `--billing-day "32"|between 1 and 31`},
	{args: "key|create", words: "--tenant is required|--help"},
	{args: "key|create|--tenant|999", words: "there is no customer 999|filaia tenant list"},
	{args: "key|create|--tenant|abc", words: `--tenant: "abc" is not accepted|whole number`},
	{args: "key|create|--tenant|1|--plan|platina", words: `--plan|"platina"|filaia plan list`},
	{args: "key|create|--tenant|1|--expires|tomorrow", words: `--expires: "tomorrow"|RFC 3339, such as 2027-01-31T00:00:00Z`},
	{args: "key|create|--tenant|1|--expires|2020-01-01T00:00:00Z", words: `--expires "2020-01-01T00:00:00Z"|future`},
	{args: "key|create|--tenant|1|--models|gpt-nope", words: `--models: "gpt-nope"|gpt-4.1-nano`},
	{args: "key|create|--tenant|1|--name|", words: "--name|Fill in"},
	{args: "key|create|--tenant|1|--cache|clever", words: "--cache|clever|off, exact, smart"},
	{args: "key|create|--tenant|1|--parallel|100001", words: `--parallel "100001"|between 1 and 100,000`},
	{args: "key|limits", words: "--id is required|--help"},
	{args: "key|limits|--id|999|--rpm|5", words: "no key 999|filaia key list"},
	{args: "key|limits|--id|1|--tpm|-5", words: `--tpm "-5"|between 1 and 1,000,000,000`},
	{args: "key|revoke", words: "id of the key|filaia key list"},
	{args: "key|revoke|abc", words: `"abc" is no key id|filaia key list`},
	{args: "key|revoke|999", words: "no key 999|filaia key list"},
	{args: "key|revoke|1|2", words: `is not expected|--help`},
	{args: "usage", words: "--tenant is required|--help"},
	{args: "usage|--tenant|999", words: "there is no customer 999|filaia tenant list"},
	{args: "user|create|--email|a@b.br|--name|A|--role|viewer", words: "--password-stdin is required"},
	{base: userWords, stdin: "curta\n", words: "--password|at least 10"},
	{base: userWords, words: "--password|at least 10"},
	{args: "--role|boss", base: userWords, stdin: password, words: "--role|boss|owner, manager, viewer, tenant_admin, tenant_viewer"},
	{args: "--email|eva", base: userWords, stdin: password, words: "--email|eva|name@company.com"},
	{args: "--email|ANA@exemplo.com.br", base: userWords, stdin: password, words: `--email "ana@exemplo.com.br"|already`},
	{args: "--tenant|1", base: userWords, stdin: password, words: `--tenant "1"|management team`},
	{args: "--role|tenant_admin", base: userWords, stdin: password, words: `--tenant "0"|customer`},
	{args: "--role|tenant_admin|--tenant|999", base: userWords, stdin: password, words: "there is no customer 999|filaia tenant list"},
	{args: "serve|--role|king", words: `--role: "king" is not accepted|all, api or worker`},
	{args: "migrate|sideways", words: `unknown command "migrate sideways"|filaia help`},
}

func TestWhatACommandRefusesIsOneLineAndChangesNothing(t *testing.T) {
	i := newInstall(t, "")
	i.serve()
	i.run(nil, append(tenantWords, "--tax-id", "11222333000181", "--json")...)
	i.run(nil, "key", "create", "--tenant", "1", "--json")
	if _, errText, err := i.try(password, append(userWords, "--email", "ana@exemplo.com.br")...); err != nil {
		t.Fatal(errText)
	}
	before := i.contents()
	for _, r := range refusals {
		args := append([]string{}, r.base...)
		if r.args != "" {
			args = append(args, strings.Split(r.args, "|")...)
		}
		i.refuses(r.stdin, strings.Split(r.words, "|"), args...)
	}
	if after := i.contents(); after != before {
		t.Errorf("refused commands changed\n%s\nto\n%s", before, after)
	}
}

// contents is all that commands can change.
func (i *install) contents() string {
	i.t.Helper()
	const query = `SELECT concat_ws(E'\n', (SELECT json_agg(p ORDER BY id) FROM plans p), (SELECT json_agg(v ORDER BY id) FROM plan_versions v),
		(SELECT json_agg(t ORDER BY id) FROM tenants t), (SELECT json_agg(s ORDER BY id) FROM subscriptions s),
		(SELECT json_agg(k ORDER BY id) FROM api_keys k), (SELECT json_agg(u ORDER BY id) FROM users u), (SELECT count(*) FROM audit_log))`
	var text string
	if err := i.database().DB().QueryRow(query).Scan(&text); err != nil {
		i.t.Fatal(err)
	}
	return text
}

// refuses runs a command that must end soon with an exit code other than 0 and one line on standard error that holds
// the words. It gives the line.
func (i *install) refuses(stdin string, words []string, args ...string) string {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errText strings.Builder
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = i.env, strings.NewReader(stdin), &out, &errText, i.as
	err := cmd.Run()
	line, name := errText.String(), "filaia "+strings.Join(args, " ")
	i.keepsSecrets(name, line)
	switch {
	case ctx.Err() != nil:
		i.t.Errorf("%s does not end:\n%s", name, line)
	case cmd.ProcessState == nil:
		i.t.Errorf("%s: %v", name, err)
	case cmd.ProcessState.ExitCode() != 1:
		i.t.Errorf("%s ended with %v, want code 1:\n%s%s", name, err, out.String(), line)
	case out.Len() > 0:
		i.t.Errorf("%s printed on standard output, where scripts read answers: %s", name, out.String())
	case !strings.HasPrefix(line, "filaia: ") || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n"):
		i.t.Errorf("%s did not end with one line:\n%s", name, line)
	}
	for _, word := range words {
		if !strings.Contains(line, word) {
			i.t.Errorf("%s does not tell %q: %s", name, word, line)
		}
	}
	return line
}
