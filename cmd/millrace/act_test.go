package main

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "45m": 45 * time.Minute, "1.5h": 90 * time.Minute, "3d": 72 * time.Hour, "1d12h": 36 * time.Hour, "2w": 14 * 24 * time.Hour,
		"": 0, "0s": 0, "0d0h": 0, "-1h": 0, "+1h": 0, "5": 0, "h": 0, "1h5": 0, "1x": 0, "1M": 0, "1 h": 0, "1e3s": 0, "Inf": 0, "NaNs": 0, ".s": 0, "1..5h": 0,
		"3650d": maxSpan, "3651d": 0, strings.Repeat("9", 400) + "w": 0,
	} {
		got, err := parseSpan(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
}

// FuzzParseSpan: a time is read as more than nothing and less than ten years, and what is written of it is read as the same.
func FuzzParseSpan(f *testing.F) {
	for _, seed := range []string{"90s", "1.5h", "1d12h30m", "1w", "-1h", "ü", "1ü", "0.0000000001s", "٣d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseSpan(text)
		if err != nil {
			return
		}
		if d < 0 || d > maxSpan {
			t.Fatalf("%q: %s", text, d)
		}
		if d = d.Round(time.Second); d == 0 {
			return
		}
		if again, err := parseSpan(inSpan(d)); again != d || err != nil {
			t.Fatalf("%q: %s is written as %q and read as %s, %v", text, d, inSpan(d), again, err)
		}
	})
}

func TestParseMoment(t *testing.T) {
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 26, 18, 30, 0, 0, zone)
	for text, want := range map[string]string{
		"18:31": "2026-11-26T18:31:00+01:00", "18:30": "2026-11-27T18:30:00+01:00", "0:05": "2026-11-27T00:05:00+01:00",
		"2026-11-27": "2026-11-27T00:00:00+01:00", "2026-12-01 08:00": "2026-12-01T08:00:00+01:00", "2026-12-01T08:00": "2026-12-01T08:00:00+01:00",
		"2026-11-26T18:00:00Z": "2026-11-26T18:00:00Z",
		"2026-11-26":           "is over", "2026-11-26 18:30": "is over", "25:00": "is no time", "tomorrow": "is no time", "": "is no time",
	} {
		got, err := parseMoment(text, now)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v, want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12_304: "12,304", 1_000_000: "1,000,000", -999: "-999", -1000: "-1,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestAsFlags: what a list shows of a pause ends it when it is pasted into a shell, and commands no terminal.
func TestAsFlags(t *testing.T) {
	for _, test := range []struct {
		is   relay.Selector
		want string
	}{
		{relay.Selector{}, "all mail"},
		{relay.Selector{Domain: "a.example", Site: "mx.example:25", Sender: "@n.example", Tenant: "shop", Campaign: "autumn", ID: "4bXy1", Class: "remote", Older: 36 * time.Hour, Lane: "bulk"},
			"--domain a.example --site mx.example:25 --sender @n.example --tenant shop --campaign autumn --id 4bXy1 --class remote --lane bulk --older 1d12h"},
		{relay.Selector{Campaign: "Anna's <sale> $(rm)"}, `--campaign 'Anna'\''s <sale> $(rm)'`},
		{relay.Selector{Campaign: "a\x1b[2J\nb"}, `--campaign 'a?[2J?b'`},
	} {
		if got := asFlags(test.is); got != test.want {
			t.Errorf("%+v: %s, want %s", test.is, got, test.want)
		}
	}
}

func TestPrintShape(t *testing.T) {
	const want = `                                             T       5      10      20      40      80     160     320     640    1280   1280+
                                 TOTAL 1203411 1200004    3400       0       0       0       0       0       0       0       7
mx1.example,mx2.example,mx3.example:25 1203400 1200000    3400       0       0       0       0       0       0       0       0
                    mx.dead.example:25       7       0       0       0       0       0       0       0       0       0       7
                              (others)       4       4       0       0       0       0       0       0       0       0       0
`
	var b strings.Builder
	if err := printShape(&b, sampleShape("site"), false); err != nil || b.String() != want {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, &b, want)
	}
}

func TestPausesLines(t *testing.T) {
	var b strings.Builder
	p := pausePrinter{lister{w: bufio.NewWriter(&b)}}
	for _, v := range samplePauses() {
		if err := p.line(&v); err != nil {
			t.Fatal(err)
		}
	}
	p.w.Flush()
	want := fmt.Sprintf(`VERB   SINCE                UNTIL                  NODES  WHO                     WHAT
pause  %s  %s     1200  root (uid 0, pid 812)   --domain a.example: they ?[31mcalled
hold   %s  -                      12304  anna (uid 1000, pid 9)  --campaign autumn --older 1h
`, clock(1_700_000_000), clock(1_700_007_200), clock(1_700_000_060))
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// FuzzParseMoment: whatever is read as a time is in the future.
func FuzzParseMoment(f *testing.F) {
	for _, seed := range []string{"18:30", "24:00", "2026-12-24", "2026-12-24 18:30", "2026-11-26T18:00:00Z", "0000-00-00", "9999-12-31T23:59:59+23:59"} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 26, 18, 30, 0, 0, time.FixedZone("here", 3600))
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseMoment(text, now); err == nil && !got.After(now) {
			t.Fatalf("%q: %s", text, got)
		}
	})
}
