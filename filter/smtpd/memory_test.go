package smtpd

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// queued is a name that is another one for each message.
var queued = regexp.MustCompile(`queued as \S+`)

// TestMessagesShareNothingButMemory: what is said of a message does not depend on those that came before it on its connection.
func TestMessagesShareNothingButMemory(t *testing.T) {
	many := strings.Split(strings.Repeat("x@example.net ", keepRcpts+1)+"b@home.example", " ")
	kinds := []func(c *client) []string{
		func(c *client) []string { return c.send(true, bulkMessage, "a@example.net") },
		func(c *client) []string { return c.send(true, plainMessage, "a@example.net", "b@example.org") },
		func(c *client) []string {
			return c.send(true, bulkMessage, "b@home.example", "a@example.net", "c@home.example")
		},
		func(c *client) []string { return c.send(true, bulkMessage, many...) },
		func(c *client) []string {
			return c.send(true, "Subject: bare\nList-Id: <l.example.com>\r\n\r\nx\r\n", "a@example.net")
		},
		func(c *client) []string {
			return c.send(true, bulkMessage+strings.Repeat("y", 5000)+"\r\n", "a@example.net", "b@home.example")
		},
		func(c *client) []string {
			c.say("MAIL FROM:<other@example.com> RET=HDRS", "250 ")
			c.say("RCPT TO:<z@example.org> NOTIFY=NEVER", "250 ")
			c.say("RSET", "250 ")
			return nil
		},
	}
	r := start(t, func(s *setup) {
		s.bulk.LocalDomains, s.config.MaxSize, s.config.BareNewline = []string{"home.example"}, 4000, BareReject
	})
	begin := func() *client {
		c := r.dial()
		c.say("LHLO mta.example.com", "250-")
		return c
	}
	answers := func(c *client, kind int) string {
		return queued.ReplaceAllString(fmt.Sprint(kinds[kind](c)), "queued")
	}
	var want []string
	for i := range kinds {
		want = append(want, answers(begin(), i))
	}
	c, order := begin(), rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		kind := order.IntN(len(kinds))
		if got := answers(c, kind); got != want[kind] {
			t.Fatalf("message %d, of kind %d: %s\nwant %s", n, kind, got, want[kind])
		}
	}
	for _, m := range r.heart.all() {
		if m.From() != "news@example.com" || m.Ret() != "" || m.Rcpt(0).Notify != "" {
			t.Errorf("taken: %+v", m.Slip.Envelope)
		}
	}
}

// TestMemoryBetweenMessages: between two messages a session keeps nothing of the last.
func TestMemoryBetweenMessages(t *testing.T) {
	r := start(t, nil)
	s := newSession(r.door, r.dial().nc, Submission)
	s.client.Helo = "app.example.com"
	for range 2 {
		s.from("FROM:<news@example.com>")
		s.rcpt("TO:<a@example.net>")
		s.t.arrival = newArrival(s, s.t, true)
		s.coming.decode([]byte(bulkMessage + ".\r\n"))
		s.coming.decide(s.coming.whoIsOurs())
		s.reset()
		if s.t != nil || cap(s.room.rcpts) == 0 || s.room.rcpts[:1][0] != "" || cap(s.coming.said) == 0 || cap(s.coming.fates) == 0 {
			t.Errorf("%+v, %+v", s.room, s.coming)
		}
		s.room.rcpts, s.coming.said, s.coming.fates, s.coming.sent = nil, nil, nil, nil
		if !reflect.DeepEqual(s.room, transaction{}) || !reflect.DeepEqual(s.coming, arrival{}) {
			t.Errorf("%+v, %+v", s.room, s.coming)
		}
	}
}
