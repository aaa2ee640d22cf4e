package emails

// errorRate tells how many calls fail.
func (t *teller) errorRate() story {
	s := t.ofTraffic(percent(t.Printer, t.Value))
	if t.Value >= 2000 {
		s.tone = bad
	}
	words := []any{"share", percent(t.Printer, t.Value), "window", t.Window, "calls", t.Int(t.Calls), "failures", t.Int(t.Failures)}
	s.subject = t.windowed("error_rate.subject", words...)
	s.caption = t.windowed("error_rate.caption", words...)
	s.lead = t.windowed("error_rate.lead.none", words...)
	if t.Calls > 0 {
		s.lead = t.windowed("error_rate.lead", words...)
		s.fact(t.t("fact.calls"), t.Int(t.Calls))
		s.fact(t.t("fact.failures"), t.Int(t.Failures))
	}
	s.next = []string{t.to("error_rate.next")}
	return t.measured(s)
}

// latency tells how long the slowest calls take.
func (t *teller) latency() story {
	took := lasting(t.Printer, millis(t.Value))
	s := t.ofTraffic(took)
	words := []any{"took", took, "window", t.Window, "usual", quantity(t.Printer, t.Unit, t.Threshold)}
	s.subject = t.windowed("latency.subject", words...)
	s.caption = t.t("latency.caption")
	s.lead = t.windowed("latency.lead", words...)
	if t.Calls > 0 {
		s.fact(t.t("fact.calls"), t.Int(t.Calls))
	}
	s.next = []string{t.to("latency.next")}
	return t.measured(s)
}

// sudden tells how the last hour differs from the same hour of past weeks.
func (t *teller) sudden() story {
	part := share(t.Now, t.Base)
	if t.Base == 0 {
		part = t.Value
	}
	much := t.t("sudden.part", "share", roughly(t.Printer, part))
	if part >= 2*whole {
		much = t.t("sudden.times", "times", tenths(t.Printer, part))
	}
	s := t.ofTraffic(much)
	words := []any{"much", much, "now", t.Int(t.Now), "base", t.Int(t.Base)}
	way := "more"
	if part < whole {
		way = "less"
	}
	s.subject = t.to("sudden.subject."+way, words...)
	s.caption = t.t("sudden.caption")
	if t.Base > 0 {
		s.lead = t.t("sudden.lead."+way, words...)
		s.fact(t.t("fact.hour_now"), tokens(t.Printer, t.Now))
		s.fact(t.t("fact.hour_usual"), tokens(t.Printer, t.Base))
	}
	s.next = []string{t.to("sudden.next." + way)}
	return t.measured(s)
}

// ofTraffic is what the stories about calls have in common.
func (t *teller) ofTraffic(figure string) story {
	s := story{tone: warn, figure: figure, filled: -1, todo: true, button: t.ofCustomer()}
	if !t.customer && t.TenantID == 0 {
		s.button = link{t.t("button.operations"), t.base + "/operations"}
	}
	return s
}

// measured adds the last figures of a story about calls.
func (t *teller) measured(s story) story {
	s.fact(t.t("fact.plan"), t.Plan)
	t.at(&s, "fact.measured", t.RaisedAt)
	return s
}

// windowed is the text that names how many minutes were looked at; without a window its twin that ends in ".open".
func (t *teller) windowed(key string, args ...any) string {
	if t.Window == 0 {
		return t.t(key+".open", args...)
	}
	return t.t(key, args...)
}

// keyUnused tells of a key that nobody uses.
func (t *teller) keyUnused() story {
	words := []any{"n", t.Value, "key", t.named(t.Key, "key_unknown")}
	s := story{tone: info, figure: t.t("days", "n", t.Value), caption: t.t("key_unused.caption"), filled: -1, todo: true, button: t.ofKey()}
	s.subject = t.t("key_unused.subject", words...)
	s.lead = t.t("key_unused.lead", words...)
	s.fact(t.t("fact.key"), t.Key)
	t.at(&s, "fact.last_use", t.Since)
	s.next = []string{t.t("key_unused.next"), t.to("key_unused.do")}
	return s
}

// keyAddress tells of a key that is used from somewhere new.
func (t *teller) keyAddress() story {
	words := []any{"key", t.named(t.Key, "key_unknown"), "address", t.named(t.Address, "address_unknown")}
	s := story{tone: warn, figure: t.named(t.Address, "address_unknown"), caption: t.t("key_address.caption"), filled: -1, todo: true, button: t.ofKey()}
	s.subject = t.t("key_address.subject", words...)
	s.lead = t.t("key_address.lead", words...)
	s.fact(t.t("fact.key"), t.Key)
	s.fact(t.t("fact.address"), t.Address)
	t.at(&s, "fact.seen", t.RaisedAt)
	s.next = []string{t.t("key_address.fine"), t.to("key_address.do")}
	return s
}

// named is a name, or what is said where it is not known.
func (t *teller) named(name, unknown string) string {
	if name == "" {
		return t.t(unknown)
	}
	return name
}
