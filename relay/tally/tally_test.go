package tally

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// start is when the tests begin.
var start = time.Unix(1_700_000_000, 0)

// letter is a message of a campaign with so many recipients.
func letter(f relay.FlowName, rcpts int, class string) *relay.Message {
	m := &relay.Message{ID: 1, Slip: &relay.Slip{Flow: f, Class: class, Arrived: start, Taken: start}}
	for i := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, relay.Rcpt{Addr: fmt.Sprintf("r%d@example.com", i)})
	}
	return m
}

// settled is the event of one recipient of m.
func settled(m *relay.Message, o relay.Outcome, site string, at time.Time) *relay.Event {
	return &relay.Event{Kind: relay.EventSettled, Time: at, Message: m, Outcome: o, Site: site}
}

var unknownUser = smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"User unknown"}}

// TestCountsOfOneCampaign follows one message of four recipients through every outcome.
func TestCountsOfOneCampaign(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Tenant: "shop", Name: "spring", Sender: "example.org", Urgent: true}, 6, relay.ClassRemote)
	y.Taken(m, 1)
	for _, o := range []relay.Outcome{relay.Deferred, relay.Deferred, relay.Sent, relay.Bounced, relay.Expired, relay.HandedBack, relay.Deleted} {
		e := settled(m, o, "mx.example.com", start.Add(time.Minute))
		if o == relay.Bounced {
			e.Reply = unknownUser
		}
		y.Count(e)
	}
	y.Append(nil, false)
	want := Counts{Messages: 1, Recipients: 6, Sent: 1, Deferred: 2, Bounced: 1, Expired: 1, HandedBack: 1, Deleted: 1, Left: 1,
		First: start.Unix() + 60, LastTaken: start.Unix() + 60, LastSent: start.Unix() + 60}
	want.BouncedBy[smtp.BadMailbox] = 1
	for name, got := range map[string]Counts{"tenant": y.Counts("shop"), "installation": y.Installation(),
		"campaign": y.campaign(relay.FlowName{Tenant: "shop", Name: "spring", Sender: "example.org"}).counts()} {
		want.LastMessage = 0
		if name == "campaign" {
			want.LastMessage = m.ID
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	if got := y.site("mx.example.com").counts(); got.Sent != 1 || got.Bounced != 1 || got.Messages != 0 {
		t.Errorf("site: %+v", got)
	}
	if got := y.Counts("nobody"); got != (Counts{}) {
		t.Errorf("a tenant that has sent nothing: %+v", got)
	}
}

// TestOwnMailCountsApart: notifications are nobody's campaign, and what a receiver takes of them is not sent by the allowance.
func TestOwnMailCountsApart(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{}, 1, relay.ClassInject)
	y.Taken(m, 1)
	y.Count(settled(m, relay.Sent, "inject", start))
	if got := y.Installation(); got != (Counts{}) {
		t.Errorf("installation: %+v", got)
	}
	if got := y.Own(); got.Messages != 1 || got.Sent != 1 || got.Left != 0 {
		t.Errorf("own: %+v", got)
	}
	if len(y.campaigns)+len(y.sites) != 0 {
		t.Errorf("%d campaigns and %d sites", len(y.campaigns), len(y.sites))
	}
}

// TestTakenBack: a message that was not taken after all leaves no trace in the sums, before or after the commit.
func TestTakenBack(t *testing.T) {
	for _, committed := range []bool{false, true} {
		y, back := New(DefaultConfig()), New(DefaultConfig())
		m := letter(relay.FlowName{Name: "a"}, 3, relay.ClassRemote)
		y.Taken(m, 1)
		if committed {
			replay(t, back, y.Append(nil, false))
		}
		y.Taken(m, -1)
		if p := y.Append(nil, false); len(p) > 0 {
			replay(t, back, p)
		}
		for name, z := range map[string]*Tally{"live": y, "replayed": back} {
			if got := z.Installation(); got.Messages != 0 || got.Recipients != 0 || got.Left != 0 {
				t.Errorf("committed %v, %s: %+v", committed, name, got)
			}
		}
	}
}

// TestRestoredMailIsLeft: what the recovery agent brings back is left, and leaves by its outcome.
func TestRestoredMailIsLeft(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Tenant: "t", Name: "a"}, 5, relay.ClassRemote)
	y.Restored(&relay.Saved{Message: m, Nodes: []relay.SavedNode{{Rcpts: []int{1, 2}}, {Index: 1, Rcpts: []int{4}}}})
	y.Count(settled(m, relay.Sent, "", start))
	if got := y.Counts("t"); got.Left != 2 || got.Messages != 0 || got.Sent != 1 {
		t.Errorf("%+v", got)
	}
}

// TestCountAllocatesNothing for a key that is known.
func TestCountAllocatesNothing(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Name: "a", Sender: "example.org"}, 1, relay.ClassRemote)
	e := settled(m, relay.Sent, "mx", start)
	b := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		y.Taken(m, 1)
		y.Count(e)
		y.Append(b, false)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCount counts recipients of 1,000 campaigns at 100 sites.
func BenchmarkCount(b *testing.B) {
	y := New(DefaultConfig())
	var events []*relay.Event
	for i := range 1000 {
		m := letter(relay.FlowName{Tenant: "shop", Name: fmt.Sprint("campaign-2026-", i), Sender: "news.example.org"}, 1, relay.ClassRemote)
		events = append(events, settled(m, relay.Sent, fmt.Sprint("mx.example.com#", i%100), start))
	}
	for i := range 1000 {
		y.Count(events[i])
	}
	for _, e := range y.campaigns {
		e.left = 1 << 40
	}
	i := 0
	for b.Loop() {
		y.Count(events[i%1000])
		if i++; i%100 == 0 {
			y.Append(nil, false)
		}
	}
}
