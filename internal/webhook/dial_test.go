package webhook

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// guarded counts the connections that its listener takes.
type guarded struct {
	net.Listener
	taken atomic.Int64
}

func (g *guarded) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err == nil {
		g.taken.Add(1)
	}
	return c, err
}

func TestNothingOfAPrivateNetworkIsReached(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	watch := &guarded{Listener: s.Listener}
	s.Listener = watch
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	must(t, err)
	for _, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.1.2.3",
		"169.254.169.254", "[fd00:ec2::254]", "10.0.0.5", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fe80::1]", "224.0.0.1",
	} {
		o := door(alert.Slack, alert.Access{URL: "https://" + host + ":" + port + "/services/canary"})
		answer, err := New(Config{Doors: o}).Send(context.Background(), delivery(alert.Slack), notice(), text())
		if !errors.Is(err, alert.ErrRefused) || !strings.Contains(answer, "rede privada") {
			t.Errorf("%s: %q, %v", host, answer, err)
		}
	}
	// What some resolvers read as a number: whoever reads it so is stopped, the others find no such name.
	for _, host := range []string{"2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001", "localhost."} {
		o := door(alert.Slack, alert.Access{URL: "https://" + host + ":" + port + "/services/canary"})
		if answer, err := New(Config{Doors: o}).Send(context.Background(), delivery(alert.Slack), notice(), text()); err == nil {
			t.Errorf("%s: %q", host, answer)
		}
	}
	if n := watch.taken.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestWithoutTLSNothingIsSentUnlessPrivateNetworksAreAllowed(t *testing.T) {
	got, address := receiver(t, nil)
	o := door(alert.Slack, alert.Access{URL: address})
	if answer, err := New(Config{Doors: o}).Send(context.Background(), delivery(alert.Slack), notice(), text()); !errors.Is(err, alert.ErrRefused) || !strings.Contains(answer, "https://") {
		t.Errorf("%q, %v", answer, err)
	}
	if _, err := open(o).Send(context.Background(), delivery(alert.Slack), notice(), text()); err != nil || got.count() != 1 {
		t.Errorf("%v, %d sent", err, got.count())
	}
}

func TestAFormIsToldOfPrivateAddressesBeforeAnythingIsSent(t *testing.T) {
	for address, refused := range map[string]bool{
		"https://localhost/x": true, "https://127.0.0.1/x": true, "https://[::1]:8443/x": true, "https://192.168.0.10/x": true, "https://169.254.169.254/": true,
		"https://8.8.8.8/x": false, "https://nothing.invalid/x": false, "https://[2606:4700::1111]/x": false,
	} {
		err := New(Config{}).Check(context.Background(), address)
		if fault.Is(err, fault.Invalid) != refused || !refused && err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if err := open(one{}).Check(context.Background(), address); err != nil {
			t.Errorf("%s, allowed: %v", address, err)
		}
	}
}

func TestNoPrivateAddressIsPublicHoweverItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")
		v4 := netip.AddrFrom4([4]byte(raw))
		mapped := netip.AddrFrom16(v4.As16())
		if public(v4) != public(mapped) {
			t.Fatalf("%s and %s differ", v4, mapped)
		}
		if public(v4) && (v4.IsPrivate() || v4.IsLoopback() || v4.IsMulticast() || v4.IsLinkLocalUnicast() || v4.IsUnspecified() || raw[0] >= 224 || raw[0] == 0) {
			t.Fatalf("%s is public", v4)
		}
		v6 := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
		if public(v6) && v6.Unmap() == v6 && !v6.IsGlobalUnicast() {
			t.Fatalf("%s is public", v6)
		}
	})
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "200.147.3.157": true, "2606:4700:4700::1111": true, "2804:14c::1": true,
		"fd12::1": false, "fec0::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:53aa::": false, "fe80::1%eth0": false,
		"::ffff:10.1.1.1": false, "255.255.255.255": false, "192.0.0.192": false, "198.19.0.1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %v", text, got)
		}
	}
}
