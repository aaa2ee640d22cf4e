package tenancy

import "strings"

// NormaliseTaxID checks a CNPJ (numeric or alphanumeric) or CPF by its check digits and returns it in upper case
// without punctuation. Empty is accepted: not every customer has one at hand.
// Source: Receita Federal, modulus 11; a character's value in the alphanumeric CNPJ is its ASCII code minus 48.
func NormaliseTaxID(text string) (string, bool) {
	id := strings.ToUpper(strings.NewReplacer(".", "", "-", "", "/", "", " ", "", "\u00a0", "").Replace(text))
	switch len(id) {
	case 0:
		return "", true
	case 11:
		return id, digitsOnly(id) && !allSame(id) && checkDigits(id, 9, 11)
	case 14:
		return id, alphanumeric(id[:12]) && digitsOnly(id[12:]) && !allSame(id) && checkDigits(id, 12, 9)
	}
	return "", false
}

// FormatTaxID writes a normalised CNPJ or CPF with its punctuation.
func FormatTaxID(id string) string {
	switch len(id) {
	case 11:
		return id[:3] + "." + id[3:6] + "." + id[6:9] + "-" + id[9:]
	case 14:
		return id[:2] + "." + id[2:5] + "." + id[5:8] + "/" + id[8:12] + "-" + id[12:]
	}
	return id
}

// checkDigits verifies the two digits after the first n characters; weights run from 2 at the right, up to
// maxWeight, then from 2 again.
func checkDigits(id string, n, maxWeight int) bool {
	for ; n < len(id); n++ {
		sum, weight := 0, 2
		for i := n - 1; i >= 0; i-- {
			sum += int(id[i]-'0') * weight
			if weight++; weight > maxWeight {
				weight = 2
			}
		}
		digit := 11 - sum%11
		if digit > 9 {
			digit = 0
		}
		if int(id[n]-'0') != digit {
			return false
		}
	}
	return true
}

func digitsOnly(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

func alphanumeric(s string) bool {
	return strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func allSame(s string) bool {
	return strings.Count(s, s[:1]) == len(s)
}
