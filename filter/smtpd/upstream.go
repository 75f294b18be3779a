package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxSpare is how many connections to the MTA are kept for the next message. Each of them holds a process of Postfix.
	maxSpare = 20
	// spareTime is how long one is kept. Postfix under stress waits 10 seconds for a command; and a site without mail holds no
	// process of its MTA.
	spareTime = 4 * time.Second
	// farewell bounds the write of QUIT, whose reply nobody waits for.
	farewell = 100 * time.Millisecond
	// lastWords is the wait for a reply that has begun, or that an MTA has left behind when it hung up.
	lastWords = time.Second
)

// upstream is the MTA at Config.Reinject: connections to it are kept for the next message. Any number of goroutines may use it.
type upstream struct {
	network, addr string
	hostname      string
	dial          func(ctx context.Context, network, addr string) (net.Conn, error)
	patience      time.Duration // for the reply to a command
	stall         time.Duration // for an MTA that reads nothing of a message

	mu     sync.Mutex
	spare  []*wire // the one used last comes last
	closed bool
}

func newUpstream(cfg Config, hostname string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *upstream {
	u := &upstream{hostname: hostname, dial: dial, patience: cfg.AnswerTimeout, stall: cfg.DataTimeout}
	u.network, u.addr = reinjectAddress(cfg.Reinject)
	if dial == nil {
		u.dial = new(net.Dialer).DialContext
	}
	return u
}

// reinjectAddress is what to dial for "[host]:port" or "unix:/path".
func reinjectAddress(s string) (network, addr string) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return "unix", path
	}
	return "tcp", s
}

// validateReinject judges what reinjectAddress is given.
func validateReinject(s string) error {
	if path, ok := strings.CutPrefix(s, "unix:"); ok && strings.HasPrefix(path, "/") || s == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return fmt.Errorf(`%q is no listener of an MTA; write it like "[127.0.0.1]:10026" or "unix:/path"`, s)
	}
	return nil
}

// wire is one connection to the MTA, with what the MTA has announced on it.
type wire struct {
	nc      net.Conn
	answers answers
	can     abilities
	expiry  *time.Timer // set while the wire is spare
}

// begin opens a transaction: XFORWARD when announced, MAIL, and all RCPT. An error means that nothing was sent that counts.
func (u *upstream) begin(ctx context.Context, e passEnvelope) (*passage, error) {
	if w := u.lend(); w != nil {
		p, err := u.open(ctx, w, e)
		if err == nil {
			return p, nil
		}
		// The MTA has grown tired of a connection that lay idle: that says nothing about a new one.
	}
	w, err := u.connect(ctx)
	if err != nil {
		return nil, err
	}
	return u.open(ctx, w, e)
}

// open has the envelope said on a wire.
func (u *upstream) open(ctx context.Context, w *wire, e passEnvelope) (*passage, error) {
	p := &passage{up: u, w: w, lineStart: true}
	if err := p.say(e, u.deadline(ctx)); err != nil {
		w.nc.Close()
		return nil, err
	}
	return p, nil
}

// deadline is when a reply must be there.
func (u *upstream) deadline(ctx context.Context) time.Time {
	until := time.Now().Add(u.patience)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		return d
	}
	return until
}

// lend returns a spare wire that the MTA has not closed, or nil.
func (u *upstream) lend() *wire {
	for {
		w := u.pop()
		if w == nil || !readable(w.nc) {
			return w
		}
		w.nc.Close()
	}
}

// pop takes the wire used last from the spare ones. A wire whose time is up is left to its timer.
func (u *upstream) pop() *wire {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.spare) - 1
	if n < 0 {
		return nil
	}
	w := u.spare[n]
	u.spare = u.spare[:n]
	w.expiry.Stop()
	return w
}

// keep makes a wire spare, unless there are enough. It must be between two messages.
func (u *upstream) keep(w *wire) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.spare) >= maxSpare || w.answers.pending() {
		go w.quit() // ends within farewell
		return
	}
	w.expiry = time.AfterFunc(spareTime, func() { u.expire(w) })
	u.spare = append(u.spare, w)
}

// expire ends a wire that is still spare.
func (u *upstream) expire(w *wire) {
	u.mu.Lock()
	found := false
	for i, s := range u.spare {
		if s == w {
			u.spare = append(u.spare[:i], u.spare[i+1:]...)
			found = true
			break
		}
	}
	u.mu.Unlock()
	if found {
		w.quit()
	}
}

// close ends the spare wires. A wire that is lent ends with its message.
func (u *upstream) close() {
	u.mu.Lock()
	spare := u.spare
	u.spare, u.closed = nil, true
	u.mu.Unlock()
	for _, w := range spare {
		w.expiry.Stop()
		w.quit()
	}
}

// connect dials, and introduces us.
func (u *upstream) connect(ctx context.Context) (*wire, error) {
	until := u.deadline(ctx)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	nc, err := u.dial(ctx, u.network, u.addr)
	if err != nil {
		return nil, err
	}
	w := &wire{nc: nc, answers: answers{nc: nc}}
	if err := w.greet(u.hostname, until); err != nil {
		nc.Close()
		return nil, err
	}
	return w, nil
}

// greet hears the greeting, and says EHLO, or HELO to an MTA that does not know EHLO.
func (w *wire) greet(hostname string, until time.Time) error {
	r, err := w.answers.read(until, nil)
	if err = positive("its greeting", r, err); err != nil {
		return err
	}
	lines := 0
	r, err = w.ask("EHLO "+hostname, until, func(text string) {
		if lines++; lines > 1 { // the first is the MTA's name
			w.can.announce(text)
		}
	})
	if err == nil && r.code/100 == 5 {
		w.can = abilities{}
		r, err = w.ask("HELO "+hostname, until, nil)
	}
	return positive("EHLO", r, err)
}

// positive returns err, or the refusal that a reply is.
func positive(at string, r reply, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("waiting for the reply to %s: %w", at, err)
	case !r.ok():
		return fmt.Errorf("the reply to %s is %q", at, r.String())
	}
	return nil
}

// ask writes a command and reads its reply.
func (w *wire) ask(command string, until time.Time, lines func(text string)) (reply, error) {
	if err := w.write([]byte(command+"\r\n"), until); err != nil {
		return reply{}, err
	}
	return w.answers.read(until, lines)
}

// write writes all of b, or fails.
func (w *wire) write(b []byte, until time.Time) error {
	if err := w.nc.SetWriteDeadline(until); err != nil {
		return err
	}
	_, err := w.nc.Write(b)
	return err
}

// quit ends a wire that is between two messages. A server logs a connection that ends without QUIT as a lost one.
func (w *wire) quit() {
	_ = w.write([]byte("QUIT\r\n"), time.Now().Add(farewell)) // what becomes of it changes nothing
	w.nc.Close()
}

var errCommandText = errors.New("a command has a line end within")
