package tenancy

import (
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
)

// MaxSpendCap is the highest cap in R$ that can be set.
const MaxSpendCap = 100_000_000

// CheckSpendCap gives fault.Invalid on the field "cap" for a cap that is no amount to pay; nil is no cap, and right.
func CheckSpendCap(limit *money.Micros) error {
	var f fault.Form
	f.Check(limit == nil || *limit >= 0 && *limit <= MaxSpendCap*money.Unit, "cap", "error.money_range", "max", MaxSpendCap)
	return f.Err()
}
