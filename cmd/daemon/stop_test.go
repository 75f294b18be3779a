package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/brake"
	"github.com/millrace/millrace/test/sink"
)

// TestStoppedCampaign: a receiver that refuses a campaign as unauthenticated sees 20 of it and what was under way, the status names it,
// the pause outlasts a kill, and a resume lets the campaign go on. Who was refused while it was stopped is not lost.
func TestStoppedCampaign(t *testing.T) {
	const all = 300
	w := newLeverWorld(t, sink.Character{Faults: []sink.Fault{
		{Stage: sink.Dot, Do: sink.Reply550, Text: "550 5.7.26 This mail is unauthenticated", Match: "u"},
	}})
	w.send(all)
	until := func(what string, met func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %+v, %+v", what, w.handler.Status(), w.lever.Pauses())
			}
		}
	}
	paused := func() bool { return len(w.lever.Pauses()) == 1 }
	until("not stopped", paused)
	until("not all wait", func() bool { s := w.handler.Status(); return s.Active+s.Busy == 0 })
	until("not all are told", func() bool { return !w.Reporting() }) // else the next start would try them again
	s := w.handler.Status()
	if s.Bounced < 20 || s.Bounced > 40 || s.Sent > 0 { // the default pace has a few connections
		t.Errorf("%d bounced, %d sent", s.Bounced, s.Sent)
	}
	p := w.lever.Pauses()[0]
	site := w.pool.SiteOf("x.test")
	if p.Who != brake.Who || p.Selector != (relay.Selector{Campaign: "n.s.test", Sender: "sender.test", Site: site}) || !strings.Contains(p.Reason, "550 5.7.26 This mail is unauthenticated") {
		t.Errorf("%+v", p)
	}
	if reasons := w.Overview().Status().Reasons; len(reasons) != 1 || reasons[0].Who != "n.s.test" || reasons[0].Kind != relay.ReasonPause || !strings.Contains(reasons[0].Reason, "stopped at "+site) {
		t.Errorf("%+v", reasons)
	}
	until("the campaign does not say so", func() bool {
		c := overview{w.Daemon}.Campaigns("", "n.s.test", 1)
		return len(c) == 1 && slices.ContainsFunc(c[0].Faults, func(f string) bool { return strings.HasPrefix(f, "stopped at "+site+": ") })
	})
	bounced := s.Bounced
	w.kill()
	defer func() { stop(t, w.Daemon) }()
	time.Sleep(200 * time.Millisecond)
	if s := w.handler.Status(); !paused() || s.Sent+s.Bounced > 0 || s.Held == 0 {
		t.Errorf("after a kill: %+v, %+v", w.lever.Pauses(), s)
	}
	if err := w.far.Change("far", sink.Character{Name: "far"}); err != nil {
		t.Fatal(err)
	}
	w.act(relay.Act{Verb: relay.VerbResume, Selector: relay.Selector{Campaign: "n.s.test", Site: site}})
	w.act(relay.Act{Verb: relay.VerbFlush})
	until("not all are sent", func() bool { return w.handler.Status().Messages == 0 })
	s = w.handler.Status()
	if s.Sent+bounced != all || s.Bounced > 0 {
		t.Errorf("%d bounced before the kill, then %+v", bounced, s)
	}
	if c := (overview{w.Daemon}).Campaigns("", "n.s.test", 1); c[0].Recipients != all || c[0].Sent != s.Sent || c[0].BouncedBy["auth"] != bounced || c[0].Left != 0 {
		t.Errorf("counted %+v, want %d bounced, then %d sent", c, bounced, all-bounced)
	}
}
