package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Receiver is a mail server with a mood. It serves any net.Listener, and believes nothing of what Millrace says about itself: what
// it has answered with 250 is in the ledger, in that moment.
type Receiver struct {
	name string
	book *Ledger
	took func(from string, rcpts []string, body string) // a message was taken; the reply has not been sent
	tell func(format string, args ...any)               // into the trace

	mu       sync.Mutex
	mood     Mood
	since    time.Time // of the mood
	open     int       // connections that were greeted
	tokens   float64   // of Mood.Rate
	filled   time.Time // when tokens was last right
	first    map[string]time.Time
	site     *Site
	sessions map[net.Conn]struct{}

	moved chan struct{} // the mood has changed
	run   sync.WaitGroup
}

func newReceiver(name string, book *Ledger, site *Site, mood Mood, tell func(string, ...any)) *Receiver {
	return &Receiver{
		name: name, book: book, tell: tell, site: site, mood: mood, since: time.Now(),
		first: make(map[string]time.Time), sessions: make(map[net.Conn]struct{}), moved: make(chan struct{}, 1),
	}
}

// live keeps the receiver's port open while its mood wants that, until ctx is done. Each receiver has one goroutine for it.
func (r *Receiver) live(ctx context.Context, host host, address string) error {
	var ln net.Listener
	defer func() {
		if ln != nil {
			ln.Close()
		}
		r.hangUp()
		r.run.Wait()
	}()
	for {
		up, change := r.up(time.Now())
		switch {
		case up && ln == nil:
			var err error
			if ln, err = host.Listen("tcp", address); err != nil {
				return err
			}
			r.run.Go(func() { r.serve(ln) }) // ends when ln is closed
		case !up && ln != nil:
			ln.Close()
			ln = nil
			host.ResetAll()
		}
		t := time.NewTimer(change)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-r.moved:
			t.Stop()
		}
	}
}

// up reports whether the receiver accepts connections now, and when to ask again.
func (r *Receiver) up(now time.Time) (bool, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mood
	if m.Dead || m.On == 0 {
		return !m.Dead, 24 * time.Hour
	}
	in := now.Sub(r.since) % (m.On + m.Away)
	if in < m.On {
		return true, m.On - in
	}
	return false, m.On + m.Away - in
}

// change gives the receiver another mood.
func (r *Receiver) change(m Mood) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood, r.since, r.filled = m, time.Now(), time.Time{}
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// now is the mood.
func (r *Receiver) now() Mood {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mood
}

func (r *Receiver) serve(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.sessions[nc] = struct{}{}
		r.mu.Unlock()
		r.run.Go(func() { // ends with its connection
			defer r.release(nc)
			s := &session{r: r, nc: nc, in: bufio.NewReader(nc)}
			_ = s.dialogue() // the client went away
		})
	}
}

func (r *Receiver) release(nc net.Conn) {
	r.mu.Lock()
	delete(r.sessions, nc)
	r.mu.Unlock()
	nc.Close()
}

// hangUp closes every connection.
func (r *Receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for nc := range r.sessions {
		nc.Close()
	}
}

// admit counts a connection, and reports whether the mood greets it.
func (r *Receiver) admit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	admitted := r.mood.Conns == 0 || r.open < r.mood.Conns
	if admitted {
		r.open++
	}
	r.site.connected(admitted, r.open)
	if admitted {
		r.tell("%-20s greets connection %d", r.site.name, r.open)
	}
	return admitted
}

func (r *Receiver) discharge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	r.site.disconnected(r.open)
}

// spend reports whether the rate allows one more message. The bucket holds the messages of one second.
func (r *Receiver) spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mood.Rate == 0 {
		return true
	}
	now := time.Now()
	if r.filled.IsZero() {
		r.tokens = r.mood.Rate
	} else {
		r.tokens = min(r.mood.Rate, r.tokens+now.Sub(r.filled).Seconds()*r.mood.Rate)
	}
	r.filled = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

// known reports whether a greylist lets the pair through.
func (r *Receiver) known(from, rcpt string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mood.Grey == 0 {
		return true
	}
	key := from + " " + rcpt
	first, seen := r.first[key]
	if !seen {
		first = time.Now()
		r.first[key] = first
	}
	return seen && time.Since(first) >= r.mood.Grey
}

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
	open  bool   // MAIL was accepted
	from  string
	rcpts []string
	taken int
}

func (s *session) dialogue() error {
	if s.r.now().Silent {
		s.r.admit()
		defer s.r.discharge()
		_, err := io.Copy(io.Discard, s.nc) // until the client has had enough
		return err
	}
	if !s.r.admit() {
		return s.last("421 4.7.0 %s too many connections from your host", s.r.name)
	}
	defer s.r.discharge()
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
		s.open, s.rcpts = false, nil
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
	s.open, s.rcpts = false, nil
	if m.PerConn > 0 && s.taken >= m.PerConn {
		return s.last("421 4.7.0 %s enough messages for one connection", s.r.name)
	}
	if !s.r.spend() {
		s.r.site.refused()
		if m.Hang {
			return s.last("421 4.7.28 %s your host sends too fast", s.r.name)
		}
		return s.no("451 4.7.28 your host sends too fast")
	}
	s.open, s.from = true, from
	return s.reply("250 2.1.0 ok")
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
	s.taken++
	s.r.took(s.from, s.rcpts, body.String())
	s.open, s.rcpts = false, nil
	return s.reply("250 2.0.0 taken")
}
