package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// heart is a filter.Accepter.
type heart struct {
	mu    sync.Mutex
	err   error
	taken []*relay.Message
	heard []bool
}

func (h *heart) Accept(m *relay.Message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return h.err
	}
	if err := keep(m); err != nil {
		return err
	}
	h.taken = append(h.taken, m)
	return nil
}

// keep checks the form that the door has found, and makes the content the message's own as the heart does: the door's buffers hold the
// next message soon.
func keep(m *relay.Message) error {
	c := m.Content
	if found := smtp.FormOf(c.Pieces()); found != c.Form() {
		return fmt.Errorf("the door has found the form %+v, and it is %+v", c.Form(), found)
	}
	l := *c.Letter()
	l.Trace, l.Header, l.Body = bytes.Clone(l.Trace), bytes.Clone(l.Header), bytes.Clone(l.Body)
	m.Content = relay.NewContent(l)
	return nil
}

func (h *heart) Heard(_ *relay.Message, heard bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, heard)
}

func (h *heart) all() []*relay.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*relay.Message(nil), h.taken...)
}

// setup is what a test may change before its door is made.
type setup struct {
	config Config
	role   Role
	bulk   filter.Config
	mode   string
	mta    sink.Character
	noMTA  bool
	heart  heart
	accept filter.Accepter // in place of the heart
	gate   *relay.Gate
	inform func(*relay.Message, []Refusal) error
}

// rig is a door with its surroundings: a heart, and an MTA behind it.
type rig struct {
	*setup
	t      testing.TB
	door   *Door
	intake *filter.Intake
	mta    *sink.Sink
	addr   string
	log    *lockedBuffer
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

// start serves a door on loopback until the test ends.
func start(t testing.TB, change func(*setup)) *rig {
	t.Helper()
	s := &setup{config: DefaultConfig(), bulk: filter.DefaultConfig(), mode: filter.Deliver, mta: sink.Character{Name: "mta"}}
	if change != nil {
		change(s)
	}
	r := &rig{setup: s, t: t, log: &lockedBuffer{}}
	if !s.noMTA {
		r.startMTA()
	}
	f, err := filter.Compile(s.bulk, "mx.example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := relay.ID(0)
	var mu sync.Mutex
	if s.accept == nil {
		s.accept = &s.heart
	}
	r.intake, err = filter.NewIntake(s.config.Limits(), s.mode, filter.Deps{
		Accept: s.accept, Gate: s.gate, NewID: func() relay.ID { mu.Lock(); defer mu.Unlock(); ids++; return ids }, Filter: f, Sendable: smtp.Form.Sendable,
		Log: hclog.New(&hclog.LoggerOptions{Output: r.log, Level: hclog.Debug}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.door, err = New(s.config, Deps{Intake: r.intake, Hostname: "mx.example.org", Inform: s.inform}); err != nil {
		t.Fatal(err)
	}
	r.listen()
	return r
}

func (r *rig) startMTA() {
	m, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { m.Close() })
	addr, err := m.Listen("127.0.0.1:0", r.setup.mta)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mta, r.config.Reinject = m, addr.String()
}

func (r *rig) listen() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- r.door.Serve(ln, r.role) }() // ends with Stop
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.door.Stop(ctx); err != nil {
			r.t.Errorf("stop: %v", err)
		}
		if err := <-done; err != nil {
			r.t.Errorf("serve: %v", err)
		}
		if c := r.intake.Status(); c.Buffered != 0 || c.Panics != 0 {
			r.t.Errorf("%+v\n%s", c, r.log)
		}
	})
}

// client speaks to the door line by line.
type client struct {
	t  testing.TB
	nc net.Conn
	in *bufio.Reader
}

// dial connects and hears the greeting.
func (r *rig) dial() *client {
	r.t.Helper()
	c := r.connect()
	c.expect("220 mx.example.org ESMTP")
	return c
}

// connect connects.
func (r *rig) connect() *client {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	return &client{t: r.t, nc: nc, in: bufio.NewReader(nc)}
}

// write sends text with its line ends as they are.
func (c *client) write(text string) {
	c.t.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.nc.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads a whole reply, its lines joined by "|".
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		c.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("%v behind %q %q", err, lines, line)
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "|")
		}
	}
}

// expect wants the next reply to begin so.
func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.reply(); !strings.HasPrefix(got, want) {
		c.t.Fatalf("reply %q, want %q", got, want)
	}
}

// say sends a line and wants the reply to begin so.
func (c *client) say(line, want string) {
	c.t.Helper()
	c.write(line + "\r\n")
	c.expect(want)
}

const (
	bulkMessage  = "Subject: news\r\nList-Id: <l.example.com>\r\n\r\nHello,\r\n..dotted\r\n"
	plainMessage = "Subject: your password\r\n\r\nHello,\r\n..dotted\r\n"
)

// unstuffed is a message as it is meant.
func unstuffed(message string) string { return strings.ReplaceAll(message, "\r\n..", "\r\n.") }

// send brings one message and returns the answer, for LMTP one for each recipient.
func (c *client) send(lmtp bool, message string, rcpts ...string) (answers []string) {
	c.t.Helper()
	c.say("MAIL FROM:<news@example.com> BODY=8BITMIME", "250 2.1.0")
	for _, to := range rcpts {
		c.say("RCPT TO:<"+to+">", "250 2.1.5")
	}
	c.say("DATA", "354 ")
	c.write(message + ".\r\n")
	answers = append(answers, c.reply())
	for lmtp && len(answers) < len(rcpts) {
		answers = append(answers, c.reply())
	}
	return answers
}
