package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// naming is a customer's own rule that names addresses.
func naming(addresses ...string) alert.Rule {
	r := ownRule(5000)
	r.To.Addresses = addresses
	return r
}

// names saves what the customer's own rule names, as it is by now.
func (o *office) names(tenantID int64, addresses ...string) error {
	o.t.Helper()
	r := naming(addresses...)
	if s := o.setting(tenantID, inputTopic); s.Own {
		r.ID, r.UpdatedAt = s.Rules[0].ID, s.Rules[0].UpdatedAt
	}
	return o.SaveTenantAlerts(o.ctx, tenantID, r)
}

// mails are how often an address was written to and asked.
func (o *office) mails(address string) int {
	o.t.Helper()
	return int(o.count(`SELECT count(*) FROM deliveries WHERE kind = 'confirmation' AND recipient = $1`, address))
}

// askedAs gives how far an address is; "" for one that nobody asked.
func (o *office) askedAs(tenantID int64, address string) (alert.AskState, alert.Ask) {
	o.t.Helper()
	asks, err := o.Asks(o.ctx, tenantID)
	o.must(err)
	for _, a := range asks {
		if a.Address == address {
			return a.State(o.now()), a
		}
	}
	return "", alert.Ask{}
}

// link is what the e-mail of an address leads to.
func (o *office) link(address string) (id int64, nonce uuid.UUID) {
	o.t.Helper()
	o.must(o.db.QueryRow(`SELECT id, nonce FROM alert_addresses WHERE address = $1 ORDER BY id DESC LIMIT 1`, address).Scan(&id, &nonce))
	return id, nonce
}

// ages makes what an address was asked older.
func (o *office) ages(address string, by time.Duration) {
	o.t.Helper()
	o.db.MustExec(`UPDATE alert_addresses SET asked_at = asked_at - $2::interval, expires_at = expires_at - $2::interval,
		mailed = ARRAY(SELECT m - $2::interval FROM unnest(mailed) AS m) WHERE address = $1`, address, fmt.Sprintf("%d seconds", int(by.Seconds())))
}

func asks(t *testing.T) (*office, tenancy.Tenant) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	return o, o.customer("A", plan.ID)
}

// conflict tells of an error that names what was given.
func conflict(t *testing.T, err error, key string) {
	t.Helper()
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), key) {
		t.Errorf("%v, want %s", err, key)
	}
}

func TestAnAddressFromOutsideIsAskedOnceHoweverOftenItIsNamed(t *testing.T) {
	o, a := asks(t)
	o.must(o.names(a.ID, "Fora@São.com.br"))
	address := alert.SameAddress("fora@são.com.br")
	o.must(o.names(a.ID, "fora@são.com.br", "outra@x.com"))
	o.must(o.names(a.ID, "FORA@"+strings.SplitN(address, "@", 2)[1]))
	other := naming("fora@são.com.br")
	other.Metric = alert.OutputQuota
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, other))
	if n := o.mails(address); n != 1 {
		t.Errorf("written to %d times", n)
	}
	if state, ask := o.askedAs(a.ID, address); state != alert.AskOpen || ask.By != "" || ask.Mail != alert.Pending || ask.Nonce != uuid.Nil {
		t.Errorf("%s %+v", state, ask)
	}
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'alert_address.ask' AND tenant_id = $1`, a.ID); n != 2 {
		t.Errorf("%d entries in the audit log", n)
	}
}

func TestManyWhoNameAnAddressAtOnceAskItOnce(t *testing.T) {
	o, a := asks(t)
	metrics := []alert.Metric{alert.InputQuota, alert.OutputQuota, alert.Forecast}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			r := naming("fora@x.com")
			r.Metric, r.Audience, r.Scope, r.TenantID = metrics[i%3], alert.Customer, alert.Tenant, a.ID
			r.Thresholds = []int64{int64(i+1) * 1000} // a twin would be refused
			if _, err := o.CreateAlertRule(o.ctx, r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := o.mails("fora@x.com"); n != 1 {
		t.Errorf("written to %d times", n)
	}
}

func TestWhoIsKnownIsNotAsked(t *testing.T) {
	o, a := asks(t)
	o.db.MustExec(`INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ('ana@a.com', 'Ana', 'tenant_viewer', $1, ''), ('dono@op.com', 'Dono', 'owner', NULL, '')`, a.ID)
	o.db.MustExec(`UPDATE tenants SET email = 'Caixa@A.com' WHERE id = $1`, a.ID)
	o.must(o.names(a.ID, "ANA@a.com", "caixa@a.com"))
	wide := naming("todos@x.com")
	wide.Audience, wide.Scope = alert.Customer, alert.All
	if _, err := o.CreateAlertRule(o.ctx, wide); err != nil {
		t.Fatal(err)
	}
	team := naming("plantao@x.com")
	team.Audience, team.Scope, team.TenantID, team.To.Roles = alert.Operator, alert.Tenant, a.ID, nil
	if _, err := o.CreateAlertRule(o.ctx, team); err != nil {
		t.Fatal(err)
	}
	if n := o.count(`SELECT count(*) FROM deliveries WHERE kind = 'confirmation'`); n != 0 {
		t.Errorf("%d were asked", n)
	}
	o.must(o.names(a.ID, "dono@op.com")) // of the team, but not of the customer
	if n := o.mails("dono@op.com"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestWhoAskedIsNamedWhenItIsOneOfTheCustomersOwn(t *testing.T) {
	o, a := asks(t)
	var id int64
	o.must(o.db.Get(&id, `INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ('ana@a.com', 'Ana', 'tenant_admin', $1, '') RETURNING id`, a.ID))
	as := *o
	as.ctx = tenancy.WithActor(o.ctx, tenancy.Actor{UserID: id, Label: "ana@a.com"})
	as.must(as.names(a.ID, "fora@x.com"))
	if _, ask := o.askedAs(a.ID, "fora@x.com"); ask.By != "ana@a.com" {
		t.Errorf("by %q", ask.By)
	}
	nobody := *o
	o.must(o.db.Get(&id, `INSERT INTO users (email, name, role, password_hash) VALUES ('gestor@op.com', 'G', 'manager', '') RETURNING id`))
	nobody.ctx = tenancy.WithActor(o.ctx, tenancy.Actor{UserID: id, Label: "gestor@op.com"})
	nobody.must(nobody.names(a.ID, "fora@x.com", "mais@x.com"))
	if _, ask := o.askedAs(a.ID, "mais@x.com"); ask.By != "" {
		t.Errorf("one of the team is named: %q", ask.By)
	}
}

func TestAnAddressIsWrittenToOnceAnHourAndThriceADay(t *testing.T) {
	o, a := asks(t)
	o.must(o.names(a.ID, "fora@x.com"))
	conflict(t, o.AskAgain(o.ctx, a.ID, "fora@x.com"), "alert_confirm.error.pause")
	_, first := o.link("fora@x.com")
	for range 2 {
		o.ages("fora@x.com", 61*time.Minute)
		o.must(o.AskAgain(o.ctx, a.ID, "Fora@X.com"))
	}
	o.ages("fora@x.com", 61*time.Minute)
	conflict(t, o.AskAgain(o.ctx, a.ID, "fora@x.com"), "alert_confirm.error.most")
	if _, again := o.link("fora@x.com"); again != first {
		t.Error("the link of the first e-mail holds no more")
	}
	o.ages("fora@x.com", 22*time.Hour)
	o.must(o.AskAgain(o.ctx, a.ID, "fora@x.com"))
	if n := o.mails("fora@x.com"); n != 4 {
		t.Errorf("written to %d times", n)
	}
	// Taking it out and naming it anew goes round no limit.
	o.must(o.names(a.ID))
	o.must(o.names(a.ID, "fora@x.com"))
	if n := o.mails("fora@x.com"); n != 4 {
		t.Errorf("written to %d times", n)
	}
	if err := o.AskAgain(o.ctx, a.ID, "qualquer@x.com"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an address that nobody named: %v", err)
	}
}

func TestACustomerWaitsForFiftyAtMost(t *testing.T) {
	o, a := asks(t)
	b := o.customer("B", o.plan("prata", blocking(1, 1)).ID)
	o.db.MustExec(`INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at) SELECT $1, 'n' || n || '@x.com', now(), now() + interval '1 day' FROM generate_series(1, 49) n`, a.ID)
	o.must(o.names(a.ID, "a50@x.com"))
	err := o.names(a.ID, "a50@x.com", "a51@x.com")
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "alert_confirm.error.open") {
		t.Fatalf("%v", err)
	}
	if s := o.setting(a.ID, inputTopic); len(s.Rules[0].To.Addresses) != 1 {
		t.Errorf("it was saved: %+v", s.Rules[0].To)
	}
	o.must(o.names(b.ID, "a51@x.com"))
	o.db.MustExec(`UPDATE alert_addresses SET confirmed_at = now() WHERE address = 'n1@x.com'`)
	o.must(o.names(a.ID, "a50@x.com", "a51@x.com"))
}

func TestAnAnswerHoldsForTheCustomerWhateverRulesNameTheAddress(t *testing.T) {
	o, a := asks(t)
	b := o.customer("B", o.plan("prata", blocking(1, 1)).ID)
	o.must(o.names(a.ID, "fora@x.com"))
	id, nonce := o.link("fora@x.com")
	if ask, err := o.AskOf(o.ctx, id, nonce); err != nil || ask.Company != "A" || len(ask.Topics) != 1 || ask.Topics[0] != alert.InputQuota {
		t.Errorf("%+v %v", ask, err)
	}
	if state, _ := o.askedAs(a.ID, "fora@x.com"); state != alert.AskOpen {
		t.Error("looking answered")
	}
	for range 2 {
		o.must(o.AnswerAsk(o.ctx, id, nonce, true))
	}
	o.must(o.names(a.ID))
	o.must(o.names(a.ID, "FORA@x.com"))
	if state, _ := o.askedAs(a.ID, "fora@x.com"); state != alert.AskConfirmed || o.mails("fora@x.com") != 1 {
		t.Errorf("%s, asked %d times", state, o.mails("fora@x.com"))
	}
	o.must(o.AskAgain(o.ctx, a.ID, "fora@x.com")) // there is nothing to ask
	o.must(o.names(b.ID, "fora@x.com"))
	if state, _ := o.askedAs(b.ID, "fora@x.com"); state != alert.AskOpen || o.mails("fora@x.com") != 2 {
		t.Errorf("another customer's: %s", state)
	}
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'alert_address.confirm' AND details::text NOT LIKE '%fora%'`); n != 1 {
		t.Errorf("%d entries in the audit log", n)
	}
}

func TestWhoDeclinesMayNotBeAskedAgainByThatCustomer(t *testing.T) {
	o, a := asks(t)
	b := o.customer("B", o.plan("prata", blocking(1, 1)).ID)
	o.must(o.names(a.ID, "fora@x.com", "outra@x.com"))
	id, nonce := o.link("fora@x.com")
	o.ages("fora@x.com", 8*24*time.Hour) // to decline is never too late
	o.must(o.AnswerAsk(o.ctx, id, nonce, false))
	conflict(t, o.AskAgain(o.ctx, a.ID, "fora@x.com"), "alert_confirm.error.declined")
	o.must(o.names(a.ID, "fora@x.com", "outra@x.com")) // what was named stays; a switch can be turned
	o.must(o.names(a.ID, "outra@x.com"))
	if err := o.names(a.ID, "outra@x.com", "Fora@X.com"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "alert_confirm.error.declined") {
		t.Errorf("%v", err)
	}
	o.must(o.names(b.ID, "fora@x.com"))
	if n := o.mails("fora@x.com"); n != 2 {
		t.Errorf("asked %d times", n)
	}
	conflict(t, o.AnswerAsk(o.ctx, id, nonce, true), "alert_confirm.error.expired")
}

func TestALinkHoldsSevenDaysAndIsOfItsOwnRound(t *testing.T) {
	o, a := asks(t)
	o.must(o.names(a.ID, "fora@x.com"))
	id, nonce := o.link("fora@x.com")
	for _, wrong := range []uuid.UUID{uuid.Nil, uuid.New()} {
		if _, err := o.AskOf(o.ctx, id, wrong); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
		if err := o.AnswerAsk(o.ctx, id, wrong, true); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
	}
	o.ages("fora@x.com", alert.AskHolds+time.Minute)
	conflict(t, o.AnswerAsk(o.ctx, id, nonce, true), "alert_confirm.error.expired")
	if state, _ := o.askedAs(a.ID, "fora@x.com"); state != alert.AskExpired {
		t.Error(state)
	}
	o.must(o.AskAgain(o.ctx, a.ID, "fora@x.com"))
	if err := o.AnswerAsk(o.ctx, id, nonce, true); !fault.Is(err, fault.NotFound) {
		t.Errorf("the old link answers the new round: %v", err)
	}
	id, nonce = o.link("fora@x.com")
	o.must(o.AnswerAsk(o.ctx, id, nonce, true))
}

func TestWhoAskedForNoMoreEMailIsNotAsked(t *testing.T) {
	o, a := asks(t)
	o.must(o.Unsubscribe(o.ctx, alert.Subscription{TenantID: a.ID, Address: "fora@x.com"}))
	o.must(o.names(a.ID, "Fora@x.com"))
	if n := o.mails("fora@x.com"); n != 0 {
		t.Errorf("asked %d times", n)
	}
	conflict(t, o.AskAgain(o.ctx, a.ID, "fora@x.com"), "alert_confirm.error.silent")
	o.must(o.Resubscribe(o.ctx, alert.Subscription{TenantID: a.ID, Address: "fora@x.com"}))
	o.must(o.AskAgain(o.ctx, a.ID, "fora@x.com"))
}

// ---- what is sent

// ownRuleNaming gives the customer a rule of its own about a metric, and raises an alert of it.
func (d *delivering) raisedFor(addresses string) (rule, event int64) {
	d.t.Helper()
	d.get(&rule, `INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, roles, addresses, language)
		VALUES ('customer', 'tenant', $1, 'input_quota', 'percent', '{5000}', '{tenant_admin}', $2, 'en') RETURNING id`, d.tenant, addresses)
	d.get(&event, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at)
		VALUES (gen_random_uuid(), true, $1, 'customer', 'input_quota', 'percent', 'tenant:1', $2, '2026-11-01', 5000, 5000, now()) RETURNING id`, rule, d.tenant)
	return rule, event
}

func TestWhatIsNotSentIsKeptWithTheReasonAndOthersGetTheirs(t *testing.T) {
	d := openDelivering(t)
	d.exec(`INSERT INTO users (email, name, role, tenant_id, password_hash, language) VALUES ('ana@x.com', 'Ana', 'tenant_admin', $1, '', 'en')`, d.tenant)
	d.exec(`INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at, confirmed_at, declined_at) VALUES ($1, 'sim@x.com', now(), now(), now(), NULL),
		($1, 'nao@x.com', now(), now(), NULL, now())`, d.tenant)
	_, event := d.raisedFor(`{nova@x.com,sim@x.com,nao@x.com}`)
	if n := d.dispatch(alert.Decide); n != 1 {
		t.Fatalf("%d groups", n)
	}
	var told []string
	d.must(d.db.Select(&told, `SELECT recipient || ' ' || state || ' ' || reason FROM deliveries ORDER BY recipient`))
	if got := strings.Join(told, ", "); got != "ana@x.com pending , nao@x.com cancelled declined, nova@x.com cancelled unconfirmed, sim@x.com pending " {
		t.Error(got)
	}
	if len(d.work) != 2 {
		t.Errorf("%d jobs", len(d.work))
	}
	one, err := d.Alert(context.Background(), event)
	d.must(err)
	if len(one.Messages) != 4 || one.Told.All != 2 {
		t.Errorf("%d messages, %+v", len(one.Messages), one.Told)
	}
	asks, err := d.Asks(context.Background(), d.tenant)
	d.must(err)
	var nova alert.Ask
	for _, a := range asks {
		if a.Address == "nova@x.com" {
			nova = a
		}
	}
	if nova.ID == 0 || nova.State(d.now()) != alert.AskExpired {
		t.Errorf("who was never asked cannot be: %+v", asks)
	}
	missed, err := d.Missed(context.Background(), nova, 5)
	if d.must(err); len(missed) != 1 || missed[0].ID != event {
		t.Errorf("missed: %+v", missed)
	}
	nova.TenantID++
	if missed, err := d.Missed(context.Background(), nova, 5); err != nil || len(missed) != 0 {
		t.Errorf("another customer's: %+v %v", missed, err)
	}
}

func (d *delivering) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func TestAMessageThatAsksIsSentUnlessItWasAnswered(t *testing.T) {
	d := openDelivering(t)
	ctx := context.Background()
	r := naming("fora@x.com", "outra@x.com")
	r.Scope, r.TenantID = alert.Tenant, d.tenant
	_, err := d.CreateAlertRule(ctx, r)
	d.must(err)
	if n, err := d.QueueDeliveries(ctx, false, d.enqueue); err != nil || n != 2 {
		t.Fatalf("%d queued (%v)", n, err)
	}
	var ids []int64
	d.must(d.db.Select(&ids, `SELECT id FROM deliveries WHERE kind = 'confirmation' ORDER BY recipient`))
	begun, state, wait := d.begin(ids[0])
	if state != alert.Pending || wait != 0 || begun.Ask == nil || begun.Ask.Company != "Padaria" || begun.Ask.Nonce == uuid.Nil || begun.Delivery.Language != i18n.En ||
		begun.Zone == nil || len(begun.Events) != 0 || len(begun.Ask.Topics) != 1 {
		t.Errorf("%s %s %+v", state, wait, begun)
	}
	d.must(d.RecordAttempt(ctx, ids[0], alert.Attempt{At: d.now(), Outcome: alert.OutcomeDelivered, Answer: "250 ok"}, alert.Delivered))
	if _, state, _ := d.begin(ids[0]); state != alert.Delivered {
		t.Errorf("sent once more: %s", state)
	}
	d.exec(`UPDATE alert_addresses SET declined_at = now() WHERE address = 'outra@x.com'`)
	if _, state, _ := d.begin(ids[1]); state != alert.Cancelled {
		t.Errorf("asked although it has answered: %s", state)
	}
}

func TestWhoDeclinesIsNotToldWhatWaitedForThem(t *testing.T) {
	d := openDelivering(t)
	d.exec(`INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at, confirmed_at) VALUES ($1, 'sim@x.com', now(), now(), now())`, d.tenant)
	d.raisedFor(`{sim@x.com}`)
	d.dispatch(alert.Decide)
	var id int64
	d.get(&id, `SELECT id FROM deliveries WHERE recipient = 'sim@x.com' AND state = 'pending'`)
	d.exec(`UPDATE alert_addresses SET confirmed_at = NULL, declined_at = clock_timestamp() + interval '1 second'`)
	if _, state, _ := d.begin(id); state != alert.Cancelled {
		t.Errorf("it is sent all the same: %s", state)
	}
}
