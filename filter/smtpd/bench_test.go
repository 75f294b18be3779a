package smtpd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

// leaver is a heart that takes all and keeps nothing.
type leaver struct{}

func (leaver) Accept(*relay.Message) error { return nil }
func (leaver) Heard(*relay.Message, bool)  {}

// BenchmarkMessage is one bulk message of 20 KB, from MAIL to the reply, on a connection that stays open. The heart takes no time.
func BenchmarkMessage(b *testing.B) {
	header := "From: News <news@example.com>\r\nTo: a@example.net\r\nSubject: news\r\nList-Id: <l.example.com>\r\nList-Unsubscribe: <https://example.com/u>\r\n"
	for i := range 15 {
		header += fmt.Sprintf("X-Field-%d: some words of a header field\r\n", i)
	}
	message := header + "\r\n" + strings.Repeat(strings.Repeat("x", 72)+"\r\n", 270)
	for _, pipelined := range []bool{false, true} {
		b.Run(fmt.Sprintf("pipelined=%t", pipelined), func(b *testing.B) {
			r := start(b, func(s *setup) { s.accept = leaver{} })
			c := r.dial()
			c.say("EHLO app.example.com", "250-")
			envelope := fmt.Sprintf("MAIL FROM:<news@example.com> SIZE=%d\r\nRCPT TO:<a@example.net>\r\nDATA\r\n", len(message))
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if pipelined {
					c.write(envelope)
					c.expect("250 ")
					c.expect("250 ")
					c.expect("354 ")
				} else {
					for line := range bytes.Lines([]byte(envelope)) {
						c.write(string(line))
						c.reply()
					}
				}
				c.write(message + ".\r\n")
				c.expect("250 2.0.0 Ok: queued")
			}
		})
	}
}

// BenchmarkConnection is one message on a connection of its own, as Postfix sends to a proxy.
func BenchmarkConnection(b *testing.B) {
	message := "From: News <news@example.com>\r\nTo: a@example.net\r\nSubject: news\r\nList-Id: <l.example.com>\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 72)+"\r\n", 270)
	r := start(b, func(s *setup) { s.accept = leaver{} })
	for b.Loop() {
		c := r.dial()
		c.say("EHLO app.example.com", "250-")
		for _, line := range []string{"MAIL FROM:<news@example.com>", "RCPT TO:<a@example.net>", "DATA"} {
			c.write(line + "\r\n")
			c.reply()
		}
		c.write(message + ".\r\n")
		c.expect("250 2.0.0 Ok: queued")
		c.nc.Close()
	}
}
