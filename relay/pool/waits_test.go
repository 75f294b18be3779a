package pool

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// TestWaits: the reason why the mail of a site waits ends when the site is looked at next, or is signalled and looked for soon.
func TestWaits(t *testing.T) {
	now := time.Date(2026, 6, 1, 23, 0, 0, 0, time.UTC)
	journal := func(s *Site) { s.m.handler.(waiting).journal.hush(errFull) }
	shortage := func(s *Site) { s.m.machine.noteShortage(now, "no file descriptors") }
	quiet := func(s *Site) { s.terms = quietTerms(t, "22:00-06:00") }
	atWork := func(s *Site) {
		s.pace.Answered()
		s.agents = 1
	}
	closed := func(d time.Duration) func(*Site) {
		return func(s *Site) {
			s.m.cfg.Load().ClosedFor = []time.Duration{d}
			s.pace.Failed(now, "refused")
		}
	}
	for _, test := range []struct {
		name  string
		do    []func(*Site)
		want  relay.ReasonKind
		text  string
		opens time.Duration
	}{
		{"under way", []func(*Site){atWork}, relay.ReasonNone, "", tick},
		{"no agent", nil, relay.ReasonConnection, "waiting for a connection to the site", tick},
		{"journal", []func(*Site){journal}, relay.ReasonJournal, "nothing is sent that cannot be recorded: disk full", tick},
		{"shortage", []func(*Site){shortage}, relay.ReasonMachine, "this machine cannot connect: no file descriptors", shortageFirst},
		{"closed, journal", []func(*Site){closed(time.Hour), journal}, relay.ReasonSite, "refused", time.Hour},
		{"closed, shortage", []func(*Site){closed(time.Hour), shortage}, relay.ReasonSite, "refused", time.Hour},
		{"closed, for longer a shortage", []func(*Site){closed(time.Millisecond), shortage}, relay.ReasonMachine, "this machine cannot connect: no file descriptors", shortageFirst},
		{"quiet, journal", []func(*Site){quiet, journal}, relay.ReasonSite, "quiet hours by ", 7 * time.Hour},
		{"quiet longer than closed", []func(*Site){quiet, closed(time.Hour)}, relay.ReasonSite, "quiet hours by ", 7 * time.Hour},
		{"closed longer than quiet", []func(*Site){quiet, closed(8 * time.Hour)}, relay.ReasonSite, "refused", 8 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newWaiting(t)
			for _, do := range test.do {
				do(s)
			}
			why, opens := s.waits(now), s.opens(now).Sub(now)
			if why.Kind != test.want || why.Text != test.text || opens != test.opens {
				t.Errorf("%s %q, looked at in %s; want %s %q in %s", why.Kind, why.Text, opens, test.want, test.text, test.opens)
			}
			if until := why.Until; !until.IsZero() && !until.Equal(now.Add(opens)) {
				t.Errorf("%q until %s, and looked at at %s", why.Text, until, now.Add(opens))
			}
		})
	}
}

// waiting is a handler with a journal of the test's own.
type waiting struct {
	*relay.Handler
	journal *record
}

// newWaiting is a site with a message in its line, and no agent.
func newWaiting(t *testing.T) *Site {
	t.Helper()
	j := &record{}
	queues := relay.NewQueueMap(relay.DefaultQueueConfig(), relay.Deps{Journal: j})
	queues.Open()
	h := waiting{relay.NewHandler(queues, relay.DefaultRetryConfig(), relay.HandbackConfig{}), j}
	m := New(quick(), Deps{Handler: h, Channels: 1, Line: func() *relay.Line { return relay.NewLine(relay.RoundRobin, 0) }, Log: hclog.NewNullLogger()})
	msg := &relay.Message{Slip: &relay.Slip{}, ID: 1, Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")})}
	msg.Slip.Rcpts = []relay.Rcpt{{Addr: "a@x"}}
	if err := queues.Accept(msg); err != nil {
		t.Fatal(err)
	}
	s := siteFor(m, &route.Route{Domain: "x", Site: "x"})
	s.line.Push(h.Next(t.Context()))
	return s
}
