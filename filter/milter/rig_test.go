package milter

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/standin"
)

// rig is a door on a network of the test's own.
type rig struct {
	t      testing.TB
	door   *Door
	intake *filter.Intake
	net    *pipes
	taken  *taken
	log    *lockedBuffer
	done   chan error
}

// taken is an Accepter that keeps what it is given.
type taken struct {
	mu       sync.Mutex
	messages []*relay.Message
	heard    []*relay.Message
	hungUp   []*relay.Message
	before   func(*relay.Message) error // asked first; may block, fail or panic
	onHeard  func()                     // called first in Heard; may panic
}

func (a *taken) Accept(m *relay.Message) error {
	if a.before != nil {
		if err := a.before(m); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	keep(m)
	a.messages = append(a.messages, m)
	return nil
}

// keep makes the content the message's own, as the heart does: the door's buffers hold the next message soon.
func keep(m *relay.Message) {
	l := *m.Content.Letter()
	l.Trace, l.Header, l.Body = bytes.Clone(l.Trace), bytes.Clone(l.Header), bytes.Clone(l.Body)
	m.Content = relay.NewContent(l)
}

func (a *taken) Heard(m *relay.Message, heard bool) {
	if a.onHeard != nil {
		a.onHeard()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if heard {
		a.heard = append(a.heard, m)
	} else {
		a.hungUp = append(a.hungUp, m)
	}
}

func (a *taken) all() []*relay.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.messages
}

// last returns the message taken last.
func (a *taken) last(t testing.TB) *relay.Message {
	t.Helper()
	all := a.all()
	if len(all) == 0 {
		t.Fatal("no message was taken")
	}
	return all[len(all)-1]
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// pipes is a net.Listener without a network, so that it works in a bubble too.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// sendable refuses a lone LF, as the real check does among others.
func sendable(form smtp.Form) error {
	if form.Traits.Has(smtp.BareLF | smtp.HasNUL) {
		return errors.New("bare LF or NUL")
	}
	return nil
}

// setup is what a test may change before the door is made.
type setup struct {
	config Config
	mode   string
	filter filter.Config
	before func(*relay.Message) error
	heard  func() // called in Heard
	log    hclog.Level
	accept filter.Accepter // nil: keeps what it is given
	gate   *relay.Gate
}

// start makes a door in deliver mode and serves it until the test ends.
func start(t testing.TB, changes ...func(*setup)) *rig {
	t.Helper()
	s := setup{config: DefaultConfig(), mode: filter.Deliver, filter: filter.DefaultConfig(), log: hclog.Info}
	s.config.StopGrace = 0
	for _, change := range changes {
		change(&s)
	}
	f, err := filter.Compile(s.filter, "mx.example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, net: newPipes(), taken: &taken{before: s.before, onHeard: s.heard}, log: &lockedBuffer{}, done: make(chan error, 1)}
	var id atomic.Uint64
	if s.accept == nil {
		s.accept = r.taken
	}
	r.intake, err = filter.NewIntake(s.config.Limits(), s.mode, filter.Deps{
		Accept: s.accept, Gate: s.gate, NewID: func() relay.ID { return relay.ID(id.Add(1)) }, Filter: f, Sendable: sendable,
		Log: hclog.New(&hclog.LoggerOptions{Output: r.log, Level: s.log}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.door, err = New(s.config, r.intake); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.door.Serve(r.net) }() // ends with Stop
	t.Cleanup(r.stop)
	return r
}

// stop ends the door and checks what has to hold after every test.
func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.door.Stop(ctx); err != nil {
		r.t.Errorf("stop: %v", err)
	}
	if err := <-r.done; err != nil {
		r.t.Errorf("serve: %v", err)
	}
	if n, c := r.door.Sessions(), r.intake.Status(); n != 0 || c.Buffered != 0 {
		r.t.Errorf("%d sessions and %d bytes are left over", n, c.Buffered)
	}
	if strings.Contains(r.log.String(), "panic") && !r.panics() {
		r.t.Errorf("panic: %s", r.log.String())
	}
}

// panics reports whether the test wanted one.
func (r *rig) panics() bool {
	return (r.taken.before != nil || r.taken.onHeard != nil) && strings.Contains(r.log.String(), "wanted panic")
}

// dial connects an MTA.
func (r *rig) dial(o standin.Options) *standin.Conn {
	r.t.Helper()
	nc := r.raw()
	c, err := standin.New(nc, o)
	if err != nil {
		nc.Close()
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// raw connects something that need not be an MTA.
func (r *rig) raw() net.Conn {
	r.t.Helper()
	nc, err := r.net.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// send offers a message and fails the test when the dialogue breaks.
func (r *rig) send(c *standin.Conn, m *standin.Message) standin.Verdict {
	r.t.Helper()
	v, err := c.Send(m)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// drain waits until all connections have ended of themselves.
func (r *rig) drain() {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); r.door.Sessions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d sessions do not end", r.door.Sessions())
		}
	}
}

// works checks that a connection of its own is served as ever.
func (r *rig) works() {
	r.t.Helper()
	c := r.dial(standin.Options{})
	defer c.Close()
	if v := r.send(c, bulk()); !v.Taken() {
		r.t.Errorf("another connection is not served: %+v", v)
	}
}

// bulk is a newsletter to one recipient.
func bulk() *standin.Message {
	return &standin.Message{
		QueueID: "4bXyZ1", From: "news@example.com", Rcpts: standin.To("a@example.net"),
		Header: []standin.Field{
			{Name: "From", Value: " News <news@example.com>"}, {Name: "Date", Value: " Tue, 4 Mar 2025 05:06:07 +0100"},
			{Name: "Message-ID", Value: " <1@example.com>"}, {Name: "List-Id", Value: " <l.example.com>"},
		},
		Body: []byte("Hello,\r\nworld.\r\n"),
	}
}

// plain is a letter.
func plain() *standin.Message {
	m := bulk()
	m.Header = m.Header[:3]
	return m
}

// edit returns a message with a change.
func edit(m *standin.Message, change func(*standin.Message)) *standin.Message {
	change(m)
	return m
}

// fields adds header fields to a newsletter.
func fields(f ...standin.Field) *standin.Message {
	return edit(bulk(), func(m *standin.Message) { m.Header = append(m.Header, f...) })
}
