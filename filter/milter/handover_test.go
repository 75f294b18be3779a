package milter

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
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

// said is a frame of the MTA and the first byte of our answer, 0 for none.
type said struct {
	frame  []byte
	answer byte
}

// dialogue is a client that starts TLS, resets once, and sends two newsletters. It has every frame that Postfix sends, and the answers
// for an MTA that offers these steps.
func dialogue(steps uint32) []said {
	var all []said
	helo, mail := byte('c'), byte('c')
	if steps&standin.NoHeloReply != 0 {
		helo = 0
	}
	if steps&standin.NoMailReply != 0 {
		mail = 0
	}
	say := func(code byte, payload string, answer byte) {
		all = append(all, said{standin.AppendFrame(nil, code, []byte(payload)...), answer})
	}
	all = append(all, said{offerFrame(6, 0x1ff, steps), 'O'})
	say('D', "Cj\x00mx\x00v\x00Postfix 3\x00{daemon_name}\x00smtpd\x00{client_addr}\x00192.0.2.1\x00{client_name}\x00c.example\x00", 0)
	say('C', "c.example\x004\x00\x19192.0.2.1\x00", 'c')
	say('H', "first.example\x00", helo)
	say('A', "", 0)
	say('D', "H{tls_version}\x00TLSv1.3\x00", 0)
	say('H', "second.example\x00", helo)
	say('A', "", 0)
	say('M', "<reset@s.example>\x00", mail)
	say('R', "<r@d.example>\x00", 'c')
	say('A', "", 0)
	for i := range 2 {
		say('D', "M{auth_authen}\x00user\x00{auth_type}\x00plain\x00", 0)
		say('M', fmt.Sprintf("<n%d@s.example>\x00SIZE=9\x00", i), mail)
		for _, to := range []string{"a", "b"} {
			say('D', "R{rcpt_mailer}\x00smtp\x00{rcpt_host}\x00d.example\x00{rcpt_addr}\x00"+to+"@d.example\x00", 0)
			say('R', "<"+to+"@d.example>\x00NOTIFY=NEVER\x00", 'c')
		}
		say('D', "Li\x00Q1\x00", 0)
		say('L', "List-Id\x00 <l.example>\x00", 0)
		say('L', "Subject\x00 x\x00", 0)
		say('D', "Ni\x00Q1\x00", 0)
		say('N', "", 'c')
		say('B', "hi\r\n", 0)
		say('D', "Ei\x00Q1\x00", 0)
		say('E', "", 'd')
		say('A', "", 0)
	}
	say('Q', "", 0)
	return all
}

// tell sends the frames, and fails unless the answers are the right ones.
func tell(t *testing.T, mta net.Conn, frames []said) {
	t.Helper()
	for i, f := range frames {
		if _, err := mta.Write(f.frame); err != nil {
			t.Fatalf("frame %d, %q: %v", i, f.frame, err)
		}
		if f.answer == 0 {
			continue
		}
		if code, _, err := standin.ReadFrame(mta); err != nil || code != f.answer {
			t.Fatalf("answer to frame %d, %q: %q %v", i, f.frame, code, err)
		}
	}
}

// takeOver hands all connections of one door to another.
func takeOver(t *testing.T, from, to *rig) {
	t.Helper()
	all, err := from.door.HandOver(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, h := range all {
		if err := to.door.Resume(h); err != nil {
			t.Error(err)
		}
	}
}

// TestHandOver changes the door at every place of a dialogue, and in the middle of every frame. The MTA sees what it always sees, and
// the messages are the same.
func TestHandOver(t *testing.T) {
	for _, steps := range []uint32{chatty, 0x1fffff} {
		all := dialogue(steps)
		for cut := range all {
			for _, ahead := range []int{0, 3, len(all[cut].frame) - 1} {
				t.Run(fmt.Sprintf("%x %d %d", steps, cut, ahead), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { handOverAt(t, all, cut, ahead) })
				})
			}
		}
	}
}

func handOverAt(t *testing.T, all []said, cut, ahead int) {
	first, second := start(t), start(t)
	mta := first.raw()
	tell(t, mta, all[:cut])
	if _, err := mta.Write(all[cut].frame[:ahead]); err != nil {
		t.Fatal(err)
	}
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		takeOver(t, first, second)
	}()
	synctest.Wait()
	rest := slices.Clone(all[cut:])
	rest[0].frame = rest[0].frame[ahead:]
	tell(t, mta, rest)
	<-handed
	if _, err := mta.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind QUIT: %v", err)
	}
	took := append(first.taken.all(), second.taken.all()...)
	if len(took) != 2 {
		t.Fatalf("%d messages taken", len(took))
	}
	const trace = "Received: from second.example (c.example [192.0.2.1])\r\n\tby mx.example.org (Millrace) with ESMTPSA id Q1;"
	for i, m := range took {
		if m.From() != fmt.Sprintf("n%d@s.example", i) || m.RcptCount() != 2 || m.Rcpt(0).Notify != "NEVER" || !strings.HasPrefix(string(m.Content.Letter().Trace), trace) {
			t.Errorf("message %d: from %s to %v, %s", i, m.From(), m.Slip.Rcpts, m.Content.Letter().Trace)
		}
	}
	if n := len(first.taken.heard) + len(second.taken.heard); n != 2 {
		t.Errorf("the MTA has heard of %d", n)
	}
	second.drain()
}

// TestHandOverAgain: a connection lives through many processes, also if one ends before it has read what the one before has said.
func TestHandOverAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		c := r.dial(standin.Options{})
		for i := range 20 {
			next := start(t)
			takeOver(t, r, next)
			if i%3 != 0 {
				if v := next.send(c, bulk()); !v.Taken() {
					t.Fatalf("after hand-over %d: %+v", i, v)
				}
			}
			r = next
		}
	})
}

// TestHandOverLate: the connection that comes while the door is being handed over is handed over too.
func TestHandOverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := start(t), start(t)
		first.door.phase.handing.Store(true)
		nc := first.raw()
		synctest.Wait()
		takeOver(t, first, second)
		c, err := standin.New(nc, standin.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if v := second.send(c, bulk()); !v.Taken() {
			t.Errorf("%+v", v)
		}
		c.Close()
	})
}

// TestHandOverWaitsToBeHeard: whether the MTA has heard of its message is found out before, because afterwards nobody could.
func TestHandOverWaitsToBeHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := start(t), start(t)
		c, gone := first.dial(standin.Options{}), first.dial(standin.Options{})
		first.send(c, bulk())
		first.send(gone, bulk())
		synctest.Wait()
		gone.NetConn().Close()
		takeOver(t, first, second)
		if len(first.taken.heard) != 1 || len(first.taken.hungUp) != 1 {
			t.Errorf("%d have heard, %d have hung up", len(first.taken.heard), len(first.taken.hungUp))
		}
	})
}

// TestHandOverOfTooMuch: a connection whose macros are not kept is closed, as by a stop, and a message whose recipients are not kept
// ends first.
func TestHandOverOfTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := start(t), start(t)
		odd, large := first.raw(), first.raw()
		tell(t, odd, []said{{offerFrame(6, 0x1ff, chatty), 'O'}, {standin.AppendFrame(nil, 'D', make([]byte, maxMacroFrame+1)...), 0}})
		frames := dialogue(chatty)
		tell(t, large, frames[:8])
		tell(t, large, []said{{standin.AppendFrame(nil, 'M', []byte("<n@s.example>\x00")...), 'c'}})
		for range 200 {
			tell(t, large, frames[13:15])
		}
		handed := make(chan struct{})
		go func() { defer close(handed); takeOver(t, first, second) }()
		synctest.Wait()
		if n := first.door.Sessions(); n != 1 {
			t.Errorf("%d sessions", n)
		}
		if _, err := odd.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v", err)
		}
		tell(t, large, frames[len(frames)-10:])
		<-handed
		if n := len(first.taken.all()); n != 1 {
			t.Errorf("%d taken", n)
		}
	})
}

// TestHandOverGivesUp: a message that does not end is cut off, and the others are handed over.
func TestHandOverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := start(t), start(t)
		idle, open := first.dial(standin.Options{}), first.dial(standin.Options{})
		first.send(open, edit(bulk(), func(m *standin.Message) { m.StopAt = standin.Body }))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		all, err := first.door.HandOver(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || len(all) != 1 {
			t.Fatalf("%d, %v", len(all), err)
		}
		if err := second.door.Resume(all[0]); err != nil {
			t.Fatal(err)
		}
		if v := second.send(idle, bulk()); !v.Taken() {
			t.Errorf("%+v", v)
		}
	})
}

// TestResumeRefuses: what no process of ours has written ends the connection.
func TestResumeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":        "x",
		"half a frame":   `{"past":"AAAADU8="}`,
		"a length of 0":  `{"past":"AAAAAAA="}`,
		"a long length":  `{"past":"/////08="}`,
		"no length":      `{"past":"AAA="}`,
		"other promises": string(mustState(offerFrame(6, 1, 1))), // NoConnect was never asked for
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			ours, theirs := net.Pipe()
			r.door.Resume(filter.Handed{Conn: theirs, State: []byte(text)})
			ours.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%v", err)
			}
			r.drain()
		})
	}
}

func mustState(past []byte) []byte {
	return fmt.Appendf(nil, `{"past":%q}`, base64.StdEncoding.EncodeToString(past))
}

// FuzzResume: a dialogue that is cut in two at any frame without content ends as the whole does.
func FuzzResume(f *testing.F) {
	var whole []byte
	for i, s := range dialogue(0x1fffff) {
		whole = append(whole, s.frame...)
		if i%5 == 0 {
			f.Add(whole, uint16(len(whole)))
		}
	}
	f.Add(whole, uint16(len(whole)/2))
	r := start(f)
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		s := state{Past: input[:min(int(cut), len(input))], Unread: input[min(int(cut), len(input)):]}
		if !wholeFrames(s.Past) {
			t.Skip()
		}
		want := feed(r, bytes.NewReader(input), state{})
		got := feed(r, bytes.NewReader(nil), s)
		if r.intake.Status().Panics != 0 {
			t.Fatal("panic")
		}
		if len(got) > len(want) {
			t.Errorf("%d messages taken in place of %d", len(got), len(want))
		}
		for i := range got {
			checkTaken(t, got[i])
		}
	})
}

// feed runs a connection to its end and returns what was taken of it.
func feed(r *rig, in io.Reader, before state) []*relay.Message {
	c := newConn(&r.door.cfg, r.intake, &r.door.phase, r.door.drip, &stream{Reader: in}, before, r.door.forget)
	r.door.sessions.Add(1)
	c.serve()
	r.door.sessions.Wait()
	r.taken.mu.Lock()
	defer r.taken.mu.Unlock()
	took := r.taken.messages
	r.taken.messages = nil
	return took
}

// TestHandOverKeepsTheTerms: what the MTA waits for was agreed with the first process, whatever the second one is configured to.
func TestHandOverKeepsTheTerms(t *testing.T) {
	for _, drips := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			first := start(t, func(s *setup) { s.config.Drip = drips })
			second := start(t, func(s *setup) { s.config.Drip = !drips })
			c := first.dial(standin.Options{})
			first.send(c, bulk())
			takeOver(t, first, second)
			for range 2 {
				if v := second.send(c, bulk()); !v.Taken() {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}
