package tenancy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNormaliseTaxIDChecksTheDigits(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		ok         bool
	}{
		"empty":                       {"", "", true},
		"only spaces":                 {"  ", "", true},
		"CNPJ":                        {"11.222.333/0001-81", "11222333000181", true},
		"CNPJ bare":                   {"11222333000181", "11222333000181", true},
		"CNPJ of a bank":              {"00.000.000/0001-91", "00000000000191", true},
		"alphanumeric, the agency's":  {"12.ABC.345/01DE-35", "12ABC34501DE35", true},
		"alphanumeric in lower case":  {"12.abc.345/01de-35", "12ABC34501DE35", true},
		"CPF":                         {"529.982.247-25", "52998224725", true},
		"CPF ending in zero":          {"123.456.789-09", "12345678909", true},
		"CNPJ, first digit wrong":     {"11.222.333/0001-71", "", false},
		"CNPJ, second digit wrong":    {"11.222.333/0001-82", "", false},
		"alphanumeric, digit wrong":   {"12.ABC.345/01DE-36", "", false},
		"alphanumeric, letter for it": {"12.ABC.345/01DE-3A", "", false},
		"two digits changed round":    {"12.ABC.354/01DE-35", "", false},
		"CPF, first digit wrong":      {"529.982.247-15", "", false},
		"CPF, second digit wrong":     {"529.982.247-26", "", false},
		"CPF with a letter":           {"529.982.24A-25", "", false},
		"all the same digit":          {"111.111.111-11", "", false},
		"all zeros":                   {"00.000.000/0000-00", "", false},
		"too short":                   {"11.222.333/0001-8", "", false},
		"too long":                    {"11.222.333/0001-811", "", false},
		"another alphabet":            {"１１222333000181", "", false},
		"fourteen bytes of accents":   {"áéíóúàâ", "", false},
	} {
		got, ok := NormaliseTaxID(c.text)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: NormaliseTaxID(%q) = %q, %t", name, c.text, got, ok)
		}
	}
}

// One wrong digit in any of these is what the check digits are for.
func TestNoSingleSlipPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SampledFrom([]string{"11222333000181", "12ABC34501DE35", "52998224725"}).Draw(t, "id")
		i := rapid.IntRange(0, len(id)-3).Draw(t, "position")
		alphabet := "0123456789"
		other := string(rapid.SampledFrom([]rune(alphabet)).Draw(t, "character"))
		if id[i:i+1] == other || id[i] > '9' {
			return
		}
		slip := id[:i] + other + id[i+1:]
		if _, ok := NormaliseTaxID(slip); ok {
			t.Fatalf("%s passes for %s", slip, id)
		}
	})
}

func TestFormatTaxIDIsReadBack(t *testing.T) {
	for _, text := range []string{"11.222.333/0001-81", "12.ABC.345/01DE-35", "529.982.247-25", ""} {
		id, ok := NormaliseTaxID(text)
		if !ok || FormatTaxID(id) != text {
			t.Errorf("%q became %q", text, FormatTaxID(id))
		}
	}
}

func TestSlugify(t *testing.T) {
	for name, want := range map[string]string{
		"Básico 2":                "basico-2",
		"  Pró  &  Contra! ":      "pro-contra",
		"ÇÃO":                     "cao",
		"---":                     "",
		"日本":                      "",
		strings.Repeat("ab ", 40): strings.TrimSuffix(strings.Repeat("ab-", 20), "-"),
	} {
		got := Slugify(name)
		if got != want {
			t.Errorf("Slugify(%q) = %q, want %q", name, got, want)
		}
		if got != "" && !slugPattern.MatchString(got) {
			t.Errorf("Slugify(%q) = %q is no slug", name, got)
		}
	}
}
