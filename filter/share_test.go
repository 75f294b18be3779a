package filter

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestShareText(t *testing.T) {
	for text, want := range map[string]Share{"10%": 100, "100%": 1000, "100.0%": 1000, "0.1%": 1, "33.3%": 333, "05%": 50} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "%", "10", "0%", "0.0%", "100.1%", "101%", "-1%", "+1%", "1e1%", "10 %", ".5%", "5.%", "0.25%", "1.+%", "99999999999%", "10%%", "1.5.1%"} {
		s := Share(7)
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 7 {
			t.Errorf("%q is %d", text, s)
		}
	}
	for s, want := range map[Share]string{1: "0.1%", 100: "10%", 333: "33.3%", WholeShare: "100%"} {
		if text, _ := s.MarshalText(); string(text) != want {
			t.Errorf("%d: %s", s, text)
		}
	}
}

// FuzzShare: what is read is within bounds and is read again as it is written.
func FuzzShare(f *testing.F) {
	f.Add("10%")
	f.Add("0.5%")
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Share
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s || s < 1 || s > WholeShare {
			t.Errorf("%q: %d is written %s and read as %d, %v", text, s, s, again, err)
		}
	})
}

func TestShareIsValidated(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"share: ":    func(c *Config) { c.Share = 0 },
		"share: a":   func(c *Config) { c.Share = WholeShare + 1 },
		"share_by: ": func(c *Config) { c.ShareBy = "client" },
	} {
		c := DefaultConfig()
		if change(&c); c.Validate() == nil || !strings.HasPrefix(c.Validate().Error(), want) {
			t.Errorf("%v, want %s", c.Validate(), want)
		}
	}
}

// TestPlaceStays: a place is for ever. An update of Millrace must not move senders to and fro.
func TestPlaceStays(t *testing.T) {
	for name, want := range map[string]Share{
		"": 305, "news@example.com": 749, "gmail.com": 838, "d1.example": 120, "news+bounces-17-user=example.net@lists.example.org": 268,
	} {
		if got := place(name); got != want {
			t.Errorf("%q has place %d, want %d", name, got, want)
		}
	}
	if place("News@Example.COM") != place("news@example.com") {
		t.Error("case matters")
	}
}

// TestPlaceIsUniform: names that differ in one place, at the begin or at the end, spread evenly. The statistic of the chi-square
// test for 1000 places is within five standard deviations.
func TestPlaceIsUniform(t *testing.T) {
	const names = 200_000
	for form, name := range map[string]func(i int) string{
		"number behind": func(i int) string { return fmt.Sprintf("sender%d@example.com", i) },
		"number before": func(i int) string { return fmt.Sprintf("%d.example.org", i) },
		"VERP":          func(i int) string { return fmt.Sprintf("news+bounces-17-user%06d=example.net@lists.example.org", i) },
		"few letters": func(i int) string {
			return string([]byte{byte('a' + i/17576%26), byte('a' + i/676%26), byte('a' + i/26%26), byte('a' + i%26)})
		},
	} {
		var counts [WholeShare]int
		for i := range names {
			counts[place(name(i))]++
		}
		chi := 0.0
		const mean = float64(names) / float64(WholeShare)
		for _, n := range counts {
			chi += (float64(n) - mean) * (float64(n) - mean) / mean
		}
		if off := (chi - 999) / math.Sqrt(2*999); math.Abs(off) > 5 {
			t.Errorf("%s: chi-square %.0f of 999 degrees is off by %.1f standard deviations", form, chi, off)
		}
	}
}

// TestShareGrows: whoever is in a share is in each larger one, and all are in the whole.
func TestShareGrows(t *testing.T) {
	for i := range 2000 {
		name, in := fmt.Sprintf("sender%d@example.com", i), false
		for s := Share(1); s <= WholeShare; s++ {
			if now := s.has(name); in && !now {
				t.Fatalf("%s is in a smaller share than %s and not in this", name, s)
			} else if in = now; s == WholeShare && !in {
				t.Fatalf("%s is not in the whole", name)
			}
		}
	}
}

// TestLargeProvidersComeLate: the first half of the domains has none of the largest.
func TestLargeProvidersComeLate(t *testing.T) {
	for domain := range strings.FieldsSeq("gmail.com googlemail.com outlook.com hotmail.com live.com yahoo.com icloud.com aol.com gmx.de gmx.net web.de t-online.de mail.ru qq.com 163.com orange.fr") {
		if p := place(domain); p < 500 {
			t.Errorf("%s has place %d", domain, p)
		}
	}
}

func TestPlaceIsCheap(t *testing.T) {
	sum := Share(0)
	if n := testing.AllocsPerRun(100, func() { sum += place("news@example.com") }); n > 0 || sum == 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPlace(b *testing.B) {
	for b.Loop() {
		_ = place("news+bounces-17-user000123=example.net@lists.example.org")
	}
}

// shared is an intake that takes a share.
func shared(t *testing.T, mode, share, by string) *site {
	t.Helper()
	s := newSite(t, mode, wideLimits())
	s.in.Reload(compileShare(t, share, by), nil, mode)
	return s
}

func compileShare(t *testing.T, share, by string) *Filter {
	t.Helper()
	c := DefaultConfig()
	if err := c.Share.UnmarshalText([]byte(share)); err != nil {
		t.Fatal(err)
	}
	c.ShareBy = by
	f, err := Compile(c, "mx.example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestShareOfMail: what is outside of the share stays with the MTA, and only that. Mail that is not bulk, or that has to stay for
// another reason, is counted as ever.
func TestShareOfMail(t *testing.T) {
	const in, out, inDomain, outDomain = "news12@example.com", "news0@example.com", "d9.example", "d0.example"
	from := func(sender string) string { return strings.Replace(newsletter(end...), "news@example.com", sender, 1) }
	to := func(domains ...string) string {
		lines := ""
		for _, d := range domains {
			lines += "RCPT <a@" + d + ">\n"
		}
		return strings.Replace(newsletter(end...), "RCPT <a@example.net>\n", lines, 1)
	}
	const outside = "EOH: outside bulk.share"
	for _, tt := range []struct {
		name, by, script, want string
		door                   lineDoor
		left                   Cause // one message is left for it; CauseOther: none
	}{
		{name: "sender in", by: ShareBySender, script: from(in), want: "taken 1"},
		{name: "sender in, in capitals", by: ShareBySender, script: from(strings.ToUpper(in)), want: "taken 1"},
		{name: "sender out", by: ShareBySender, script: from(out), want: outside, left: CauseShare},
		{name: "domain in", by: ShareByDomain, script: to(inDomain), want: "taken 1"},
		{name: "domain in, whoever sends", by: ShareByDomain, script: strings.Replace(to(inDomain), "news@example.com", out, 1), want: "taken 1"},
		{name: "domain out", by: ShareByDomain, script: to(outDomain), want: outside, left: CauseShare},
		{name: "some domains out", by: ShareByDomain, script: to(outDomain, inDomain, outDomain), door: lineDoor{lmtp: true},
			want: "yours a@" + outDomain + ", ours a@" + inDomain + ", yours a@" + outDomain},
		{name: "all domains out", by: ShareByDomain, script: to(outDomain, "d1.example"), door: lineDoor{lmtp: true}, want: outside, left: CauseShare},
		{name: "not bulk", by: ShareBySender, script: strings.Replace(from(out), "List-Id", "X-Id", 1), want: "EOH: no rule matches"},
		{name: "nobody to take", by: ShareBySender, script: from(out), door: lineDoor{mailer: "local"}, want: "EOH: no recipient may be taken", left: CauseLocal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := shared(t, Deliver, "10%", tt.by)
			tt.door.in = s.in
			if got := tt.door.send(tt.script); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			var want LeftBy
			if tt.left != CauseOther {
				want[tt.left] = 1
			}
			if got := s.in.Status(); got.LeftBy != want || got.Seen() != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestShareAfterReload: a larger share takes what was outside, and the whole takes all.
func TestShareAfterReload(t *testing.T) {
	s := shared(t, Deliver, "0.1%", ShareBySender)
	taken := 0
	for _, share := range []string{"0.1%", "20%", "80%", "100%"} {
		s.in.Reload(compileShare(t, share, ShareBySender), nil, Deliver)
		n := 0
		for i := range 100 {
			if strings.HasPrefix((&lineDoor{in: s.in}).send(strings.Replace(newsletter(end...), "news@", fmt.Sprintf("news%d@", i), 1)), "taken") {
				n++
			}
		}
		if n < taken || share == "100%" && n != 100 || share == "20%" && (n < 5 || n > 40) {
			t.Errorf("%s: %d of 100 senders after %d", share, n, taken)
		}
		taken = n
	}
}

// TestShareInObserveMode: the log tells what would be taken from what would stay.
func TestShareInObserveMode(t *testing.T) {
	const in, out = "news12@example.com", "news0@example.com"
	s := shared(t, Observe, "10%", ShareBySender)
	for _, sender := range []string{in, out} {
		(&lineDoor{in: s.in}).send(strings.Replace(newsletter(end...), "news@example.com", sender, 1))
	}
	for _, want := range []string{"would take: id=\"\" from=" + in, "would stay, outside bulk.share: id=\"\" from=" + out} {
		if strings.Count(s.log.String(), want) != 1 {
			t.Errorf("no %q in\n%s", want, s.log)
		}
	}
	if got := s.in.Status(); got.Observed != 1 || got.LeftBy[CauseShare] != 1 {
		t.Errorf("%+v", got)
	}
}
