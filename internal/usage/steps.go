package usage

// FirstSteps is how far a new installation has come: a plan to sell, a customer, a key, a first call.
type FirstSteps struct {
	Plans, Tenants, Keys int
	Called               bool
}

// Done tells whether all steps are taken.
func (s FirstSteps) Done() bool { return s.Plans > 0 && s.Tenants > 0 && s.Keys > 0 && s.Called }
