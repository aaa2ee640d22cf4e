package alert

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func load(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestQuietHoursEndInTheMorningOfTheReadersWall(t *testing.T) {
	at := func(hour, minute int) Minute { return Minute(hour*60 + minute) }
	for _, c := range []struct {
		name, zone, now, want string
		quiet                 Quiet
	}{
		{"in the evening", "America/Sao_Paulo", "2026-05-05T01:30:00Z", "2026-05-05T11:00:00Z", Quiet{at(22, 0), at(8, 0)}},
		{"after midnight", "America/Sao_Paulo", "2026-05-05T04:30:17Z", "2026-05-05T11:00:00Z", Quiet{at(22, 0), at(8, 0)}},
		{"at its end", "America/Sao_Paulo", "2026-05-05T11:00:00Z", "2026-05-05T11:00:00Z", Quiet{at(22, 0), at(8, 0)}},
		{"at its begin", "America/Sao_Paulo", "2026-05-05T01:00:00Z", "2026-05-05T11:00:00Z", Quiet{at(22, 0), at(8, 0)}},
		{"before it", "America/Sao_Paulo", "2026-05-05T00:59:59Z", "2026-05-05T00:59:59Z", Quiet{at(22, 0), at(8, 0)}},
		{"within a day", "America/Manaus", "2026-05-05T16:10:00Z", "2026-05-05T17:30:00Z", Quiet{at(12, 0), at(13, 30)}},
		{"none", "UTC", "2026-05-05T16:10:00Z", "2026-05-05T16:10:00Z", Quiet{at(12, 0), at(12, 0)}},
		{"over the night that loses an hour", "Europe/Lisbon", "2026-03-28T23:00:00Z", "2026-03-29T07:00:00Z", Quiet{at(22, 0), at(8, 0)}},
		{"over the night that has an hour twice", "Europe/Lisbon", "2026-10-24T22:00:00Z", "2026-10-25T08:00:00Z", Quiet{at(22, 0), at(8, 0)}},
		{"with an end that the clock skips", "Europe/Lisbon", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", Quiet{at(22, 0), at(1, 30)}},
		{"with a midnight that the clock skips", "America/Sao_Paulo", "2018-11-04T02:00:00Z", "2018-11-04T03:00:00Z", Quiet{at(22, 0), at(0, 0)}},
	} {
		now, _ := time.Parse(time.RFC3339, c.now)
		if got := c.quiet.after(now, load(t, c.zone)).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestADigestComesOnceADayAlsoWhenTheClockChanges(t *testing.T) {
	for _, c := range []struct {
		name, zone, from, want string
		at                     Minute
	}{
		{"later today", "America/Sao_Paulo", "2026-05-05T10:00:00Z", "2026-05-05T12:00:00Z", 9 * 60},
		{"now", "America/Sao_Paulo", "2026-05-05T12:00:00Z", "2026-05-05T12:00:00Z", 9 * 60},
		{"tomorrow", "America/Sao_Paulo", "2026-05-05T12:00:01Z", "2026-05-06T12:00:00Z", 9 * 60},
		{"the skipped time", "Europe/Lisbon", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", 90},
		{"the skipped midnight", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z", 0},
		{"the first of two", "Europe/Lisbon", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", 90},
		{"not the second of two", "Europe/Lisbon", "2026-10-25T00:30:01Z", "2026-10-26T01:30:00Z", 90},
	} {
		from, _ := time.Parse(time.RFC3339, c.from)
		if got := nextDaily(c.at, from, load(t, c.zone)).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestDigestsAreADayApartInEveryZone(t *testing.T) {
	names := []string{"America/Sao_Paulo", "Europe/Lisbon", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(names).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		m := Minute(rapid.IntRange(0, 1439).Draw(t, "minute"))
		at := time.Unix(rapid.Int64Range(1262304000, 1924992000).Draw(t, "from"), 0) // 2010 to 2031
		first := nextDaily(m, at, zone)
		second := nextDaily(m, first.Add(time.Second), zone)
		if first.Before(at) || first.Sub(at) > 26*time.Hour && zone.String() != "Pacific/Apia" {
			t.Errorf("from %s the next is %s", at.In(zone), first.In(zone))
		}
		if first.In(zone).YearDay() == second.In(zone).YearDay() || second.Sub(first) < 22*time.Hour {
			t.Errorf("two on a day: %s and %s", first.In(zone), second.In(zone))
		}
	})
}

func TestAnAnswerIsOneShortLineWithoutSecrets(t *testing.T) {
	for words, want := range map[string]string{
		"250 2.0.0 Ok:\r\n queued as 4Xy\x00\x1b[31m":                                            "250 2.0.0 Ok: queued as 4Xy [31m",
		`Post "https://hooks.slack.com/services/T0/B0/secret": dial tcp: timeout`:                `Post "https://hooks.slack.com": dial tcp: timeout`,
		"https://api.telegram.org/bot123:ABC/sendMessage?x=y refused":                            "https://api.telegram.org refused",
		"smtp://ana:secret@mail.example:587 said no, ask https://support.google.com/mail/?p=Bad": "smtp://mail.example:587 said no, ask https://support.google.com",
	} {
		if got := Answer(words); got != want {
			t.Errorf("Answer(%q) = %q, want %q", words, got, want)
		}
	}
	if got := Answer(strings.Repeat("ã", 2000)); len([]rune(got)) != maxAnswer {
		t.Errorf("%d characters are kept, want %d", len([]rune(got)), maxAnswer)
	}
	err := fmt.Errorf("send: %w", Refused(fmt.Errorf("550: %w", errors.ErrUnsupported)))
	if !errors.Is(err, ErrRefused) || !errors.Is(err, errors.ErrUnsupported) || err.Error() != "send: 550: unsupported operation" {
		t.Errorf("refused: %v", err)
	}
}
