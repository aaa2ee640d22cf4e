package handlers

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestABrokenAddressOrFormIsAnsweredWithAPage(t *testing.T) {
	s := newSite(t)
	team, customer := s.as(t, tenancy.Owner), s.as(t, tenancy.TenantAdmin)
	for _, rubbish := range []string{"%00", "a%00b", "%ff", "%c3%28"} {
		for _, path := range []string{"/models/", "/models/%2e/", "/refusals/", "/tenants/", "/plans/", "/providers/", "/nada/"} {
			team.get(path + rubbish).status(http.StatusNotFound).has("<html")
		}
		for _, path := range []string{"/tenants?q=", "/plans?q=", "/keys?q=", "/models?q=", "/refusals?before=", "/users?status=", "/?x", "/?tz="} {
			team.get(path + rubbish).status(http.StatusBadRequest).has("<html")
		}
		for _, path := range []string{"/portal?model=", "/portal/refusals?before="} {
			customer.get(path + rubbish).status(http.StatusBadRequest).has("<html")
		}
		customer.get("/portal/refusals/" + rubbish).status(http.StatusNotFound)
		customer.get("/portal/keys/" + rubbish).status(http.StatusNotFound)

		value, err := url.QueryUnescape(rubbish)
		must(t, err)
		for _, path := range []string{"/providers", "/providers/test", "/models", "/models/rate", "/plans", "/tenants", "/users", "/cache", "/preferences", "/account"} {
			team.post(path, url.Values{"name": {value}}).status(http.StatusBadRequest).has("<html")
		}
		team.post("/models", url.Values{value: {"x"}}).status(http.StatusBadRequest)
		customer.post("/portal/keys", url.Values{"name": {value}}).status(http.StatusBadRequest)
		s.browser(t).post("/login", url.Values{"email": {value}}).status(http.StatusBadRequest)
		team.post("/operations/breakers/1/open/"+rubbish, nil).status(http.StatusNotFound)
	}
	team.get("/models?q=ação&x=%E2%80%A6").status(http.StatusOK)
	team.get("/models/a%2500b").status(http.StatusNotFound)
}
