package tenancy

import (
	"net/netip"
	"time"
)

// KeyUse is a use of a key from an address.
type KeyUse struct {
	KeyID, TenantID int64
	Address         netip.Addr // of IPv6 the first of its network of 64 bits, which is what a subscriber has
	At              time.Time
}

// NetworkOf gives the address that stands for a caller's: its own, or its network's of 64 bits.
func NetworkOf(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if !address.Is6() {
		return address
	}
	network, err := address.Prefix(64)
	if err != nil {
		return netip.Addr{} // never: it has 128 bits
	}
	return network.Addr()
}

// Throttled is how often a provider said 429 in a minute.
type Throttled struct {
	ProviderID int64
	Minute     time.Time
	Count      int64
}
