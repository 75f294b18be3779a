package daemon

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// faulty is a listener that meets a fault of our own at one kind of event.
type faulty struct {
	relay.Listener
	at relay.EventKind
}

func (f faulty) Event(e *relay.Event) {
	if e.Kind == f.at {
		panic("wanted panic")
	}
	f.Listener.Event(e)
}

// TestPanicOfAListener: a fault in each listener, at any event, costs neither the daemon nor the message:
// the MTA hears that it is taken, it is delivered once, and nothing is left for the next start.
func TestPanicOfAListener(t *testing.T) {
	for kind := relay.EventTaken; kind <= relay.EventRemoved; kind++ {
		t.Run(fmt.Sprint("event ", kind), func(t *testing.T) {
			far, err := sink.New(sink.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			addr, err := far.Listen("127.0.0.1:0", sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1}}})
			if err != nil {
				t.Fatal(err)
			}
			cfg, socket := configured(t, t.TempDir(), addr, "[retry]\nschedule = ['10ms']\n")
			var log bytes.Buffer
			d, err := New(cfg, hclog.New(&hclog.LoggerOptions{Output: &log}))
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range d.listeners {
				g := l.(guarded)
				g.Listener = faulty{g.Listener, kind}
				d.listeners[i] = g
			}
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			c := dial(t, socket)
			for i := range 2 {
				if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
					t.Fatalf("%+v %v", v, err)
				}
			}
			c.Close()
			for end := time.Now().Add(20 * time.Second); d.handler.Status().Messages > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%+v", d.handler.Status())
				}
			}
			stop(t, d)
			if far.Count() != 2 || strings.Count(log.String(), " [running]") > len(d.listeners) {
				t.Errorf("%d delivered: %s", far.Count(), log.String())
			}
			again, err := New(cfg, hclog.NewNullLogger())
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Start(); err != nil {
				t.Fatal(err)
			}
			if s := again.handler.Status(); s.Restored != 0 {
				t.Errorf("%d restored", s.Restored)
			}
			stop(t, again)
		})
	}
}
