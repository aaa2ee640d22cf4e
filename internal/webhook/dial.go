package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
)

// errPrivate is what the dialer says of an address that is not for everybody.
var errPrivate = errors.New("the address is in a private network")

// closed are the networks that are nobody's on the internet, or lead back into one's own.
var closed = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", // Teredo and its like, examples, 6to4, examples
)

// unicast is where all of IPv6's public addresses are.
var unicast = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// public tells whether an address is one of the open internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !unicast.Contains(a) {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// publicOnly is asked with the address that a name was resolved to, before the connection is made: a name that resolves to
// something else a moment later gains nothing.
func publicOnly(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !public(to.Addr()) {
		return errPrivate
	}
	return nil
}

// newClient follows no redirects, asks no proxy and keeps no cookies.
func newClient(private bool) *http.Client {
	dialer := &net.Dialer{Timeout: sendTime}
	if !private {
		dialer.Control = publicOnly
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxIdleConns: 100, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: answerBytes,
		},
	}
}

// lookTime is how long a form waits to know where a name leads.
const lookTime = 2 * time.Second

// Check tells of an address that would be refused when something is sent to it: an Invalid fault with the field url. A name
// that does not resolve now may do so later.
func (s *Sender) Check(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || s.Private {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil
	}
	var f fault.Form
	for _, a := range found {
		if !public(a) {
			f.Reject("url", "channels.error.private")
			break
		}
	}
	return f.Err()
}

// Plain tells whether addresses without TLS are allowed.
func (s *Sender) Plain() bool { return s.Private }
