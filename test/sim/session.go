package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// patience is how long a receiver waits for its client.
const patience = 5 * time.Minute

// errBye ends a dialogue from the receiver's side.
var errBye = errors.New("bye")

// session is one connection.
type session struct {
	r     *Receiver
	nc    net.Conn
	in    *bufio.Reader
	out   []byte // replies that wait until the client waits
	addr  netip.Addr
	open  bool // MAIL was accepted
	by    *Sender
	from  string
	rcpts []string
	taken int
}

func (s *session) dialogue() error {
	c := s.r.admit(s.addr)
	if c != nil {
		defer s.r.discharge(c)
	}
	if s.r.now().Silent {
		_, err := io.Copy(io.Discard, s.nc) // until the client has had enough
		return err
	}
	if c == nil {
		return s.last("421 4.7.0 %s too many connections from your host", s.r.name)
	}
	defer s.forget()
	err := s.reply("220 %s ESMTP", s.r.name)
	for err == nil {
		var line string
		if line, err = s.line(); err == nil {
			err = s.command(line)
		}
	}
	return err
}

// line reads a command. Replies go out before the wait, all together.
func (s *session) line() (string, error) {
	if s.in.Buffered() == 0 {
		if err := s.flush(); err != nil {
			return "", err
		}
	}
	if err := s.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	line, err := s.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (s *session) flush() error {
	out := s.out
	s.out = nil
	if len(out) == 0 {
		return nil
	}
	if err := s.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	pause := s.r.now().Dribble
	if pause == 0 {
		_, err := s.nc.Write(out)
		return err
	}
	for i := range out {
		time.Sleep(pause)
		if _, err := s.nc.Write(out[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// reply answers after the delay of the mood.
func (s *session) reply(format string, args ...any) error {
	if d := s.r.now().Delay; d > 0 {
		if err := s.flush(); err != nil {
			return err
		}
		time.Sleep(d)
	}
	s.out = append(fmt.Appendf(s.out, format, args...), "\r\n"...)
	return nil
}

// no is a reply that refuses something.
func (s *session) no(format string, args ...any) error {
	s.tellNo(format, args...)
	return s.reply(format, args...)
}

// tellNo puts a refusal into the trace.
func (s *session) tellNo(format string, args ...any) {
	if format[0] != '2' {
		s.r.tell("%-20s says %s", s.r.site.name, fmt.Sprintf(format, args...))
	}
}

// last is a reply that ends the connection.
func (s *session) last(format string, args ...any) error {
	s.tellNo(format, args...)
	if err := s.reply(format, args...); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	return errBye
}

func (s *session) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		return s.reply("250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800", s.r.name)
	case "HELO":
		return s.reply("250 %s", s.r.name)
	case "MAIL":
		return s.mail(address(rest))
	case "RCPT":
		return s.rcpt(address(rest))
	case "DATA":
		return s.data()
	case "RSET":
		s.forget()
		return s.reply("250 2.0.0 ok")
	case "NOOP":
		return s.reply("250 2.0.0 ok")
	case "QUIT":
		return s.last("221 2.0.0 bye")
	}
	return s.reply("500 5.5.2 what?")
}

// address is what stands between the angle brackets of a path.
func address(path string) string {
	_, rest, _ := strings.Cut(path, "<")
	addr, _, _ := strings.Cut(rest, ">")
	return addr
}

func (s *session) mail(from string) error {
	m := s.r.now()
	s.forget()
	if m.PerConn > 0 && s.taken >= m.PerConn {
		return s.last("421 4.7.0 %s enough messages for one connection", s.r.name)
	}
	if !s.r.spend(s.addr) {
		s.r.site.overRate()
		if m.Hang {
			return s.last("421 4.7.28 %s your host sends too fast", s.r.name)
		}
		return s.no("451 4.7.28 your host sends too fast")
	}
	s.open, s.from, s.by = true, from, s.r.book.senderOf(from)
	s.by.enter()
	return s.reply("250 2.1.0 ok")
}

// forget ends a transaction.
func (s *session) forget() {
	if s.open {
		s.by.exit()
	}
	s.open, s.rcpts = false, nil
}

func (s *session) rcpt(rcpt string) error {
	m := s.r.now()
	switch {
	case !s.open: // the client was faster than the reply to its MAIL
		return s.no("503 5.5.1 no MAIL before")
	case m.Rcpts > 0 && len(s.rcpts) >= m.Rcpts:
		s.r.site.deferred()
		return s.last("421 4.5.3 %s too many recipients", s.r.name)
	case m.Defer:
		s.r.site.deferred()
		return s.no("451 4.3.0 try again later")
	case m.Refuse:
		return s.no("550 5.1.1 no such user")
	case !s.r.known(s.from, rcpt):
		s.r.site.deferred()
		return s.no("451 4.7.1 greylisted")
	}
	s.rcpts = append(s.rcpts, rcpt)
	return s.reply("250 2.1.5 ok")
}

func (s *session) data() error {
	if len(s.rcpts) == 0 {
		return s.reply("554 5.5.1 no valid recipients")
	}
	if err := s.reply("354 go on"); err != nil {
		return err
	}
	var body strings.Builder
	for {
		line, err := s.line()
		if err != nil {
			return err
		}
		if line == "." {
			break
		}
		body.WriteString(strings.TrimPrefix(line, "."))
		body.WriteString("\r\n")
	}
	if d := s.r.now().Dot; d > 0 {
		time.Sleep(d)
	}
	if name := s.r.now().Unauth; name != "" && s.by != nil && s.by.name == name {
		s.r.site.refuseSender(len(s.rcpts))
		s.forget()
		return s.no("550 5.7.26 This mail has been blocked because the sender is unauthenticated. Authenticate with SPF or DKIM")
	}
	s.taken++
	s.r.took(s.addr, s.rcpts, body.String())
	s.forget()
	return s.reply("250 2.0.0 taken")
}
