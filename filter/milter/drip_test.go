package milter

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	lib "github.com/emersion/go-milter"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/standin"
)

// ripe makes the next message that may be dripped the one that is.
func (r *rig) ripe() *rig {
	r.door.drip.since = dripEvery - 1
	return r
}

// TestDripEvery: one message of so many is dripped. One that may not be leaves its turn to the next.
func TestDripEvery(t *testing.T) {
	d := newDrip(true)
	var at []int
	for i := range 3 * dripEvery {
		if d.choose(i+1 != 2*dripEvery) {
			at = append(at, i+1)
		}
	}
	if want := []int{dripEvery, 2*dripEvery + 1}; !slices.Equal(at, want) {
		t.Errorf("dripped %d, want %d", at, want)
	}
	d.noteAccepted()
	for i := range dripEvery - 1 {
		if d.choose(true) {
			t.Errorf("message %d after one that was accepted anyway is dripped", i)
		}
	}
}

// TestDripFollowsPauses: a pause of Postfix halves the distance, pauses of one time count once, and calm brings it back.
// The pause of a client does not count.
func TestDripFollowsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrip(true)
		const pause = 1020 * time.Millisecond
		step := func(what string, pauses, every int, change func(*wait)) {
			t.Helper()
			for range pauses {
				w := d.beginWait(time.Now())
				time.Sleep(pause)
				if change != nil {
					change(&w)
				}
				d.endWait(w, time.Now())
			}
			if d.every != every {
				t.Errorf("%s: one in %d, want %d", what, d.every, every)
			}
		}
		quickly := func(n int) {
			for range n {
				d.endWait(d.beginWait(time.Now()), time.Now())
			}
		}
		step("a client that is slow", 3, dripEvery, func(*wait) { time.Sleep(dripSlow) })
		step("one that is, beside many that pass", 3, dripEvery, func(*wait) { quickly(dripBusy) })
		step("a pause", 1, dripEvery/2, nil)
		many := make([]wait, 10)
		for i := range many {
			many[i] = d.beginWait(time.Now())
		}
		time.Sleep(2 * pause)
		quickly(dripBusy - 1)
		for _, w := range many {
			d.endWait(w, time.Now())
		}
		if d.every != dripEvery/4 {
			t.Errorf("ten pauses at a time: one in %d, want %d", d.every, dripEvery/4)
		}
		step("pauses one after the other", 20, dripLeast, nil)
		for _, want := range []int{2 * dripLeast, 4 * dripLeast, dripEvery, dripEvery} {
			time.Sleep(dripCalm - time.Second)
			quickly(1)
			if d.every == want && d.every != dripEvery {
				t.Error("calm too early")
			}
			time.Sleep(time.Second)
			quickly(1)
			if d.every != want {
				t.Errorf("after calm: one in %d, want %d", d.every, want)
			}
		}
	})
}

// TestDripReckonsWhatPassesUnseen: of many connections few watch, and what passes on these stands for the others.
func TestDripReckonsWhatPassesUnseen(t *testing.T) {
	for _, tt := range []struct {
		watches, passed int
		slow            bool
	}{{16, dripBusy - 1, true}, {16, dripBusy, false}, {2, (dripBusy - 1) / 8, true}, {2, dripBusy/8 + 1, false}, {0, 0, true}} {
		synctest.Test(t, func(t *testing.T) {
			d := newDrip(true)
			for i := range 16 {
				d.enter(i < tt.watches)
			}
			w := d.beginWait(time.Now())
			time.Sleep(dripPause)
			for range tt.passed {
				d.endWait(d.beginWait(time.Now()), time.Now())
			}
			if every := d.endWait(w, time.Now()); every > 0 != tt.slow {
				t.Errorf("%d of 16 watch, and %d messages pass: one in %d", tt.watches, tt.passed, every)
			}
		})
	}
}

// TestDripWatchesSomeConnections: one connection of so many is answered at RCPT. When it has ended, a new one is in its place.
func TestDripWatchesSomeConnections(t *testing.T) {
	r := start(t)
	watches := func(c *standin.Conn) bool { return c.Steps()&standin.NoRcptReply == 0 }
	var conns []*standin.Conn
	for i := range 2*dripWatch + 1 {
		c := r.dial(standin.Options{})
		if watches(c) != (i%dripWatch == 0) {
			t.Errorf("connection %d watches: %v", i, watches(c))
		}
		conns = append(conns, c)
	}
	conns[dripWatch].Close()
	for r.door.Sessions() != 2*dripWatch {
		time.Sleep(time.Millisecond)
	}
	if !watches(r.dial(standin.Options{})) || watches(r.dial(standin.Options{})) {
		t.Error("no connection is in the place of the one that watched")
	}
	if c := r.dial(standin.Options{Protocol: chatty}); watches(c) != true {
		t.Error("an MTA that offers no silence is not listened to")
	}
	if d := r.door.drip; d.conns != 2*dripWatch+3 || d.watches != 4 {
		t.Errorf("%d of %d watch", d.watches, d.conns)
	}
}

// TestDripHoldsBack: a message waits only if Postfix has paused of late, has few tokens left, and is about to be woken; then until it is
// woken, and not for long.
func TestDripHoldsBack(t *testing.T) {
	for _, tt := range []struct {
		name        string
		calm, roomy bool
		flying      int
		lands       time.Duration // 0: never
		waited      time.Duration
	}{
		{name: "until it is woken", flying: 1, lands: 80 * time.Millisecond, waited: 80 * time.Millisecond},
		{name: "not for long", flying: 1, waited: dripPatience},
		{name: "it has not paused", calm: true, flying: 1},
		{name: "it has tokens", roomy: true, flying: 1},
		{name: "nothing wakes it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrip(true)
				if !tt.calm {
					w := d.beginWait(time.Now())
					time.Sleep(dripPause)
					d.endWait(w, time.Now())
				}
				for !tt.roomy && d.spent < dripRoom {
					d.beginWait(time.Now())
				}
				for range tt.flying {
					d.launch()
				}
				if tt.lands > 0 {
					time.AfterFunc(tt.lands, d.land)
				}
				begin := time.Now()
				d.holdBack()
				if got := time.Since(begin); got != tt.waited {
					t.Errorf("waited %s, want %s", got, tt.waited)
				}
				if tt.lands > 0 && (d.spent != 0 || d.flying != 0) {
					t.Errorf("woken: %d spent, %d flying", d.spent, d.flying)
				}
			})
		})
	}
}

// TestDripHoldsBackAtTheDoor: beside Sendmail, or with drip off, nothing waits.
func TestDripHoldsBackAtTheDoor(t *testing.T) {
	for _, tt := range []struct {
		mta    standin.Flavor
		on     bool
		waited time.Duration
	}{{standin.Postfix, true, dripPatience}, {standin.Postfix, false, 0}, {standin.Sendmail, true, 0}} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, func(s *setup) { s.config.Drip = tt.on })
			c := r.dial(standin.Options{Flavor: tt.mta})
			d := r.door.drip
			d.spent, d.flying, d.paused = dripRoom, 1, time.Now()
			begin := time.Now()
			if v := r.send(c, bulk()); v.Action != standin.Discard || time.Since(begin) != tt.waited {
				t.Errorf("%+v: %+v after %s", tt, v, time.Since(begin))
			}
			c.Close()
		})
	}
}

// TestDripLands: whatever ends a message that wakes Postfix, nothing is waited for afterwards.
func TestDripLands(t *testing.T) {
	r := start(t).ripe()
	c := r.dial(standin.Options{})
	r.send(c, bulk())
	r.door.drip.since = dripEvery - 1
	r.send(c, bulk())
	c.Close()
	r.drain()
	if d := r.door.drip; d.flying != 0 || d.count.Load() != 2 {
		t.Errorf("%d flying, %d dripped", d.flying, d.count.Load())
	}
	s := newSession(r.intake, &r.door.phase, nil, r.door.drip)
	s.noteAccepted()
	s.endConnection() // the MTA has hung up on the answer
	if n := r.door.drip.flying; n != 0 {
		t.Errorf("%d flying after the end of the connection", n)
	}
}

// TestDripOfADoor: which messages a door drips when it is time.
func TestDripOfADoor(t *testing.T) {
	to := func(rcpts ...standin.Recipient) *standin.Message {
		return edit(bulk(), func(m *standin.Message) { m.Rcpts = rcpts })
	}
	smtp := func(addr string) standin.Recipient { return standin.Recipient{Addr: addr, Mailer: "smtp"} }
	for _, tt := range []struct {
		name    string
		message *standin.Message
		mta     standin.Options
		setup   func(*setup)
		deleted []string
		dripped uint64
	}{
		{name: "plain", message: bulk(), deleted: []string{"<a@example.net>"}, dripped: 1},
		{name: "two, and one of them twice", message: to(smtp("a+b@example.net"), smtp("B.c@Example.NET"), smtp("a+b@example.net")),
			deleted: []string{"<a+b@example.net>", "<B.c@Example.NET>"}, dripped: 1},
		{name: "off", message: bulk(), setup: func(s *setup) { s.config.Drip = false }},
		{name: "Sendmail", message: bulk(), mta: standin.Options{Flavor: standin.Sendmail}},
		{name: "an MTA that deletes nobody", message: bulk(), mta: standin.Options{Actions: standin.ActSetSymList}},
		{name: "quoted", message: to(smtp(`"a b"@example.net`))},
		{name: "quoted without need", message: to(smtp(`"a"@example.net`))},
		{name: "two @", message: to(smtp(`"a@b"@example.net`))},
		{name: "a dot that does not go out", message: to(smtp("a@example.net."))},
		{name: "percent", message: to(smtp("a%b@example.net"))},
		{name: "bang", message: to(smtp("a!b@example.net"))},
		{name: "one of two is odd", message: to(smtp("a@example.net"), smtp(`"b"@example.net`))},
		{name: "SMTPUTF8", message: edit(to(smtp("a@example.net")), func(m *standin.Message) { m.MailArgs = []string{"SMTPUTF8"} })},
		{name: "many", message: edit(bulk(), func(m *standin.Message) {
			for range dripRcpts {
				m.Rcpts = append(m.Rcpts, smtp("a@example.net"))
			}
		})},
		{name: "all messages go that way", message: bulk(), setup: func(s *setup) { s.filter.KeepAdded = true }, deleted: []string{"<a@example.net>"}},
		{name: "a recipient stays", message: to(smtp("a@example.net"), standin.Recipient{Addr: "b@example.org", Mailer: "local"}), deleted: []string{"<a@example.net>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(s *setup) {
				if tt.setup != nil {
					tt.setup(s)
				}
			}).ripe()
			v := r.send(r.dial(tt.mta), tt.message)
			if !slices.Equal(v.Deleted, tt.deleted) || (v.Action == standin.Discard) != (tt.deleted == nil) || r.door.Dripped() != tt.dripped {
				t.Errorf("%+v, %d dripped", v, r.door.Dripped())
			}
			if n := len(r.taken.all()); n != 1 {
				t.Errorf("%d taken", n)
			}
		})
	}
}

// TestDripIsShared: the connections of a door drip together one message of so many.
func TestDripIsShared(t *testing.T) {
	r := start(t)
	conns := []*standin.Conn{r.dial(standin.Options{}), r.dial(standin.Options{}), r.dial(standin.Options{})}
	dripped := 0
	for i := range 3*dripEvery + 1 {
		v := r.send(conns[i%3], bulk())
		if !v.Taken() {
			t.Fatalf("%+v", v)
		}
		if v.Action == standin.Accept {
			dripped++
		}
	}
	if dripped != 3 || r.door.Dripped() != 3 || r.intake.Status().Taken != 3*dripEvery+1 {
		t.Errorf("%d dripped, %d counted, %+v", dripped, r.door.Dripped(), r.intake.Status())
	}
}

// TestDripSeesPauses: only the time between the first recipient and what follows counts, and not that of a client who has gone.
func TestDripSeesPauses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before byte // the command that comes late; 0: none
		gone   bool // and it is the end of the message
		mute   bool // RCPT is not answered
		slow   bool
	}{
		{name: "none"}, {name: "MAIL", before: 'M'}, {name: "first RCPT", before: 'R'}, {name: "header", before: 'L', slow: true},
		{name: "end of header", before: 'N'}, {name: "ABORT", before: 'L', gone: true},
		{name: "header, behind a RCPT without an answer", before: 'L', mute: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				s := newSession(r.intake, &r.door.phase, nil, r.door.drip)
				if tt.mute {
					s.granted.protocol = lib.OptNoRcptReply
				}
				say := func(code byte, payload string) {
					if code == tt.before {
						time.Sleep(1010 * time.Millisecond)
						if tt.gone {
							code, payload = 'A', ""
						}
					}
					if _, err := s.handle(lib.Code(code), []byte(payload)); err != nil {
						t.Fatal(err)
					}
				}
				say('M', "<a@example.com>\x00")
				say('R', "<b@example.net>\x00")
				say('L', "List-Id\x00 x\x00")
				say('N', "")
				s.endConnection()
				if slow := r.door.drip.every < dripEvery; slow != tt.slow || strings.Contains(r.log.String(), "in_flow_delay") != tt.slow {
					t.Errorf("one in %d; %s", r.door.drip.every, r.log)
				}
			})
		})
	}
}

// TestDripAfterAPanic: a message that is taken and would drip is discarded after a fault. Accepted with a recipient left it
// would be delivered twice.
func TestDripAfterAPanic(t *testing.T) {
	r := start(t, func(s *setup) { s.before = func(*relay.Message) error { return nil } }).ripe()
	s := newSession(r.intake, &r.door.phase, nil, r.door.drip)
	s.mail = r.intake.Begin(filter.Offer{}, nil)
	s.mail.SetSender(filter.ParseCommand("<a@b.example>"))
	s.mail.AddRcpt(filter.ParseCommand("<c@d.example>"), filter.Hop{Routed: true})
	s.mail.Field([]byte("List-Id"), []byte(" x"))
	s.mail.EndHeader(nil)
	s.mail.SetBody([]byte("x\r\n"))
	s.granted.actions = wantActions
	s.progress = &newConn(&r.door.cfg, r.intake, &r.door.phase, r.door.drip, nil, state{}, nil).progress
	s.complete()
	if !s.mail.Taken() || !s.drips {
		t.Fatalf("left for %q, drips %v", s.mail.Left(), s.drips)
	}
	if got := rescued(s); got != replyDiscard {
		t.Errorf("answered %+v, want DISCARD", got)
	}
}
