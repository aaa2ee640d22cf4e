package handlers

import (
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/static"
)

// Register puts the browser's routes on app. It must come last: what it does not know it answers with a page.
//
// The order is the protection: what stands below a gate is reached only through it.
func (p *Panel) Register(app *fiber.App) {
	app.Get(static.Prefix+"*", static.Handler)
	p.health(app)

	app.Use(p.observe, p.secureHeaders, p.identify, p.wellFormed)
	p.endMail(app) // before forms must come from our own pages: mail programs post to the links that we sent

	app.Use(p.checkCSRF)
	p.setup(app)
	p.auth(app)
	p.preferences(app)
	p.unsubscribe(app)

	// Anyone who is signed in.
	signedIn := app.Group("/account", p.needUser)
	p.account(signedIn)
	p.alertInbox(app.Group("/inbox", p.needUser))

	// Customers: reading for both roles, changing for the tenant's admin.
	customers := app.Group("/portal", p.needTenant)
	p.portal(customers)
	p.portalAlertHistory(customers)
	p.portalAlerts(customers)
	p.portalChannels(customers)
	p.portalSpendCap(customers)

	// The team: reading for all roles, changing for owner and manager. Families name their own absolute paths.
	team := app.Group("/", p.needTeam)
	p.dashboard(team)
	p.plans(team)
	p.tenants(team)
	p.keys(team)
	p.refusals(team)
	p.providers(team)
	p.models(team)
	p.operations(team)
	p.books(team)
	p.cache(team)
	p.alertRules(team) // before the history, whose /alerts/:id takes what is left
	p.channels(team)
	p.tenantAlerts(team)
	p.spendCap(team)
	p.mail(team)
	p.alertHistory(team)
	p.users(team)
}
