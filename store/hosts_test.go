package store

import (
	"context"
	"net"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/store/storetest"
)

func TestAnAddressOfSeveralHostsAsksForThePrimary(t *testing.T) {
	for name, c := range map[string]struct{ given, session, timeout string }{
		"one host stays as it is":          {"postgres://u@h/d?sslmode=disable", "", ""},
		"two hosts":                        {"postgres://u@/d?host=a,b&port=1,2", "read-write", "5"},
		"three hosts, that share a time":   {"postgres://u@a,b,c/d", "read-write", "3"},
		"what is said already is not lost": {"postgres://u@/d?host=a,b&target_session_attrs=any&connect_timeout=9", "any", "9"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(several(c.given))
			if err != nil {
				t.Fatal(err)
			}
			if q := u.Query(); q.Get("target_session_attrs") != c.session || q.Get("connect_timeout") != c.timeout {
				t.Errorf("%s", u)
			}
		})
	}
}

// TestAHostThatSaysNothingDoesNotKeepFromTheNext names first a host that accepts connections and stands still.
func TestAHostThatSaysNothingDoesNotKeepFromTheNext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	u, err := url.Parse(storetest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(silent.Addr().String())
	query := u.Query()
	host, other := query.Get("host"), query.Get("port")
	if host == "" {
		host, other = u.Hostname(), u.Port()
		u.Host = ""
	}
	query.Set("host", "127.0.0.1,"+host)
	query.Set("port", port+","+other)
	query.Set("sslmode", "disable")
	query.Set("connect_timeout", "1")
	u.RawQuery = query.Encode()
	s, err := Open(context.Background(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(context.Background()); err != nil {
		t.Error(err)
	}
}
