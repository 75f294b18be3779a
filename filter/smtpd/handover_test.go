package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/filter"
)

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

// turn is what a client says, and how the reply begins; "" for none.
type turn struct{ line, want string }

func turns() []turn {
	all := []turn{
		{"", "220 mx.example.org ESMTP"}, {"EHLO client.example", "250-mx.example.org"}, {"NOOP", "250 "},
		{"XFORWARD NAME=far.example ADDR=192.0.2.7", "250 "}, {"XFORWARD IDENT=4bXy PROTO=ESMTP HELO=far.helo.example", "250 "},
	}
	for i := range 2 {
		all = append(all, turn{fmt.Sprintf("MAIL FROM:<n%d@example.com>", i), "250 2.1.0"}, turn{"RCPT TO:<a@example.net>", "250 2.1.5"}, turn{"DATA", "354 "},
			turn{"Subject: news\r\nList-Id: <l.example.com>\r\n", ""}, turn{"Hello", ""}, turn{".", "250 2.0.0"})
	}
	return append(all, turn{"NO", "500"}, turn{"QUIT", "221"})
}

// TestHandOver changes the door at every place of a dialogue, and in the middle of every line. The client hears what it always hears.
func TestHandOver(t *testing.T) {
	all := turns()
	for cut := range all {
		for _, ahead := range []int{0, 3} {
			if ahead > len(all[cut].line) {
				continue
			}
			t.Run(fmt.Sprint(cut, ahead), func(t *testing.T) { handOverAt(t, all, cut, ahead) })
		}
	}
}

func handOverAt(t *testing.T, all []turn, cut, ahead int) {
	first, second := start(t, nil), start(t, nil)
	c := first.connect()
	c.play(all[:cut])
	c.write(all[cut].line[:ahead])
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		takeOver(t, first, second)
	}()
	for !first.door.handing.Load() {
		time.Sleep(time.Millisecond)
	}
	rest := append([]turn(nil), all[cut:]...)
	rest[0].line = rest[0].line[ahead:]
	c.play(rest)
	<-handed
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("behind QUIT: %v", err)
	}
	took := append(first.heart.all(), second.heart.all()...)
	if len(took) != 2 || took[0].From() != "n0@example.com" || took[1].From() != "n1@example.com" {
		t.Fatalf("%d messages taken", len(took))
	}
	if trace := string(took[0].Content.Letter().Trace); !strings.HasPrefix(trace, "Received: from far.helo.example (far.example [192.0.2.7])") {
		t.Errorf("%s", trace)
	}
	if first.door.Sessions() != 0 {
		t.Errorf("%d sessions", first.door.Sessions())
	}
}

// play says its turns and hears the replies.
func (c *client) play(all []turn) {
	c.t.Helper()
	for i, turn := range all {
		if turn.line != "" || i > 0 && turn.want != "" {
			c.write(turn.line + "\r\n")
		}
		if turn.want != "" {
			c.expect(turn.want)
		}
	}
}

// TestHandOverLate: the connection that comes while the door is being handed over is greeted by the next process.
func TestHandOverLate(t *testing.T) {
	first, second := start(t, func(s *setup) { s.role = Proxy }), start(t, nil)
	first.door.handing.Store(true)
	c := first.connect()
	for done := false; !done; time.Sleep(time.Millisecond) {
		first.door.mu.Lock()
		done = len(first.door.handed) > 0
		first.door.mu.Unlock()
	}
	takeOver(t, first, second)
	c.expect("220 ")
	second.door.each(func(s *session) {
		if s.role != Proxy {
			t.Errorf("role %s", s.role)
		}
	})
	c.say("QUIT", "221")
}

// TestHandOverGivesUp: a message that does not end is cut off, and the others are handed over.
func TestHandOverGivesUp(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	idle, open := first.dial(), first.dial()
	idle.say("EHLO c.example", "250")
	open.say("EHLO c.example", "250")
	open.say("MAIL FROM:<n@example.com>", "250")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	all, err := first.door.HandOver(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || len(all) != 1 {
		t.Fatalf("%d, %v", len(all), err)
	}
	if err := second.door.Resume(all[0]); err != nil {
		t.Fatal(err)
	}
	if got := idle.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") {
		t.Errorf("%s", got)
	}
}

// TestHandOverOfTLS: the keys stay here, so the connection ends.
func TestHandOverOfTLS(t *testing.T) {
	first := start(t, func(s *setup) { s.config.TLSCert, s.config.TLSKey = certificate(t) })
	c := first.dial()
	c.say("EHLO c.example", "250")
	c.say("STARTTLS", "220")
	secure := tls.Client(c.nc, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	inside := &client{t: t, nc: secure, in: bufio.NewReader(secure)}
	inside.say("EHLO c.example", "250")
	if all, err := first.door.HandOver(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d, %v", len(all), err)
	}
	if _, err := inside.in.ReadByte(); err == nil {
		t.Error("the client is not told")
	}
}

// TestSessionState: all that a session knows between two messages goes with it.
func TestSessionState(t *testing.T) {
	r := start(t, nil)
	near, far := net.Pipe()
	defer near.Close()
	st := sessionState{}
	for i, v := 0, reflect.ValueOf(&st).Elem(); i < v.NumField(); i++ {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int:
			f.SetInt(int64(i))
		}
	}
	st.Role, st.Addr, st.Unread = "submission", filter.ParseAddr("192.0.2.1"), []byte("NO")
	st.Forward = attributes{Name: "n", Addr: "a", Port: "p", Proto: "t", Helo: "h", Ident: "i", Source: "s", Login: "l", DestAddr: "d", DestPort: "e"}
	s := newSession(r.door, far, Submission)
	s.apply(&st)
	r.door.handOn(s)
	var got sessionState
	if err := json.Unmarshal(r.door.handed[0].State, &got); err != nil || !reflect.DeepEqual(got, st) {
		t.Errorf("%+v, want %+v, %v", got, st, err)
	}
}

// TestResumeRefuses: what no process of ours has written ends the connection.
func TestResumeRefuses(t *testing.T) {
	r := start(t, nil)
	for _, text := range []string{"", "x", `{"role":"relay"}`, `{"role":"filter","unread":"` + strings.Repeat("AAAA", maxLine) + `"}`} {
		near, far := net.Pipe()
		if err := r.door.Resume(filter.Handed{Conn: far, State: []byte(text)}); err == nil {
			t.Errorf("%.30q is resumed", text)
		}
		if _, err := near.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v", err)
		}
	}
}
