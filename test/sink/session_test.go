package sink

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// start makes a Sink with one listener, both closed when the test ends.
func start(t testing.TB, c Config, ch Character) (*Sink, net.Addr) {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	addr, err := s.Listen("127.0.0.1:0", ch)
	if err != nil {
		t.Fatal(err)
	}
	return s, addr
}

// peer is a client that sends exactly what a test says.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t, conn, bufio.NewReader(conn)}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads one reply and compares the beginning of its last line.
func (p *peer) expect(prefix string) string {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("want %q: %v", prefix, err)
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			if !strings.HasPrefix(line, prefix) {
				p.t.Fatalf("got %q, want %q", line, prefix)
			}
			return all.String()
		}
	}
}

func (p *peer) expectEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.r); err != nil || len(rest) > 0 {
		p.t.Fatalf("want the end of the connection, got %q, %v", rest, err)
	}
}

func (p *peer) hello() {
	p.t.Helper()
	p.expect("220 ")
	p.send("EHLO client.test\r\n")
	p.expect("250 ")
}

// talk runs a script of lines: "C: " is sent, "S: " is the beginning of the reply that must come.
func (p *peer) talk(script string) {
	p.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		switch side, text, _ := strings.Cut(line, " "); side {
		case "C:":
			p.send(text + "\r\n")
		case "S:":
			p.expect(text)
		}
	}
}

func TestDialogue(t *testing.T) {
	for _, c := range []struct {
		name   string
		ch     Character
		script string
		count  int
	}{
		{"plain", Character{}, `
			S: 220
			C: HELO a
			S: 250
			C: MAIL FROM:<>
			S: 250 2.1.0
			C: RCPT TO:<a@b.test>
			S: 250 2.1.5
			C: DATA
			S: 354
			C: .
			S: 250 2.0.0
			C: QUIT
			S: 221`, 1},
		{"order and syntax", Character{}, `
			S: 220
			C: MAIL FROM:<a@b>
			S: 503
			C: EHLO
			S: 501
			C: LHLO a
			S: 500
			C: EHLO a
			S: 250
			C: RCPT TO:<a@b>
			S: 503
			C: DATA
			S: 554
			C: MAIL a@b
			S: 501
			C: MAIL FROM:<a@b>
			S: 250
			C: MAIL FROM:<a@b>
			S: 503
			C: RCPT TO:<>
			S: 501
			C: DATA
			S: 554
			C: BDAT 0 LAST
			S: 502
			C: STARTTLS
			S: 502
			C: VRFY a
			S: 252
			C: NOOP
			S: 250
			C: WHAT
			S: 500`, 0},
		{"refuse", Character{Refuse: Matching("gone*@*")}, `
			S: 220
			C: EHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RCPT TO:<gone1@b>
			S: 550 5.1.1
			C: RCPT TO:<here@b>
			S: 250
			C: DATA
			S: 354
			C: .
			S: 250`, 1},
		{"two recipients at most", Character{MaxRecipients: 2}, `
			S: 220
			C: EHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RCPT TO:<a@b>
			S: 250
			C: RCPT TO:<b@b>
			S: 250
			C: RCPT TO:<c@b>
			S: 452 4.5.3
			C: DATA
			S: 354
			C: .
			S: 250`, 2},
		{"one message a connection", Character{MessagesPerConn: 1}, `
			S: 220
			C: EHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RCPT TO:<a@b>
			S: 250
			C: DATA
			S: 354
			C: .
			S: 250
			C: MAIL FROM:<a@b>
			S: 421 4.7.0`, 1},
		{"one message a second", Character{PerSecond: 1}, `
			S: 220
			C: EHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<a@b>
			S: 451 4.7.28`, 0},
		{"greylist", Character{Greylist: time.Hour}, `
			S: 220
			C: EHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RCPT TO:<a@b>
			S: 451 4.7.1
			C: RCPT TO:<a@b>
			S: 451 4.7.1`, 0},
		{"LMTP", Character{LMTP: true, Faults: []Fault{{Stage: Dot, Do: Reply451, Match: "later@"}}}, `
			S: 220
			C: EHLO a
			S: 500
			C: LHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RCPT TO:<now@b>
			S: 250
			C: RCPT TO:<later@b>
			S: 250
			C: RCPT TO:<now2@b>
			S: 250
			C: DATA
			S: 354
			C: .
			S: 250
			S: 451
			S: 250`, 2},
		{"BDAT", Character{Extensions: []string{"CHUNKING"}}, `
			S: 220
			C: EHLO a
			S: 250
			C: MAIL FROM:<a@b>
			S: 250
			C: RCPT TO:<a@b>
			S: 250
			C: BDAT 6
			C: 1234
			S: 250
			C: DATA
			S: 503
			C: BDAT 2 LAST
			C:
			S: 250
			C: BDAT x
			S: 501`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, addr := start(t, Config{}, c.ch)
			dial(t, addr).talk(c.script)
			if s.Count() != c.count {
				t.Errorf("%d deliveries, want %d", s.Count(), c.count)
			}
		})
	}
}

// TestPipelined sends two messages in one write. Every reply must come, and the replies to the first message in one
// segment.
func TestPipelined(t *testing.T) {
	s, addr := start(t, Config{Keep: true}, Character{})
	p := dial(t, addr)
	p.hello()
	const envelope = "MAIL FROM:<a@b.test>\r\nRCPT TO:<a@c.test>\r\nRCPT TO:<b@c.test>\r\nDATA\r\n"
	p.send(envelope + "Subject: 1\r\n\r\n..one\r\n.\r\n" + envelope)
	for _, want := range []string{"250 2.1.0", "250 2.1.5", "250 2.1.5", "354", "250 2.0.0", "250 2.1.0", "250 2.1.5", "250 2.1.5", "354"} {
		p.expect(want)
	}
	p.send("Subject: 2\r\n\r\n.\r\nQUIT\r\n")
	p.expect("250 2.0.0")
	p.expect("221 ")
	p.expectEnd()
	all := s.Deliveries()
	if len(all) != 4 || string(all[0].Raw) != "Subject: 1\r\n\r\n.one\r\n" || all[1].Rcpt != "b@c.test" {
		t.Errorf("ledger: %+v", all)
	}
}

// oneWrite counts the writes of a session.
type oneWrite struct {
	net.Conn
	writes []string
}

func (o *oneWrite) Write(p []byte) (int, error) {
	o.writes = append(o.writes, string(p))
	return o.Conn.Write(p)
}

func TestOneWritePerGroup(t *testing.T) {
	sink, _ := start(t, Config{}, Character{})
	l := sink.listeners[0]
	client, server := net.Pipe()
	conn := &oneWrite{Conn: server}
	s := newSession(l, conn)
	go func() { // ends with the session, which closes the pipe
		_, _ = io.WriteString(client, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<b@b>\r\nDATA\r\n")
		_, _ = io.WriteString(client, ".\r\nQUIT\r\n")
	}()
	go func() { _, _ = io.Copy(io.Discard, client) }() // ends with the session
	s.serve()
	if len(conn.writes) != 3 {
		t.Errorf("banner, group and end took %d writes: %q", len(conn.writes), conn.writes)
	}
}

func TestTooBig(t *testing.T) {
	s, addr := start(t, Config{MaxSize: 100}, Character{})
	p := dial(t, addr)
	p.hello()
	p.send("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n" + strings.Repeat("x", 200) + "\r\n.\r\nNOOP\r\n")
	for _, want := range []string{"250", "250", "354", "552 5.3.4", "250 2.0.0"} {
		p.expect(want)
	}
	if s.Count() != 0 {
		t.Error("what was refused is in the ledger")
	}
}

func TestMaxConns(t *testing.T) {
	s, addr := start(t, Config{}, Character{Name: "one.test", MaxConns: 1})
	dial(t, addr).hello()
	p := dial(t, addr)
	p.expect("421 4.7.0")
	p.expectEnd()
	if c := s.Counts("one.test"); c.Connections != 2 || c.MaxOpen != 2 || c.TurnedAway != 1 || c.Deferred != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestDelay(t *testing.T) {
	_, addr := start(t, Config{}, Character{Delay: 30 * time.Millisecond})
	begin := time.Now()
	p := dial(t, addr)
	p.hello()
	p.send("NOOP\r\nNOOP\r\n")
	p.expect("250")
	p.expect("250")
	if took := time.Since(begin); took < 4*30*time.Millisecond {
		t.Errorf("four replies took only %v", took)
	}
}

func TestSTARTTLS(t *testing.T) {
	s, addr := start(t, Config{}, Character{TLS: true})
	p := dial(t, addr)
	p.hello()
	p.talk("C: STARTTLS\nS: 220")
	conn := tls.Client(p.Conn, &tls.Config{RootCAs: s.Roots(), ServerName: "mx.test"})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.Conn, p.r = conn, bufio.NewReader(conn)
	p.talk("C: MAIL FROM:<a@b>\nS: 503")
	p.send("EHLO a\r\n")
	if reply := p.expect("250"); strings.Contains(reply, "STARTTLS") {
		t.Errorf("STARTTLS offered twice: %s", reply)
	}
	p.talk("C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<a@b>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250")
	if d := s.Deliveries(); len(d) != 1 || !d[0].TLS {
		t.Errorf("ledger: %+v", d)
	}
}

// TestSTARTTLSInjection sends a command behind STARTTLS in the same segment; obeying it would be CVE-2011-0411.
func TestSTARTTLSInjection(t *testing.T) {
	_, addr := start(t, Config{}, Character{TLS: true})
	p := dial(t, addr)
	p.hello()
	p.send("STARTTLS\r\nNOOP\r\n")
	p.expect("220")
	p.expectEnd()
}

func TestCloseEndsEverything(t *testing.T) {
	s, addr := start(t, Config{}, Character{Faults: []Fault{{Stage: Mail, Do: Silence}}, Delay: time.Millisecond})
	p := dial(t, addr)
	p.hello()
	p.send("MAIL FROM:<a@b>\r\n")
	idle := dial(t, addr)
	idle.expect("220")
	done := make(chan error)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for a silent session")
	}
	if _, err := s.Listen("127.0.0.1:0", Character{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Close: %v", err)
	}
}

func TestReadTimeout(t *testing.T) {
	_, addr := start(t, Config{Timeout: 20 * time.Millisecond}, Character{})
	p := dial(t, addr)
	p.expect("220")
	p.expectEnd()
}

func TestLongCommandLine(t *testing.T) {
	_, addr := start(t, Config{}, Character{})
	p := dial(t, addr)
	p.expect("220")
	p.send(strings.Repeat("x", 3*maxLine))
	p.expect("500 5.5.2")
}

func TestCapabilities(t *testing.T) {
	_, addr := start(t, Config{MaxSize: 12345}, Character{Name: "mx.test", TLS: true})
	p := dial(t, addr)
	p.expect("220 mx.test")
	p.send("EHLO a\r\n")
	reply := p.expect("250")
	for _, want := range append(DefaultExtensions(), "SIZE 12345", "STARTTLS") {
		if !strings.Contains(reply, want+"\r\n") {
			t.Errorf("%s is not in %q", want, reply)
		}
	}
	_, bare := start(t, Config{}, Character{Extensions: []string{}})
	p = dial(t, bare)
	p.expect("220")
	p.send("EHLO a\r\n")
	if reply := p.expect("250 "); strings.Count(reply, "\n") != 1 {
		t.Errorf("no extensions asked for, got %q", reply)
	}
}

func BenchmarkReceive(b *testing.B) {
	s, addr := start(b, Config{}, Character{})
	message := "X-Ledger: bench\r\nSubject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 256)
	wire := []byte("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n" + message + ".\r\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := dial(b, addr)
		p.hello()
		for pb.Next() {
			_ = p.SetDeadline(time.Now().Add(time.Minute))
			if _, err := p.Write(wire); err != nil {
				b.Error(err)
				return
			}
			for range 4 {
				if _, err := p.r.ReadSlice('\n'); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	if s.Count() < b.N {
		b.Errorf("%d of %d in the ledger", s.Count(), b.N)
	}
}
