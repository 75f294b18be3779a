package milter

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/standin"
)

func TestMalformedInputClosesTheConnection(t *testing.T) {
	frame := func(code byte, payload string) []byte { return standin.AppendFrame(nil, code, []byte(payload)...) }
	offer := offerFrame(6, 0x1ff, 0x1fffff)
	afterOffer := func(frames ...[]byte) []byte { return slices.Concat(append([][]byte{offer}, frames...)...) }
	for _, tt := range []struct {
		name  string
		input []byte
		half  bool // and then the peer closes
	}{
		{"zero length", []byte{0, 0, 0, 0}, false},
		{"zero length after the offer", afterOffer([]byte{0, 0, 0, 0}), false},
		{"length of all ones", []byte{0xff, 0xff, 0xff, 0xff}, false},
		{"one byte more than 1 MiB", afterOffer([]byte{0, 0x10, 0, 1, 'B'}), false},
		{"HTTP", []byte("GET / HTTP/1.0\r\n\r\n"), false},
		{"TLS", []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc}, false},
		{"truncated frame", afterOffer([]byte{0, 0, 0, 20, 'H', 'x'}), true},
		{"truncated length", afterOffer([]byte{0, 0}), true},
		{"command before the offer", frame('M', "<a@b>\x00"), false},
		{"macros before the offer", frame('D', "Mi\x00x\x00"), false},
		{"short offer", frame('O', "\x00\x00\x00\x06"), false},
		{"version 1", offerFrame(1, 0x1ff, 0x1fffff), false},
		{"second offer", afterOffer(offer), false},
		{"CONNECT of one byte", afterOffer(frame('C', "")), false},
		{"CONNECT without family", afterOffer(frame('C', "host\x00")), false},
		{"CONNECT without port", afterOffer(frame('C', "host\x004")), false},
		{"CONNECT with an unterminated address", afterOffer(frame('C', "host\x004\x00\x19192.0.2.1")), false},
		{"HELO without NUL", afterOffer(frame('H', "app")), false},
		{"MAIL without NUL", afterOffer(frame('M', "<a@b>")), false},
		{"MAIL of nothing", afterOffer(frame('M', "")), false},
		{"RCPT without NUL", afterOffer(frame('R', "<a@b>")), false},
		{"macros without a command", afterOffer(frame('D', "")), false},
		{"macros without NUL", afterOffer(frame('D', "Mi\x00x")), false},
		{"unknown command", afterOffer(frame('x', "")), false},
		{"UNKNOWN", afterOffer(frame('U', "FOO\x00")), false},
		{"QUIT and new connection", afterOffer(frame('K', "")), false},
		{"end with a payload", afterOffer(frame('E', "tail")), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			nc := r.raw()
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			go nc.Write(tt.input)
			if tt.half {
				standin.ReadFrame(nc)
				nc.Close()
			}
			answers, err := io.ReadAll(nc)
			if err != nil && !tt.half {
				t.Errorf("not closed: %v", err)
			}
			if hasOffer := len(tt.input) > 17 && tt.input[4] == 'O' && tt.input[8] > 1; !hasOffer && len(answers) > 0 {
				t.Errorf("answered %q", answers)
			}
			r.works()
			r.drain()
			if c := r.intake.Status(); c.BadConnections != 1 || c.Panics != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// Commands out of order must neither take mail nor break the dialogue.
func TestOrder(t *testing.T) {
	frame := func(code byte, payload string) []byte { return standin.AppendFrame(nil, code, []byte(payload)...) }
	mail, rcpt := frame('M', "<a@example.com>\x00"), frame('R', "<b@example.net>\x00")
	list, end, body, eom, abort := frame('L', "List-Id\x00 x\x00"), frame('N', ""), frame('B', "x\r\n"), frame('E', ""), frame('A', "")
	other := frame('L', "X-Late\x00 x\x00")
	for _, tt := range []struct {
		name    string
		frames  [][]byte
		answers string
		taken   int
	}{
		{"as it should be", [][]byte{mail, rcpt, list, end, body, eom}, "cccd", 1},
		{"end without MAIL", [][]byte{eom}, "a", 0},
		{"header without MAIL", [][]byte{list, end, eom}, "aa", 0},
		{"RCPT without MAIL", [][]byte{rcpt, list, end, body, eom}, "caa", 0},
		{"no end of header", [][]byte{mail, rcpt, list, body, eom}, "cca", 0},
		{"no header at all", [][]byte{mail, rcpt, eom}, "cca", 0},
		{"body before the header", [][]byte{mail, rcpt, body, list, end, eom}, "ccaa", 0},
		{"header after its end", [][]byte{mail, rcpt, list, end, other, body, eom}, "ccca", 0},
		{"body after the end", [][]byte{mail, rcpt, list, end, body, eom, body, eom}, "cccda", 1},
		{"three MAILs", [][]byte{mail, rcpt, mail, mail, rcpt, list, end, body, eom}, "ccccccd", 1},
		{"abort twice", [][]byte{mail, rcpt, abort, abort, mail, rcpt, list, end, body, eom}, "cc" + "cccd", 1},
		{"abort within the body", [][]byte{mail, rcpt, list, end, body, abort, mail, rcpt, list, end, body, eom}, "ccc" + "cccd", 1},
		{"abort and then the end", [][]byte{mail, rcpt, list, end, body, abort, eom}, "ccca", 0},
		{"no recipient", [][]byte{mail, list, end, eom}, "caa", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(s *setup) { s.filter.WithoutMailer = true })
			nc := r.raw()
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			go nc.Write(slices.Concat(append([][]byte{offerFrame(6, 0x1ff, chatty)}, append(tt.frames, frame('Q', ""))...)...))
			if _, _, err := standin.ReadFrame(nc); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for {
				code, _, err := standin.ReadFrame(nc)
				if err != nil {
					break
				}
				got.WriteByte(code)
			}
			if got.String() != tt.answers {
				t.Errorf("answers %q, want %q", got.String(), tt.answers)
			}
			if n := len(r.taken.all()); n != tt.taken {
				t.Errorf("%d taken, want %d", n, tt.taken)
			} else if n == 1 && r.taken.last(t).RcptCount() != 1 {
				t.Errorf("taken for %+v", r.taken.last(t).Slip.Rcpts)
			}
		})
	}
}

// E1: the client goes away at each stage; nothing of its message may be in the next one.
func TestE01AbortAtEachStage(t *testing.T) {
	for _, stage := range []byte{standin.Rcpt, standin.Header, standin.Body, standin.EndOfBody} {
		r := start(t)
		c := r.dial(standin.Options{})
		gone := edit(fields(standin.Field{Name: "X-Gone", Value: " 1"}), func(m *standin.Message) {
			m.QueueID, m.MailArgs, m.StopAt = "GONE", []string{"RET=FULL"}, stage
			m.Rcpts = standin.To("gone@example.net")
			m.Body = make([]byte, 5<<20)
		})
		r.send(c, gone)
		if v := r.send(c, bulk()); !v.Taken() {
			t.Fatalf("stage %q: %+v", stage, v)
		}
		got := r.taken.last(t)
		if len(r.taken.all()) != 1 || got.RcptCount() != 1 || got.Rcpt(0).Addr != "a@example.net" || got.Ret() != "" ||
			strings.Contains(string(got.Content.Letter().Header), "X-Gone") || len(got.Content.Body()) != 16 || got.QueueID() != "4bXyZ1" {
			t.Errorf("stage %q: %+v", stage, got)
		}
	}
}

// E4: connections that say nothing, or a byte now and then, end; others are served meanwhile.
func TestE04SlowConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		idle := r.dial(standin.Options{})
		silent, slow := r.raw(), r.raw()
		go func() { // ends when the door hangs up
			for _, b := range offerFrame(6, 0x1ff, 0x1fffff) {
				if _, err := slow.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(10 * time.Second) // too slow for the frame as a whole
			}
			t.Error("the slow frame was read to its end")
		}()
		time.Sleep(10 * time.Second)
		r.works()
		time.Sleep(r.door.cfg.ReadTimeout)
		if n := r.door.Sessions(); n != 2 {
			t.Errorf("%d sessions, want 2: the slow frame must not have lasted", n)
		}
		time.Sleep(r.door.cfg.IdleTimeout)
		synctest.Wait()
		if n := r.door.Sessions(); n != 0 {
			t.Errorf("%d sessions, want 0: the silent ones must not last for ever", n)
		}
		if _, err := idle.Send(bulk()); err == nil {
			t.Error("an idle connection outlives its timeout")
		}
		silent.Close()
	})
}

// E5: the MTA dies within a transaction.
func TestE05MTADiesWithinATransaction(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	r.send(c, edit(bulk(), func(m *standin.Message) { m.StopAt = standin.EndOfBody; m.Body = make([]byte, 1<<20) }))
	c.NetConn().Close()
	r.works()
	if n := len(r.taken.all()); n != 1 {
		t.Errorf("%d taken, want that of the other connection only", n)
	}
}

// E7: a recipient another filter or the MTA itself refuses is none of ours.
func TestE07RejectedRecipient(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	m := edit(bulk(), func(m *standin.Message) {
		m.Rcpts = append(m.Rcpts, standin.Recipient{Addr: "refused@example.net", Mailer: "error"})
	})
	r.send(c, m)
	if got := r.taken.last(t).Slip.Rcpts; len(got) != 1 || got[0].Addr != "a@example.net" {
		t.Errorf("%+v", got)
	}
}

// E9: MTAs of all ages; one that eats the blank behind the colon is left alone.
func TestE09Negotiation(t *testing.T) {
	for _, tt := range []struct {
		name              string
		version           uint32
		actions, protocol uint32
		passed            bool
	}{
		{"2", 2, 0x3f, 0x7f, true},
		{"4", 4, 0x3f, 0x3ff, true},
		{"6 without leading space", 6, 0x1ff, 0xfffff, true},
		{"6", 6, 0x1ff, 0x1fffff, false},
		{"6 without macro lists", 6, 0xff, 0x1fffff, false},
		{"bits of the future", 7, 0xffff, 0xffffffff, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			c := r.dial(standin.Options{Version: tt.version, Actions: tt.actions, Protocol: tt.protocol})
			if c.Passed() != tt.passed {
				t.Fatalf("passed: %v", c.Passed())
			}
			if tt.passed {
				if !strings.Contains(r.log.String(), "blank behind a header's colon") {
					t.Errorf("no word about it: %q", r.log.String())
				}
				return
			}
			if v := r.send(c, edit(bulk(), func(m *standin.Message) { m.QueueID = "" })); !v.Taken() {
				t.Fatalf("%+v", v)
			}
			if got := r.taken.last(t); got.QueueID() != "" || !strings.Contains(string(got.Content.Letter().Trace), "id "+got.ID.String()) {
				t.Errorf("without {i}: %q, %q", got.QueueID(), got.Content.Letter().Trace)
			}
		})
	}
}

// E9: observing needs no byte-exact header.
func TestE09ObserveWithoutLeadingSpace(t *testing.T) {
	r := start(t, func(s *setup) { s.mode = filter.Observe })
	c := r.dial(standin.Options{Version: 2, Actions: 0x3f, Protocol: 0x7f})
	r.send(c, bulk())
	if got := r.intake.Status().Observed; got != 1 {
		t.Errorf("%d observed", got)
	}
}

// E12: while Accept waits for its disk the MTA hears from us, for a while.
func TestE12Progress(t *testing.T) {
	for _, tt := range []struct {
		wait time.Duration
		want int
	}{{time.Second, 0}, {10 * time.Second, 3}, {10 * time.Minute, 80}} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, func(s *setup) {
				s.before = func(*relay.Message) error { time.Sleep(tt.wait); return nil }
			})
			for _, flavor := range []standin.Flavor{standin.Postfix, standin.Sendmail} {
				c := r.dial(standin.Options{Flavor: flavor, Timeout: time.Hour})
				for range 2 {
					if v := r.send(c, bulk()); !v.Taken() || v.Progress != tt.want {
						t.Errorf("%v: %+v, want %d times progress", tt.wait, v, tt.want)
					}
				}
			}
		})
	}
}

// The MTA hangs up while it waits: what is accepted stays accepted, and the log says what that means.
func TestHangUpWhileAcceptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(s *setup) {
			s.before = func(*relay.Message) error { time.Sleep(30 * time.Second); return nil }
		})
		c := r.dial(standin.Options{Timeout: 10 * time.Second})
		time.AfterFunc(5*time.Second, func() { c.NetConn().Close() })
		if _, err := c.Send(bulk()); err == nil {
			t.Fatal("answered")
		}
		time.Sleep(time.Minute)
		if n := len(r.taken.all()); n != 1 {
			t.Errorf("%d taken", n)
		}
		if !strings.Contains(r.log.String(), "may be delivered twice: id=4bXyZ1") {
			t.Errorf("log %q", r.log.String())
		}
	})
}

// halfClosed says that it is at its end once told, and can still be written to.
type halfClosed struct {
	net.Conn
	at time.Time
}

func (h *halfClosed) Read(p []byte) (int, error) {
	if !h.at.IsZero() && time.Now().After(h.at) {
		return 0, io.EOF
	}
	return h.Conn.Read(p)
}

// The MTA closes only its side: it is noticed all the same, and told no more.
func TestHalfCloseWhileAcceptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(s *setup) {
			s.before = func(*relay.Message) error { time.Sleep(30 * time.Second); return nil }
		})
		ours, theirs := net.Pipe()
		r.net.conns <- &halfClosed{theirs, time.Now().Add(5 * time.Second)}
		c, err := standin.New(ours, standin.Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if v := r.send(c, bulk()); !v.Taken() || v.Progress != 1 {
			t.Errorf("%+v, want progress before the end only", v)
		}
		synctest.Wait()
		if !strings.Contains(r.log.String(), "may be delivered twice: id=4bXyZ1") || len(r.taken.all()) != 1 {
			t.Errorf("%d taken, log %q", len(r.taken.all()), r.log.String())
		}
		c.Close()
	})
}
