package alert

import "slices"

// Answered is what an address from outside said when it was asked whether it may be told of a customer.
type Answered struct {
	TenantID  int64
	Address   string
	Confirmed bool // else it has declined
}

// unsentReason is why an address that a rule names is not told of it; "": it is. Who signs in for the customer, and the customer's
// own address, need not be asked.
func (s *Situation) unsentReason(r *Rule, address string) Reason {
	if !r.AsksFirst() {
		return ""
	}
	address = SameAddress(address)
	if SameAddress(s.Customer.Email) == address || slices.ContainsFunc(s.Customer.Users, func(p Person) bool { return SameAddress(p.Address) == address }) {
		return ""
	}
	for _, a := range s.Answers {
		if a.TenantID == s.Customer.ID && SameAddress(a.Address) == address {
			if a.Confirmed {
				return ""
			}
			return HasDeclined
		}
	}
	return NotConfirmed
}

// unsent is the message that a reader does not get. It is kept beside those of its group and never joins one that is sent.
func unsent(d Delivery, why Reason) Delivery {
	d.Batch, d.State, d.Reason = "unsent:"+d.Batch, Cancelled, why
	return d
}

// split puts apart what is not sent.
func split(all []Delivery) (sent, kept []Delivery) {
	for _, d := range all {
		if d.Reason != "" {
			kept = append(kept, d)
		} else {
			sent = append(sent, d)
		}
	}
	return sent, kept
}
