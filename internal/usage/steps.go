package usage

// FirstSteps is how far a new installation has come: a plan to sell, a customer, a key, a first call.
type FirstSteps struct {
	Plans, Tenants, Keys int
	Called               bool
}
