package main

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/console"
)

func sampleCampaigns() []console.Campaign {
	return []console.Campaign{
		{
			Tenant: "shop", Name: "autumn\x1b[31m", Sender: "n.example", LastMessage: "CQ03L", Rate: 12.5, ETA: 3840, Faults: []string{"List-Unsubscribe-Post is not in h= of\r\nthe signature"},
			Tallied: console.Tallied{
				Messages: 100_000, Recipients: 100_010, Sent: 50_000, Deferred: 7, Bounced: 2005, BouncedBy: map[string]int64{"auth": 5, "bad-mailbox": 2000},
				Expired: 1, HandedBack: 2, Suppressed: 3, Deleted: 4, Left: 48_000, First: 1_700_000_000, LastTaken: 1_700_000_030, LastSent: 1_700_000_050,
			},
		},
		{Sender: "small.example", Tallied: console.Tallied{Messages: 1, Recipients: 1, Left: 1, First: 1_699_000_000, LastTaken: 1_699_000_000}},
		{Tenant: "shop", Rest: true, Tallied: console.Tallied{Messages: 12, Recipients: 12, Sent: 12}},
	}
}

func sampleStatistics() []console.Statistic {
	return []console.Statistic{
		{Time: 1_700_000_040, Span: 60, Messages: 1000, Sent: 1500, Deferred: 12, Bounced: 3, Expired: 1, HandedBack: 2, Peak: 120, Left: 4500},
		{Time: 1_700_000_100, Span: 60},
	}
}

func TestCampaignLines(t *testing.T) {
	const want = `      TAKEN        SENT   BOUNCED  DEFERRED     OTHER        LEFT     RATE     ETA    LAST  CAMPAIGN
    100,010      50,000     2,005         7        10      48,000   12.5/s   1h04m     10s  shop/autumn?[31m
          1           0         0         0         0           1        -       ?  11d  small.example
         12          12         0         0         0           0        -       -       -  shop/(other campaigns)
`
	var b strings.Builder
	p := campaignPrinter{lister{w: bufio.NewWriter(&b), now: time.Unix(1_700_000_060, 0)}}
	for _, c := range sampleCampaigns() {
		if err := p.line(&c); err != nil {
			t.Fatal(err)
		}
	}
	p.w.Flush()
	if got := b.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCampaignBlock(t *testing.T) {
	want := strings.NewReplacer("FIRST", clock(1_700_000_000), "TAKEN", clock(1_700_000_030), "SENT", clock(1_700_000_050), "DONE", clock(1_700_003_900),
		"OLD", clock(1_699_000_000)).Replace(`Campaign    autumn?[31m
Tenant      shop
Sender      n.example
Taken       100,000 messages, 100,010 recipients
Sent        50,000
Deferred    7 visits
Bounced     2,005: 2,000 bad-mailbox, 5 auth
Other       1 expired, 2 handed back, 3 suppressed, 4 deleted
Left        48,000; at 12.5/s done in 1h04m, at DONE
First       FIRST
Last taken  TAKEN, message CQ03L
Last sent   SENT
Fault       List-Unsubscribe-Post is not in h= of??the signature

Campaign    -
Tenant      -
Sender      small.example
Taken       1 messages, 1 recipients
Sent        0
Deferred    0 visits
Bounced     0
Other       0 expired, 0 handed back, 0 suppressed, 0 deleted
Left        1; none was settled lately
First       OLD
Last taken  OLD
Last sent   never
`)
	var b strings.Builder
	p := campaignPrinter{lister{w: bufio.NewWriter(&b), now: time.Unix(1_700_000_060, 0)}}
	for _, c := range sampleCampaigns()[:2] {
		if err := p.block(&c); err != nil {
			t.Fatal(err)
		}
	}
	p.w.Flush()
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatLines(t *testing.T) {
	want := strings.NewReplacer("FIRST", clock(1_700_000_040)[:16], "THEN", clock(1_700_000_100)[:16]).Replace(
		`SINCE               MESSAGES        SENT    DEFERRED   BOUNCED     OTHER      PEAK        LEFT
FIRST       1,000       1,500          12         3         3     120/s       4,500
THEN           0           0           0         0         0         -           0
`)
	var b strings.Builder
	p := statPrinter{lister{w: bufio.NewWriter(&b)}}
	for _, v := range sampleStatistics() {
		if err := p.line(&v); err != nil {
			t.Fatal(err)
		}
	}
	p.w.Flush()
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
