package pool

import (
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// patient waits for the reply to a body as long as a busy machine needs: an early end is a second copy.
func (w *world) patient() { w.retime(func(to *smtp.Timeouts) { to.Dot = 10 * time.Second }) }

// A receiver that has said "taken" in a reply of mixed codes gets no second copy.
func TestMixedReplyToTheBody(t *testing.T) {
	for name, text := range map[string]string{
		"mixed codes": "200-scanned\r\n250 2.0.0 ok", "no reply before it": "X-Scan: clean\r\n250 2.0.0 ok",
	} {
		for _, pipelined := range []string{"PIPELINING", "8BITMIME"} {
			t.Run(name+"/"+pipelined, func(t *testing.T) {
				w := newWorld(t, quick(), 10*time.Millisecond)
				w.patient()
				w.listen("x", sink.Character{
					Extensions: []string{pipelined},
					Faults:     []sink.Fault{{Stage: sink.Dot, Do: sink.Reply451, Text: text, Take: true}},
				})
				for range 20 {
					w.send("a@x")
				}
				w.drained()
				if w.count("sent a@x") != 20 || len(w.happened()) != 20 || len(w.sink.Deliveries()) != 20 {
					t.Errorf("%d copies arrived; events %q", len(w.sink.Deliveries()), w.happened())
				}
			})
		}
	}
}

// One recipient's odd answer costs the others nothing, whatever it is, and does not close the site.
func TestOddAnswerToOneRecipient(t *testing.T) {
	for name, f := range map[string]sink.Fault{
		"mixed codes":          {Do: sink.Reply451, Text: "450-4.2.0 see\r\n451 4.2.0 later"},
		"no known class":       {Do: sink.Reply451, Text: "999 what"},
		"reply of DATA":        {Do: sink.Reply451, Text: "354 go"},
		"no reply":             {Do: sink.Garbage},
		"no reply and a reply": {Do: sink.Reply451, Text: "what?\r\n451 4.2.0 later"},
	} {
		for _, pipelined := range []string{"PIPELINING", "8BITMIME"} {
			t.Run(name+"/"+pipelined, func(t *testing.T) {
				w := newWorld(t, quick(), time.Hour)
				w.patient()
				f.Stage, f.Match = sink.Rcpt, "odd"
				w.listen("x", sink.Character{Extensions: []string{pipelined}, Faults: []sink.Fault{f}})
				w.send("a@x", "b@x", "c@x", "odd@x", "d@x", "e@x", "f@x")
				w.eventually("all are settled", func() bool { return len(w.happened()) >= 7 })
				for _, rcpt := range []string{"a", "b", "c", "d", "e", "f"} {
					if w.count("sent "+rcpt+"@x") != 1 {
						t.Errorf("%s: events %q", rcpt, w.happened())
					}
				}
				if w.count("deferred odd@x") != 1 || len(w.sink.Deliveries()) != 6 {
					t.Errorf("%d copies arrived; events %q", len(w.sink.Deliveries()), w.happened())
				}
				if why := siteFor(w.pool, w.Lookup("x")).pace.Closed(); why.Waits() {
					t.Errorf("the site is closed: %v", why)
				}
			})
		}
	}
}

// A receiver that answers the body again and again with a code that cannot stand there gets two copies, not one at every
// visit, and the sender hears of it.
func TestSenselessReplyIsNotRepeatedForEver(t *testing.T) {
	for _, f := range []sink.Fault{
		{Stage: sink.Dot, Do: sink.Reply451, Text: "354 go on", Take: true}, {Stage: sink.Dot, Do: sink.Reply451, Text: "999 what", Take: true},
		{Stage: sink.Rcpt, Do: sink.Reply451, Text: "999 what"}, {Stage: sink.Mail, Do: sink.Reply451, Text: "199 wait"},
	} {
		t.Run(stageNames[f.Stage]+" "+f.Text, func(t *testing.T) {
			w := newWorld(t, quick(), 10*time.Millisecond)
			w.patient()
			w.listen("x", sink.Character{Faults: []sink.Fault{f}})
			w.send("a@x")
			w.drained()
			if w.count("bounced a@x") != 1 || len(w.happened()) != 2 || w.sink.Count() > 2 {
				t.Errorf("%d copies, events %q", w.sink.Count(), w.happened())
			}
		})
	}
}
