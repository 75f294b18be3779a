package bounce

import (
	"bytes"
	"errors"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// TestInform: a sender hears at once of recipients who failed before their message was in the queue map, unless nobody must be told.
func TestInform(t *testing.T) {
	full := errors.New("full")
	for _, test := range []struct {
		name   string
		from   string
		notify [2]string
		accept error
		want   int // recipients that the notification names
	}{
		{"both", "ann@a.example", [2]string{}, nil, 2},
		{"one asked for nothing", "ann@a.example", [2]string{"NEVER", "FAILURE"}, nil, 1},
		{"both asked for nothing", "ann@a.example", [2]string{"NEVER", "SUCCESS"}, nil, 0},
		{"the null sender", "", [2]string{}, nil, 0},
		{"no room", "ann@a.example", [2]string{}, full, 2},
	} {
		var got *relay.Message
		s := NewServer(DefaultConfig(), Deps{Hostname: "mx.example.org", NewID: func() relay.ID { return 7 }, Accept: func(m *relay.Message) error {
			got = m
			return test.accept
		}})
		m := &relay.Message{Slip: &relay.Slip{Envelope: relay.Envelope{From: test.from, Rcpts: []relay.Rcpt{{Addr: "b@x.example", Notify: test.notify[0]}, {Addr: "c@x.example", Notify: test.notify[1]}}}}}
		m.Content = relay.NewContent(relay.Letter{Header: []byte("Subject: x\r\n")})
		no := smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"no such user"}}
		err := s.Inform(m, []Failure{{Rcpt: 0, Relay: "[127.0.0.1]:10027", Reply: no}, {Rcpt: 1, Relay: "[127.0.0.1]:10027", Reply: no}})
		if !errors.Is(err, test.accept) {
			t.Errorf("%s: %v", test.name, err)
		}
		n := 0
		if got != nil {
			n = bytes.Count(bytes.Join(got.Content.Pieces(), nil), []byte("Final-Recipient:"))
			if got.Class() != relay.ClassInject || got.From() != "" || got.Rcpt(0).Addr != test.from {
				t.Errorf("%s: %+v", test.name, got.Slip.Envelope)
			}
		}
		if n != test.want {
			t.Errorf("%s: the notification names %d recipients, want %d", test.name, n, test.want)
		}
	}
}
