package alert

import (
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// Sample is a notice with invented figures, for looking at a message before there is one: what the metric's alert says when
// its threshold is reached at now, in now's zone. The caller sets Language and PublicURL.
func Sample(m Metric, audience Audience, threshold int64, unit Unit, now time.Time) Notice {
	value := threshold + threshold/800 // a little above, as when a call crosses it
	if unit == Percent && threshold == Whole {
		value = threshold // what is limited goes no further
	}
	if m == Forecast {
		value += threshold / 6
	}
	details, subject := sampleDetails(m, threshold, value, unit, now)
	event := Event{
		ID: 1, Group: uuid.NameSpaceURL, Lead: true, RuleID: 1, Audience: audience, Metric: m, Unit: unit, Subject: subject,
		Period: samplePeriod(now), Threshold: threshold, Value: value, Details: details, RaisedAt: now,
	}
	n := Notice{
		MessageID: uuid.NameSpaceURL, Kind: OneAlert, Audience: audience, Channel: Email, Language: i18n.PtBR,
		Recipient: "ana@example.com", Name: "Ana Souza", Zone: now.Location(), Events: []Event{event},
		PublicURL: "https://filaia.example", SentAt: now,
	}
	if subject.TenantID != 0 {
		n.Days = sampleDays(now)
	}
	if audience == Customer {
		n.Unsubscribe = n.PublicURL + "/unsubscribe?sample"
	}
	return n
}

// OfWhole is the sample for a rule that looks at the installation as a whole: it names no customer.
func (n Notice) OfWhole() Notice {
	e := n.Events[0]
	e.Subject = Subject{Key: "installation"}
	e.Details.Tenant, e.Details.Plan, e.Details.Blocks, e.Details.PeriodStart, e.Details.PeriodEnd = "", "", false, time.Time{}, time.Time{}
	e.Details.LimitIn, e.Details.UsedIn, e.Details.LimitOut, e.Details.UsedOut = 0, 0, 0, 0
	n.Events, n.Days = []Event{e}, nil
	return n
}

func samplePeriod(now time.Time) time.Time {
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
}

// sampleDetails are those of a customer on the second of three plans, or of a part of the platform.
func sampleDetails(m Metric, threshold, value int64, unit Unit, now time.Time) (Details, Subject) {
	if kind, ok := m.Kind(); ok && len(kind.Audiences) == 1 {
		return samplePlatform(m, value, now)
	}
	start := samplePeriod(now)
	d := Details{
		Tenant: "Padaria Sol", Plan: "Pro", LimitIn: 3_000_000, UsedIn: 1_431_208, LimitOut: 1_500_000, UsedOut: 612_490,
		Blocks: true, PeriodStart: start, PeriodEnd: start.AddDate(0, 1, 0),
	}
	s := OfSubscription(1, 1, 0)
	charges := func() { d.Blocks, d.OveragePrice = false, 100 }
	share := func(limit int64) int64 { // of a quota
		if unit == Percent {
			return limit / Whole * value
		}
		return value
	}
	switch m {
	case InputQuota:
		d.UsedIn = share(d.LimitIn)
	case OutputQuota:
		d.UsedOut = share(d.LimitOut)
	case Overage:
		charges()
		d.UsedIn, d.Charged = d.LimitIn+value/100, money.Micros(value)
		d.Cap = max(500*money.Unit, 2*money.Micros(threshold))
	case SpendCap:
		charges()
		d.Cap = 500 * money.Unit
		d.Charged = d.Cap / Whole * money.Micros(value)
		d.UsedIn = d.LimitIn + int64(d.Charged)/100
	case Forecast:
		d.Quota = InputQuota
		d.UsedIn = d.LimitIn * 7 / 10
		if grows := share(d.LimitIn) - d.UsedIn; unit == Percent && grows > 0 { // until the end
			d.RunsOutAt = now.Add(time.Duration(float64(d.PeriodEnd.Sub(now)) * min(float64(d.LimitIn-d.UsedIn)/float64(grows), 1)))
		}
	case SuddenChange:
		d.Base, d.Now = 41_300, 41_300*value/Whole
	case ErrorRate:
		d.Window, d.Calls = 10, 412
		d.Failures = d.Calls * value / Whole
	case LatencyP95:
		d.Window, d.Calls = 10, 412
	case KeyUnused:
		d.Key, d.Since, s.KeyID = "Loja virtual", now.AddDate(0, 0, -int(value)), 1
	case KeyAddress:
		d.Key, d.Address, d.Since, s.KeyID = "Loja virtual", "203.0.113.24", now.AddDate(0, -2, -3), 1
	}
	return d, s
}

// samplePlatform are the details of what only the team is told.
func samplePlatform(m Metric, value int64, now time.Time) (Details, Subject) {
	ago := now.Add(-time.Duration(value) * time.Second)
	switch m {
	case ProviderCost:
		return Details{Cost: money.Micros(value), Calls: 18_240}, Subject{Key: "installation"}
	case BreakerOpen:
		return Details{Provider: "OpenAI", Model: "gpt-4.1-nano", Since: ago}, Subject{Key: "provider:1/gpt-4.1-nano", ProviderID: 1}
	case Provider429:
		return Details{Provider: "OpenAI", Window: 10, Calls: 40 * value, Failures: value}, Subject{Key: "provider:1", ProviderID: 1}
	case QueueAge:
		return Details{Since: ago}, Subject{Key: "installation"}
	case SpoolLag:
		return Details{Replica: "api-2", Since: ago}, Subject{Key: "replica:api-2"}
	case RateStale:
		day := now.UTC().AddDate(0, 0, -int(value)).Truncate(24 * time.Hour)
		return Details{Since: day}, Subject{Key: "installation"}
	}
	return Details{}, Subject{Key: "installation"}
}

// sampleDays are two weeks with quieter weekends.
func sampleDays(now time.Time) []Day {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	days := make([]Day, 14)
	for i := range days {
		day := today.AddDate(0, 0, i-13)
		input := int64(88_000 + 4_300*i + 9_700*(i*i%5))
		if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
			input /= 4
		}
		days[i] = Day{Day: day, Input: input, Output: input * 43 / 100}
	}
	return days
}
