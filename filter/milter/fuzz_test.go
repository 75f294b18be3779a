package milter

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/standin"
)

// stream is a connection that says what it was given and listens to nobody.
type stream struct {
	io.Reader
	answers bytes.Buffer
}

func (s *stream) Write(p []byte) (int, error)      { return s.answers.Write(p) }
func (s *stream) Close() error                     { return nil }
func (s *stream) LocalAddr() net.Addr              { return nil }
func (s *stream) RemoteAddr() net.Addr             { return nil }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// FuzzFrames compares with the stand-in's reader, which shares no code.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 'Q'})
	f.Add(slices.Concat(offerFrame(6, 1, 2), []byte{0, 0, 0, 0}))
	f.Add([]byte{0, 0, 0, 5, 'B', 'x'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'B'})
	f.Fuzz(func(t *testing.T, input []byte) {
		from := &deadlined{nc: &stream{Reader: bytes.NewReader(input)}, idle: time.Hour, read: time.Hour}
		ours := newFrames(from)
		theirs := bytes.NewReader(input)
		for {
			code, n, err := ours.head(false)
			var payload []byte
			if err == nil {
				payload, err = ours.payload(n)
			}
			wantCode, want, wantErr := standin.ReadFrame(theirs)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("error %v, the other reader says %v", err, wantErr)
			}
			if err != nil {
				if cap(ours.buf) > len(input)+2*allocStep {
					t.Errorf("%d bytes allocated for an input of %d", cap(ours.buf), len(input))
				}
				return
			}
			if code != wantCode || !bytes.Equal(payload, want) {
				t.Fatalf("frame %q %q, the other reader says %q %q", code, payload, wantCode, want)
			}
		}
	})
}

// FuzzSession feeds a whole connection. Whatever comes: no panic, and for each end of message at most one message
// taken, with recipients, from a sender, sendable.
func FuzzSession(f *testing.F) {
	frame := func(code byte, payload string) []byte { return standin.AppendFrame(nil, code, []byte(payload)...) }
	offer := offerFrame(6, 0x1ff, 0x1fffff)
	whole := slices.Concat(
		frame('D', "Cv\x00Postfix\x00{client_addr}\x00192.0.2.1\x00"), frame('C', "h\x004\x00\x19192.0.2.1\x00"), frame('H', "h\x00"),
		frame('M', "<a@b.example>\x00SIZE=9\x00"), frame('D', "R{rcpt_mailer}\x00smtp\x00"), frame('R', "<c@d.example>\x00NOTIFY=NEVER\x00"),
		frame('D', "Li\x00Q\x00"), frame('L', "List-Id\x00 x\x00"), frame('L', "Subject\x00\n x\x00"), frame('N', ""), frame('B', "hi\r\n"), frame('E', ""), frame('A', ""), frame('Q', ""))
	f.Add(slices.Concat(offer, whole))
	f.Add(slices.Concat(offerFrame(2, 0, 1<<20), whole))
	f.Add(slices.Concat(offer, frame('E', ""), frame('B', "x"), frame('M', "<\x00"), frame('R', "\x00")))
	f.Add(slices.Concat(offer, frame('L', "\x00"), frame('D', "M"), frame('K', "")))
	r := start(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		before := len(r.taken.all())
		s := &stream{Reader: bytes.NewReader(input)}
		c := newConn(&r.door.cfg, r.intake, &r.door.phase, r.door.drip, s, state{}, r.door.forget)
		r.door.sessions.Add(1)
		c.serve()
		r.door.sessions.Wait()
		if n := r.intake.Status(); n.Panics != 0 || n.Buffered != 0 {
			t.Fatalf("%+v", n)
		}
		messages := r.taken.all()[before:]
		if len(messages) > bytes.Count(input, []byte{0, 0, 0, 1, 'E'}) {
			t.Errorf("%d messages taken from %q", len(messages), input)
		}
		for _, m := range messages {
			checkTaken(t, m)
		}
		r.taken.mu.Lock()
		r.taken.messages = r.taken.messages[:0]
		r.taken.mu.Unlock()
	})
}

func checkTaken(t *testing.T, m *relay.Message) {
	t.Helper()
	if m.From() == "" || m.RcptCount() == 0 || m.ID == 0 || m.Rule() == "" {
		t.Errorf("taken: %+v", m)
	}
	if err := sendable(smtp.FormOf(m.Content.Pieces())); err != nil {
		t.Errorf("taken and not sendable: %+v", m)
	}
	if !bytes.HasSuffix(m.Content.Letter().Header, []byte("\r\n")) || bytes.Contains(m.Content.Letter().Header, []byte("\r\n\r\n")) || bytes.HasPrefix(m.Content.Letter().Header, []byte("\r\n")) {
		t.Errorf("header %q is not one", m.Content.Letter().Header)
	}
}
