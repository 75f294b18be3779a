package pool

import (
	"os"
	"strings"
	"testing"
	"time"
)

// quietTerms are terms with these quiet hours.
func quietTerms(t testing.TB, list ...string) Terms {
	t.Helper()
	q, err := parseQuiet(list)
	if err != nil {
		t.Fatal(err)
	}
	return Terms{quiet: q}
}

// TestQuietHours: over midnight, one behind the other, and over both changes of the clock in Berlin: at 02:00 on March 29, 2026 it
// is set to 03:00, and at 03:00 on October 25 to 02:00.
func TestQuietHours(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("no time zones on this machine:", err)
	}
	for _, test := range []struct {
		hours string // with blanks between
		now   string // local time with its zone
		want  string // until; "" for not quiet
	}{
		{"", "2026-06-01 00:00:00 CEST", ""},
		{"22:00-06:00", "2026-06-01 21:59:59 CEST", ""},
		{"22:00-06:00", "2026-06-01 22:00:00 CEST", "2026-06-02 06:00:00 CEST"},
		{"22:00-06:00", "2026-06-01 23:59:59 CEST", "2026-06-02 06:00:00 CEST"},
		{"22:00-06:00", "2026-06-02 00:00:00 CEST", "2026-06-02 06:00:00 CEST"},
		{"22:00-06:00", "2026-06-02 05:59:59 CEST", "2026-06-02 06:00:00 CEST"},
		{"22:00-06:00", "2026-06-02 06:00:00 CEST", ""},
		{"12:00-13:30", "2026-06-02 12:45:10 CEST", "2026-06-02 13:30:00 CEST"},
		{"12:00-24:00", "2026-06-02 12:45:10 CEST", "2026-06-03 00:00:00 CEST"},
		{"00:00-06:00", "2026-06-02 00:00:00 CEST", "2026-06-02 06:00:00 CEST"},
		{"22:00-24:00 00:00-06:00", "2026-06-01 22:30:00 CEST", "2026-06-02 06:00:00 CEST"},
		{"20:00-23:00 22:00-02:00 02:00-03:00", "2026-06-01 20:30:00 CEST", "2026-06-02 03:00:00 CEST"},
		{"12:00-13:00 22:00-06:00", "2026-06-01 12:30:00 CEST", "2026-06-01 13:00:00 CEST"},
		{"22:00-06:00", "2026-12-31 23:00:00 CET", "2027-01-01 06:00:00 CET"},

		{"22:00-06:00", "2026-03-28 23:00:00 CET", "2026-03-29 06:00:00 CEST"}, // six hours, not seven
		{"22:00-02:30", "2026-03-28 23:00:00 CET", "2026-03-29 03:00:00 CEST"}, // 02:30 is left out: the clock shows 03:00 instead
		{"22:00-02:00", "2026-03-28 23:00:00 CET", "2026-03-29 03:00:00 CEST"},
		{"02:00-03:00", "2026-03-29 01:59:59 CET", ""},
		{"02:00-03:00", "2026-03-29 03:00:00 CEST", ""},

		{"22:00-06:00", "2026-10-24 23:00:00 CEST", "2026-10-25 06:00:00 CET"},  // eight hours
		{"22:00-02:30", "2026-10-24 23:00:00 CEST", "2026-10-25 02:30:00 CEST"}, // the first 02:30
		{"22:00-02:30", "2026-10-25 02:45:00 CEST", ""},
		{"22:00-02:30", "2026-10-25 02:15:00 CET", "2026-10-25 02:30:00 CET"}, // and the second
		{"02:30-02:59", "2026-10-25 02:40:00 CEST", "2026-10-25 02:59:00 CEST"},
		{"02:30-03:00", "2026-10-25 02:40:00 CEST", "2026-10-25 02:00:00 CET"},
	} {
		now, err := time.ParseInLocation("2006-01-02 15:04:05 MST", test.now, berlin)
		if err != nil {
			t.Fatal(err)
		}
		until, quiet := quietTerms(t, strings.Fields(test.hours)...).ClosedAt(now)
		got := ""
		if quiet {
			got = until.Format("2006-01-02 15:04:05 MST")
		}
		if got != test.want {
			t.Errorf("%s at %s: until %q, want %q", test.hours, test.now, got, test.want)
		}
	}
}

func TestBadQuietHours(t *testing.T) {
	for _, list := range [][]string{
		{""}, {"22:00"}, {"25:00-06:00"}, {"22:00-25:00"}, {"22:60-06:00"}, {"24:00-06:00"}, {"22-6"}, {"22:00 - 06:00"}, {"22:00-06:00-07:00"},
		{"2:00-6:00"}, {"22:00-22:00"}, {"00:00-24:00"}, {"+1:00-02:00"}, {"06:00-22:00", "22:00-06:00"}, {"00:00-12:01", "12:00-23:00", "22:30-00:00"},
	} {
		if q, err := parseQuiet(list); err == nil {
			t.Errorf("%q gives %v", list, q)
		}
	}
}

// FuzzQuiet: whatever hours are read, quiet ends, it ends when no hour holds any more, and not one second later.
func FuzzQuiet(f *testing.F) {
	f.Add("22:00-06:00", "12:00-13:00", int64(1_774_700_000))
	f.Add("22:00-02:30", "02:30-03:30", int64(1_792_890_000))
	f.Add("00:00-23:59", "", int64(0))
	f.Add("24:00-24:00", "-", int64(-1))
	location, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		location = time.UTC
	}
	f.Fuzz(func(t *testing.T, a, b string, at int64) {
		q, err := parseQuiet([]string{a, b})
		if err != nil {
			if q, err = parseQuiet([]string{a}); err != nil {
				return
			}
		}
		terms := Terms{quiet: q}
		now := time.Unix(at%4_000_000_000, 0).In(location)
		until, quiet := terms.ClosedAt(now)
		if quiet != quietAt(q, wallClock(now)) {
			t.Fatalf("%v: at %s quiet is %v", q, now, quiet)
		}
		for rounds := 0; quiet; rounds++ {
			if !until.After(now) || rounds > 4 {
				t.Fatalf("%v: at %s quiet until %s, again and again", q, now, until)
			}
			if before := until.Add(-time.Second); !quietAt(q, wallClock(before)) {
				t.Fatalf("%v: at %s quiet until %s, and not so a second before", q, now, until)
			}
			now = until
			until, quiet = terms.ClosedAt(now)
		}
	})
}
