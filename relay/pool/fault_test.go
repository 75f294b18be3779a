package pool

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// The outcomes of one message whose first visit meets a fault. The site works from then on, so that nothing may be
// lost: it is either delivered, once, or refused for good.
const (
	requeued  = "sent"                  // at once on another connection, not charged
	deferred  = "deferred, sent"        // charged, sent by the retry schedule
	bounced   = "bounced"               // refused for good
	uncertain = "deferred twice?, sent" // the reply to the body is lost: the receiver may have it
)

// faultTable lists what each fault at each stage leads to (RFC 5321 sections 3.8, 4.2.1 and 4.5.3.2, RFC 1047). A greeting or
// EHLO that fails concerns the host, never the message: nothing bounces for it.
var faultTable = map[sink.Stage]map[sink.Action]string{
	sink.Banner: {
		sink.Reply421: deferred, sink.Reply451: deferred, sink.Reply550: deferred, sink.Garbage: deferred,
		sink.Endless: deferred, sink.Disconnect: deferred, sink.Silence: deferred,
	},
	sink.EHLO: {
		sink.Reply421: deferred, sink.Reply451: requeued /* HELO instead */, sink.Reply550: requeued, sink.Garbage: deferred,
		sink.Endless: deferred, sink.Disconnect: deferred, sink.Silence: deferred,
	},
	sink.Mail: {
		sink.Reply421: requeued, sink.Reply451: deferred, sink.Reply550: bounced, sink.Garbage: requeued,
		sink.Endless: requeued, sink.Disconnect: requeued, sink.Silence: requeued,
	},
	sink.Rcpt: {
		sink.Reply421: requeued, sink.Reply451: deferred, sink.Reply550: bounced, sink.Garbage: requeued,
		sink.Endless: requeued, sink.Disconnect: requeued, sink.Silence: requeued,
	},
	sink.Data: {
		sink.Reply421: requeued, sink.Reply451: deferred, sink.Reply550: bounced, sink.Garbage: requeued,
		sink.Endless: requeued, sink.Disconnect: requeued, sink.Silence: requeued,
	},
	sink.Dot: {
		sink.Reply421: requeued, sink.Reply451: deferred, sink.Reply550: bounced, sink.Garbage: uncertain,
		sink.Endless: uncertain, sink.Disconnect: uncertain, sink.Silence: uncertain,
	},
	// Unasked, after the message was accepted: it stays sent.
	sink.Between: {
		sink.Reply421: requeued, sink.Reply451: requeued, sink.Reply550: requeued, sink.Garbage: requeued,
		sink.Endless: requeued, sink.Disconnect: requeued, sink.Silence: requeued,
	},
}

var stageNames = map[sink.Stage]string{
	sink.Banner: "banner", sink.EHLO: "EHLO", sink.Mail: "MAIL", sink.Rcpt: "RCPT", sink.Data: "DATA", sink.Dot: "dot", sink.Between: "between",
}

var actionNames = map[sink.Action]string{
	sink.Reply421: "421", sink.Reply451: "451", sink.Reply550: "550", sink.Garbage: "garbage", sink.Endless: "endless",
	sink.Disconnect: "disconnect", sink.Silence: "silence",
}

func TestFaultTable(t *testing.T) {
	for _, stage := range []sink.Stage{sink.Banner, sink.EHLO, sink.Mail, sink.Rcpt, sink.Data, sink.Dot, sink.Between} {
		for _, do := range []sink.Action{sink.Reply421, sink.Reply451, sink.Reply550, sink.Garbage, sink.Endless, sink.Disconnect, sink.Silence} {
			for _, pipelined := range []bool{true, false} {
				name := stageNames[stage] + "/" + actionNames[do]
				if !pipelined {
					name += "/lockstep"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					testFault(t, sink.Fault{Stage: stage, Do: do, Times: 1}, pipelined, faultTable[stage][do])
				})
			}
		}
	}
}

func testFault(t *testing.T, f sink.Fault, pipelined bool, want string) {
	w := newWorld(t, quick(), 50*time.Millisecond)
	c := sink.Character{Faults: []sink.Fault{f}, Extensions: []string{"8BITMIME"}}
	if pipelined {
		c.Extensions = append(c.Extensions, "PIPELINING")
	}
	w.listen("x", c)
	w.send("a@x")
	w.drained()
	// A second message shows that the site still works for others.
	w.send("b@x")
	w.drained()
	if got := story(w.happened(), "a@x"); got != want {
		t.Errorf("outcome %q, want %q", got, want)
	}
	if got := story(w.happened(), "b@x"); got != requeued {
		t.Errorf("the message behind it: %q", got)
	}
	copies := 0
	for _, d := range w.sink.Deliveries() {
		if d.Rcpt == "a@x" {
			copies++
		}
	}
	if allowed := strings.Count(want, "sent"); copies != allowed {
		t.Errorf("%d copies arrived, want %d", copies, allowed)
	}
}

func story(events []string, rcpt string) string {
	var parts []string
	for _, e := range events {
		outcome, rest, _ := strings.Cut(e, " ")
		if addr, twice, _ := strings.Cut(rest, " "); addr == rcpt {
			if twice != "" {
				outcome += " twice?"
			}
			parts = append(parts, outcome)
		}
	}
	return strings.Join(slices.Compact(parts), ", ")
}
