// Package probe asks a provider for its models: what "test connection" and "import models" do.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Target is whom to ask, and as whom.
type Target struct {
	Kind       tenancy.ProviderKind
	BaseURL    string // as tenancy.Provider has it
	APIVersion string // Azure's; empty: its v1 API
	APIKey     string // opened; never told in an error
}

const (
	patience  = 10 * time.Second // for the whole answer
	maxAnswer = 8 << 20          // bytes of a list of models
)

// Models gives the names of the provider's models, sorted. At Azure these are what may be deployed, not what is. Errors
// say what is wrong in a person's words: fault.Unavailable where trying again may help, else fault.Invalid.
func Models(ctx context.Context, t Target) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	transport := &http.Transport{ // as the gateway's calls go: straight there
		DialContext:         (&net.Dialer{Timeout: patience}).DialContext,
		TLSHandshakeTimeout: patience,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives:   true,
		ForceAttemptHTTP2:   true,
	}
	defer transport.CloseIdleConnections()
	list, err := openai.NewClientWithConfig(t.config(transport)).ListModels(ctx)
	if err != nil {
		return nil, t.explain(ctx, err)
	}
	if list.Models == nil { // some JSON, but no list
		return nil, t.fail(fault.Invalid, "probe.error.not_compatible", errors.New("no list in the answer"))
	}
	var names []string
	for _, m := range list.Models {
		if m.ID == "" {
			return nil, t.fail(fault.Invalid, "probe.error.not_compatible", errors.New("a model without an id"))
		}
		names = append(names, m.ID)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (t Target) config(transport http.RoundTripper) openai.ClientConfig {
	config := openai.DefaultConfig(t.APIKey)
	config.BaseURL = t.BaseURL
	if t.Kind == tenancy.AzureProvider {
		config = openai.DefaultAzureConfig(t.APIKey, t.BaseURL)
		config.APIVersion = t.APIVersion
		if t.APIVersion == "" {
			// The one that sends Azure's header to an address as it is.
			config.APIType, config.BaseURL = openai.APITypeCloudflareAzure, t.BaseURL+"/openai/v1"
		}
	}
	config.HTTPClient = &http.Client{
		Transport: bounded{transport},
		// Azure's header would go along to wherever the answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return config
}

// bounded reads no more of an answer than a list of models can have.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxAnswer), response.Body}
	}
	return response, err
}

// explain finds what is wrong. Causes that hold what the provider wrote are left out: some write the key back.
func (t Target) explain(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("probe %s: %w", t.host(), context.Canceled)
	}
	var slow net.Error
	if ctx.Err() != nil || errors.As(err, &slow) && slow.Timeout() {
		return t.fail(fault.Unavailable, "probe.error.timeout", nil)
	}
	if status := statusOf(err); status != 0 {
		return t.refused(status)
	}
	var sending *url.Error
	switch {
	case !errors.As(err, &sending):
		return t.fail(fault.Invalid, "probe.error.not_compatible", errors.New("the answer is not the JSON of a list of models"))
	case aboutTLS(err):
		return t.fail(fault.Invalid, "probe.error.tls", sending.Err)
	}
	return t.fail(fault.Unavailable, "probe.error.unreachable", sending.Err)
}

func (t Target) refused(status int) error {
	cause := fmt.Errorf("status %d", status)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return t.fail(fault.Invalid, "probe.error.credential", cause)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return t.fail(fault.Invalid, "probe.error.not_compatible", cause)
	}
	return fault.New(fault.Unavailable, "probe.error.status", "host", t.host(), "status", fmt.Sprint(status)).Because(cause)
}

func (t Target) fail(kind fault.Kind, key string, cause error) error {
	e := fault.New(kind, key, "host", t.host())
	if cause == nil {
		return e
	}
	return e.Because(cause)
}

func (t Target) host() string {
	u, err := url.Parse(t.BaseURL)
	if err != nil {
		return ""
	}
	return u.Host
}

// statusOf is the status of an answer that says it failed, or 0.
func statusOf(err error) int {
	var api *openai.APIError
	var other *openai.RequestError
	switch {
	case errors.As(err, &api):
		return api.HTTPStatusCode
	case errors.As(err, &other):
		return other.HTTPStatusCode
	}
	return 0
}

func aboutTLS(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var certificate x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &certificate) ||
		errors.As(err, &record) || errors.As(err, &alert) || errors.Is(err, http.ErrSchemeMismatch)
}
