package main

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/rescue"
)

// TestRescueView: what people read of a rescue. Text of receivers cannot command a terminal.
func TestRescueView(t *testing.T) {
	now := time.Now().Unix()
	p := &rescue.Plan{
		Messages: 2100, Recipients: 2200, Carried: 2000,
		Staying: []rescue.Tally{{Text: "its domain is in mydestination", Count: 200}},
	}
	for i := range maxRescueSites + 2 {
		p.Sites = append(p.Sites, rescue.Site{Name: "far.example", Domains: 1 + i, Messages: 90, Recipients: 100, Oldest: now - 200_000, Newest: now - 60,
			Reasons: []rescue.Tally{{Text: "421 \x1b[31mlater", Count: 1234}}, Senders: []rescue.Tally{{Text: "news.example", Count: 90}, {Text: "<>", Count: 10}}})
	}
	var b strings.Builder
	v := rescueView{out: &b}
	if err := v.plan(p); err != nil {
		t.Fatal(err)
	}
	for _, part := range []rescue.Progress{
		rescue.Note("Postfix brings\x1b mail"), {Carried: 2000, Postfix: 1500, Stays: 3, Sent: 400}, {Carried: 2000, Postfix: 1500, Stays: 3, Sent: 400}, {Carried: 2000, Postfix: 3, Stays: 3, Sent: 1900},
	} {
		v.tell(part)
	}
	err := v.report(&rescue.Report{Carried: 2000, Sent: 1900, Waiting: 90, Returned: 5, Left: 3, Elsewhere: 2, Reasons: []rescue.Tally{{Text: "over size_limit", Count: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		"2,100 messages deferred in Postfix, for 2,200 recipients\n\nfar.example: 100 recipients in 90 messages, 1m to 2d7h old\n    1,234  421 ?[31mlater\n     from  news.example, <>\n",
		"\nfar.example and 1 other domain: ",
		"\n2 sites more: 200 recipients\n\ncarried: 2,000 recipients\nstays:   200 recipients: its domain is in mydestination\n",
		"Postfix brings? mail\n1,500 recipients left with Postfix (3 not taken), 400 sent\n3 recipients left with Postfix (3 not taken), 1,900 sent\n",
		"of 2,000 recipients: 1,900 delivered, 90 waiting at Millrace, 5 returned to their senders, 3 left with Postfix, 2 gone by another way\nleft:    3 recipients: over size_limit\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestAge(t *testing.T) {
	for in, want := range map[int64]string{-5: "0s", 59: "59s", 60: "1m", 3600: "1h0m", 90_000: "1d1h"} {
		if got := age(in); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
}
