package upstream

import (
	"errors"
	"net/url"
	"strings"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// address turns messages into URLs. Azure has two forms, by
// https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle:
//
//   - dated API versions find the model by its deployment in the path, for some endpoints, and by the body for others;
//   - the v1 API is OpenAI's own, below /openai/v1; its version is "v1" or "preview", if it is given at all.
type address struct {
	base        string // without a slash at the end
	deployments string // what comes before a deployment's name; empty: no path has one
	query       string // that every URL has
}

func newAddress(o Options) address {
	base := strings.TrimRight(o.BaseURL, "/")
	if o.Kind != tenancy.AzureProvider {
		return address{base: base}
	}
	base = strings.TrimSuffix(strings.TrimSuffix(base, "/v1"), "/openai") + "/openai"
	a := address{base: base + "/v1"}
	if o.APIVersion == "" {
		return a
	}
	if dated := o.APIVersion[0] >= '0' && o.APIVersion[0] <= '9'; dated {
		a.base, a.deployments = base, base+"/deployments/"
	}
	a.query = "api-version=" + url.QueryEscape(o.APIVersion)
	return a
}

var (
	errAddress = errors.New("the call's path or query is none that a URL can have")
	errModel   = errors.New("the call names no model, by which Azure would find its deployment")
)

// of is the URL that a message goes to.
func (a *address) of(m *gateway.Message) (string, error) {
	if !strings.HasPrefix(m.Path, "/") || !clean(m.Path) || strings.Contains(m.Path, "?") || climbs(m.Path) || !clean(m.Query) {
		return "", errAddress
	}
	target := a.base
	if a.deployments != "" && ofDeployment(m.Path) {
		if m.Model == "" {
			return "", errModel
		}
		target = a.deployments + escape(m.Model)
	}
	switch {
	case a.query == "" && m.Query == "":
		return target + m.Path, nil
	case a.query == "" || m.Query == "":
		return target + m.Path + "?" + a.query + m.Query, nil
	}
	return target + m.Path + "?" + a.query + "&" + m.Query, nil
}

// ofDeployment tells whether Azure's dated versions look for the deployment in the path.
func ofDeployment(path string) bool {
	switch path {
	case "/chat/completions", "/completions", "/embeddings":
		return true
	}
	return strings.HasPrefix(path, "/images/") || strings.HasPrefix(path, "/audio/")
}

// escape makes one path segment of a name; a name of dots alone would climb.
func escape(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// clean tells whether text can be part of a request line, and of nothing else.
func clean(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] == '#' || text[i] == 0x7f {
			return false
		}
	}
	return true
}

// climbs tells whether a path has a segment that leads elsewhere: the credential is for the paths that we know.
func climbs(path string) bool {
	if !strings.Contains(path, "/.") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
