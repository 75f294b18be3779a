package main

import (
	"bufio"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/console"
)

// printed is what a printer writes a minute after the sample's messages arrived.
func printed(t *testing.T, sources bool, write func(*sitePrinter) error) string {
	t.Helper()
	var b strings.Builder
	p := sitePrinter{lister: lister{w: bufio.NewWriter(&b), now: time.Unix(1_700_000_060, 0)}, sources: sources}
	if err := write(&p); err != nil {
		t.Fatal(err)
	}
	p.w.Flush()
	return b.String()
}

func TestSitesLines(t *testing.T) {
	closed := clock(1_700_000_600)
	for _, c := range []struct {
		name    string
		sources bool
		want    string
	}{
		{"without sources", false, `SITE                              WINDOW            RATE               GOODPUT     OPEN  QUEUES    NODES  OLDEST  STATE
mx1.example,mx2.example:25        3/10 learned      5/s rule goo        4.25/s     4(1)    1200     3400  1m00s+  waiting for its turn: 5/s; slowed 1m00s ago: 421 4.7.0 ?[31mslow??down; learned for 2h47m
mx.dead.example:25                0/0 default       -                        -     0(0)       1        7  27h47m  closed until CLOSED: connect to mx.dead.example[192.0.2.9]:25: refused
`},
		{"with sources", true, `SITE                              SOURCE        WINDOW            RATE               GOODPUT     OPEN  QUEUES    NODES  OLDEST  STATE
mx1.example,mx2.example:25        news-1        3/10 learned      5/s rule goo        4.25/s     4(1)    1200     3400  1m00s+  waiting for its turn: 5/s; slowed 1m00s ago: 421 4.7.0 ?[31mslow??down; learned for 2h47m
mx.dead.example:25                -             0/0 default       -                        -     0(0)       1        7  27h47m  closed until CLOSED: connect to mx.dead.example[192.0.2.9]:25: refused
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := printed(t, c.sources, func(p *sitePrinter) error {
				for _, s := range sampleSites() {
					if err := p.line(&s); err != nil {
						return err
					}
				}
				return nil
			})
			if want := strings.ReplaceAll(c.want, "CLOSED", closed); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSiteBlocks(t *testing.T) {
	want := fmt.Sprintf(`Site        mx1.example,mx2.example:25
Host        mx1.example
Host        mx2.example
Source      news-1
Provider    gmail
Rule        goo
Terms       tls may; at most 50 messages a connection, 100 recipients and 1 domains a transaction
Warm-up     120 of today's 200 recipients are spent at gmail
Window      3 of 10 at work, 1 of them slow; set by learned
Ceiling     11 connections, as the site's refusals have shown
Rate        5/s at most; set by rule goo
Goodput     4.25/s; a message is answered in 120 ms
Connections 4 open, 1 of them idle
Learned     since %s
Slowed      %s: 421 4.7.0 ?[31mslow??down
Waiting     3400 nodes in 1200 queues, the oldest since %[2]s or before
Flow        tenant shop, name autumn, sender n.example: 3000 nodes in 900 queues
Flow        tenant -, name -, sender reset.example, urgent: 40 nodes in 40 queues
Flow        3 more
Suspended   mail of bad.example until %s: 554 policy
In clear    mx1.example[192.0.2.1]:25, 3 connections, until %s: 454 no
Held up     waiting for its turn: 5/s

Site        mx.dead.example:25
Host        mx.dead.example
Source      -
Provider    -
Rule        -
Terms       tls may; at most 100 messages a connection, 100 recipients and any domains a transaction
Window      0 of 0 at work, 0 of them slow; set by default
Rate        no limit
Goodput     -
Connections 0 open, 0 of them idle
Waiting     7 nodes in 1 queues, the oldest since %s
Closed      until %s: connect to mx.dead.example[192.0.2.9]:25: refused
`, clock(1_699_990_000), clock(1_700_000_000), clock(1_700_001_000), clock(1_700_002_000), clock(1_699_900_000), clock(1_700_000_600))
	got := printed(t, true, func(p *sitePrinter) error {
		for _, s := range sampleSites() {
			if err := p.block(&s); err != nil {
				return err
			}
		}
		return nil
	})
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestSiteState: each fact that keeps mail from a site, or has slowed it, is in its line.
func TestSiteState(t *testing.T) {
	p := sitePrinter{lister: lister{now: time.Unix(1_700_000_060, 0)}}
	for _, c := range []struct {
		site console.Site
		want string
	}{
		{console.Site{}, "-"},
		{console.Site{Reason: "refused", ClosedUntil: 1_700_000_060}, "on trial: refused"},
		{console.Site{Reason: "refused"}, "on trial: refused"},
		{console.Site{Reason: "a\x1b[2Jb", ClosedUntil: 1_700_000_061}, "closed until " + clock(1_700_000_061) + ": a?[2Jb"},
		{console.Site{LearnedSince: 1_700_000_000}, "learned for 1m00s"},
	} {
		if got := p.state(&c.site); got != c.want {
			t.Errorf("%+v: %q, want %q", c.site, got, c.want)
		}
	}
}

func TestSitesTotal(t *testing.T) {
	for _, c := range []struct {
		count int
		every bool
		want  string
	}{
		{0, false, "No site is known: nothing was sent lately\n"},
		{0, true, "No site is known: nothing was sent lately\n"},
		{999, false, ""},
		{1000, false, "-- the first 1000; --all lists every site\n"},
		{1000, true, ""},
	} {
		got := printed(t, false, func(p *sitePrinter) error { p.count = c.count; p.total(c.every); return nil })
		if got != c.want {
			t.Errorf("%d, %t: %q, want %q", c.count, c.every, got, c.want)
		}
	}
}

func TestPerSecond(t *testing.T) {
	for rate, want := range map[float64]string{
		0: "-", -1: "-", 1234.6: "1235/s", 99.96: "100/s", 50: "50/s", 1: "1/s", 0.9999: "1/s", 0.5: "30/m", 1.0 / 60: "1/m", 1.0 / 120: "30/h", 1.0 / 7200: "12/d",
		math.SmallestNonzeroFloat64: "4.27e-319/d",
	} {
		if got := perSecond(rate); got != want {
			t.Errorf("%g: %s, want %s", rate, got, want)
		}
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", time.Hour: "1h00m", 47*time.Hour + 59*time.Minute: "47h59m", 48 * time.Hour: "2d",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

// TestPrintSources: the line names each source, and of its plans the one that leaves the least room.
func TestPrintSources(t *testing.T) {
	for _, c := range []struct {
		sources []console.SourceStatus
		want    string
	}{
		{nil, ""},
		{[]console.SourceStatus{{Name: "a"}, {Name: "b", Reserved: true}}, "sources  a, b (reserved)\n"},
		{[]console.SourceStatus{{Name: "a", Plans: 2, Warming: []console.Warming{{Provider: "gmail", Plan: 50, Spent: 49}, {Plan: 50}}}},
			"sources  a (2 warm-up plans; today 49 of 50 at gmail)\n"},
		{[]console.SourceStatus{{Name: "a", Plans: 1, Warming: []console.Warming{{Plan: 50}}}}, "sources  a (1 warm-up plans; today 0 of 50 at others)\n"},
	} {
		var b strings.Builder
		if printSources(&b, c.sources); b.String() != c.want {
			t.Errorf("%q, want %q", &b, c.want)
		}
	}
}
