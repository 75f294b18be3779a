package smtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// polite connects to a server that takes everything.
func polite(t testing.TB, ehlo string, taken func(string)) *Conn {
	t.Helper()
	c, err := serve(t, testConfig(), func(p *peer) {
		p.say("220 mx.example")
		answer(p, ehlo, taken)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const pipelining = "250-mx.example\r\n250 PIPELINING"

// A message costs one write: its body, and the next envelope behind it.
func TestOneWriteAMessage(t *testing.T) {
	c := polite(t, pipelining, func(string) {})
	w := c.sock.(*wire)
	before := len(w.written())
	var txs []*Transaction
	for range 10 {
		txs = append(txs, message("b@b.example"))
	}
	if _, err := deliver(c, txs...); err != nil {
		t.Fatal(err)
	}
	if got := len(w.written()) - before; got != 11 {
		t.Errorf("%d writes for 10 messages, want 11", got)
	}
}

// short is a connection on which nothing goes out behind the end of data.
type short struct{ *wire }

func (s short) Write(p []byte) (int, error) {
	i := bytes.Index(p, []byte("\r\n.\r\n"))
	if i < 0 || i+5 == len(p) {
		return s.wire.Write(p)
	}
	n, _ := s.wire.Write(p[:i+5])
	return n, io.ErrClosedPipe
}

// When only the envelope behind a body cannot be written, the reply to the body
// still counts, and the message behind it is not charged.
func TestCutBehindTheDot(t *testing.T) {
	c := polite(t, pipelining, func(string) {})
	c.nc = short{c.sock.(*wire)}
	back, err := deliver(c, message("b@b.example"), message("b@b.example"), message("b@b.example"))
	if err == nil || len(back) != 2 {
		t.Fatalf("%v, %d handed back", err, len(back))
	}
	if got := outcome(back[0].Results[0]) + ", " + outcome(back[1].Results[0]); got != "sent 250, again" || back[0].Results[0].Unknown {
		t.Errorf("got %s, unknown %v", got, back[0].Results[0].Unknown)
	}
}

// Long recipient lists leave in groups that fit into any socket buffer, even
// when nothing is read meanwhile: here one of 8 KB and not a byte more each way.
func TestGroupsStaySmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, far := newWire(groupBytes)
		var taken []string
		ended := make(chan struct{})
		go func() { // ends when the client closes, below
			defer close(ended)
			p := newPeer(far)
			p.say("220 mx.example")
			answer(p, "250-mx.example\r\n250-PIPELINING\r\n250 DSN", func(b string) { taken = append(taken, b) })
		}()
		c, err := NewConn(context.Background(), client, testPeer, testConfig())
		if err != nil {
			t.Fatal(err)
		}
		tx := message()
		for i := range 100 {
			r := Rcpt{Addr: fmt.Sprintf("%s%d@b.example", strings.Repeat("a", 200), i), ORcpt: "rfc822;" + strings.Repeat("b", 400)}
			tx.Rcpts = append(tx.Rcpts, r)
		}
		back, err := deliver(c, message("b@b.example"), tx, message("b@b.example"))
		if err != nil || len(back) != 3 {
			t.Fatal(err)
		}
		for i, r := range tx.Results {
			if !r.Sent() {
				t.Fatalf("recipient %d: %s", i, outcome(r))
			}
		}
		for _, n := range client.written() {
			if n > groupBytes+len("Subject: x\r\n\r\nhello\r\n.\r\n") {
				t.Errorf("a write of %d bytes", n)
			}
		}
		client.Close()
		<-ended
		if len(taken) != 3 {
			t.Errorf("%d taken", len(taken))
		}
	})
}

// Deliver must not ask for more than it can carry, asks for one message ahead at
// most, and hands all back in order, those it refuses itself included.
func TestNextAndDone(t *testing.T) {
	c := polite(t, pipelining, func(string) {})
	var log []string
	i := 0
	err := c.Deliver(func() *Transaction {
		if i == 6 {
			log = append(log, "end")
			return nil
		}
		i++
		log = append(log, fmt.Sprint("next ", i))
		tx := message("b@b.example")
		tx.Tag = i
		tx.EightBit = i == 3 || i == 4 || i == 6 // refused: no 8BITMIME
		return tx
	}, func(tx *Transaction) { log = append(log, fmt.Sprint("done ", tx.Tag)) })
	if err != nil {
		t.Fatal(err)
	}
	want := "next 1, next 2, done 1, next 3, done 2, done 3, next 4, done 4, next 5, next 6, done 5, done 6, end"
	if got := strings.Join(log, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if c.Uses() != 3 {
		t.Errorf("%d uses, want 3", c.Uses())
	}
}

func TestNothingToDeliver(t *testing.T) {
	c := polite(t, pipelining, nil)
	if back, err := deliver(c); err != nil || len(back) != 0 || !c.Alive() {
		t.Error(back, err)
	}
	if back, err := deliver(c, message()); err != nil || len(back) != 1 || c.Uses() != 0 {
		t.Error(back, err)
	}
}

// A connection goes on over several calls, and an idle one keeps no message.
func TestSeveralDelivers(t *testing.T) {
	c := polite(t, pipelining, func(string) {})
	c.Limit(3)
	for i := 1; i <= 3; i++ {
		tx := message("b@b.example")
		_, err := deliver(c, tx)
		if tx.ConnUse != i || (i < 3 && err != nil) || (i == 3 && err != ErrLimit) {
			t.Fatalf("message %d: use %d, %v", i, tx.ConnUse, err)
		}
	}
	if back, err := deliver(c, message("b@b.example")); err != ErrLimit || len(back) != 0 {
		t.Errorf("%v, %d taken", err, len(back))
	}
	for i := range c.flights {
		if c.flights[i].tx != nil {
			t.Error("a message is kept")
		}
	}
	for _, b := range c.bufs[:cap(c.bufs)] {
		if b != nil {
			t.Error("a slice of a message is kept")
		}
	}
}

// A transaction can be handed out again; its results from before are gone.
func TestTransactionAgain(t *testing.T) {
	c := polite(t, pipelining, func(string) {})
	tx := message("b@b.example", "c@b.example")
	tx.Results = []Result{{Again: true, Unknown: true}, {Err: local("5.0.0", "old")}, {Again: true}}
	tx.Reply = Reply{Code: 554}
	if _, err := deliver(c, tx); err != nil {
		t.Fatal(err)
	}
	if len(tx.Results) != 2 || !tx.Results[0].Sent() || !tx.Results[1].Sent() || tx.Results[0].Unknown || tx.Reply.Code != 250 || tx.Reply.Enhanced != "2.0.0" {
		t.Errorf("got %+v", tx)
	}
}

// Started, Accepted and Done divide the time of a message behind another one
// into its own parts.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := polite(t, pipelining, func(string) { time.Sleep(10 * time.Second) })
		start := time.Now()
		a, b := message("b@b.example"), message("b@b.example")
		if _, err := deliver(c, a, b); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			at   time.Time
			want time.Duration
		}{
			{"first started", a.Started, 0}, {"first accepted", a.Accepted, 0}, {"first done", a.Done, 10 * time.Second},
			{"second started", b.Started, 10 * time.Second}, {"second accepted", b.Accepted, 10 * time.Second}, {"second done", b.Done, 20 * time.Second},
		} {
			if got := tt.at.Sub(start); got != tt.want {
				t.Errorf("%s after %v, want %v", tt.name, got, tt.want)
			}
		}
	})
}

// Bodies of all sizes, cut in all ways, arrive as they were over a socket too,
// where they leave by writev in blocks.
func TestBodiesOverTCP(t *testing.T) {
	taken := make(chan string, 1)
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, pipelining, func(b string) { taken <- b })
	})
	c := dial(t, to, testConfig())
	for _, size := range []int{0, 1, blockBytes - 3, blockBytes, blockBytes + 1, 5 * blockBytes} {
		for _, piece := range []int{1000, size/2 + 1} {
			text := bytes.Repeat([]byte(".23456789abcdef\r\n"), size/17+1)[:size]
			text = append(bytes.TrimRight(text, "\r"), "end\r\n"...)
			tx := message("b@b.example")
			tx.Content = nil
			for rest := text; len(rest) > 0; {
				n := min(piece, len(rest))
				tx.Content, rest = append(tx.Content, rest[:n]), rest[n:]
			}
			want := string(text)
			if _, err := deliver(c, tx); err != nil {
				t.Fatal(size, piece, err)
			}
			got := strings.ReplaceAll("\r\n"+<-taken, "\r\n..", "\r\n.")
			if got != "\r\n"+want {
				t.Errorf("%d bytes in pieces of %d were altered", size, piece)
			}
			if string(bytes.Join(tx.Content, nil)) != want {
				t.Errorf("%d bytes in pieces of %d: the content was modified", size, piece)
			}
		}
	}
}

// yes is a server that says yes to everything and allocates nothing.
type yes struct {
	*oracle
	reply string
}

func (y *yes) Write(p []byte) (int, error) {
	switch {
	case !bytes.HasSuffix(p, []byte("DATA\r\n")):
		y.reply = "250 2.0.0 queued\r\n"
	case bytes.HasPrefix(p, []byte("MAIL")):
		y.reply = "250 ok\r\n250 ok\r\n354 go\r\n"
	default:
		y.reply = "250 2.0.0 queued\r\n250 ok\r\n250 ok\r\n354 go\r\n"
	}
	return len(p), nil
}

func (y *yes) Read(p []byte) (int, error) {
	n := copy(p, y.reply)
	y.reply = y.reply[n:]
	return n, nil
}

// A message of any size costs two allocations: the text of its last reply and the
// lines of that text.
func TestAllocations(t *testing.T) {
	o := newOracle(nil, pipelining+"\r\n")
	c, err := NewConn(context.Background(), o, testPeer, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	y := &yes{oracle: o}
	c.nc = y
	c.rd.reset(y)
	txs := [2]*Transaction{message("b@b.example"), message("b@b.example")}
	for _, tx := range txs {
		tx.Content = [][]byte{bytes.Repeat([]byte(".dots and more\r\n"), 1000)}
	}
	i, end := 0, 0
	next := func() *Transaction {
		if i == end {
			return nil
		}
		i++
		return txs[i%2]
	}
	done := func(tx *Transaction) {
		if !tx.Results[0].Sent() {
			t.Error(outcome(tx.Results[0]))
		}
	}
	const n = 100
	got := testing.AllocsPerRun(20, func() {
		end = i + n
		if err := c.Deliver(next, done); err != nil {
			t.Fatal(err)
		}
	})
	if got/n > 3.5 { // under the race detector a pool forgets on purpose
		t.Errorf("%.1f allocations a message", got/n)
	}
}

func TestConfig(t *testing.T) {
	if err := (&Config{Hostname: "[IPv6:2001:db8::1]"}).Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []Config{{}, {Hostname: "a b"}, {Hostname: "a\r\nRSET"}, {Hostname: "bücher.example"},
		{Hostname: "a", Timeouts: Timeouts{Dot: -1}}, {Hostname: "a", Timeouts: Timeouts{MinRate: -1}}} {
		if c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
		client, server := newWire(wireBuffer)
		_, _ = io.WriteString(server, "220 mx.example\r\n")
		if _, err := NewConn(context.Background(), client, testPeer, &c); err == nil {
			t.Errorf("%+v opens a session", c)
		}
		if got := server.in.buf; len(got) > 0 {
			t.Errorf("%+v wrote %q", c, got)
		}
	}
}

func TestTLSModeText(t *testing.T) {
	for _, m := range []TLSMode{TLSOpportunistic, TLSNone} {
		b, _ := m.MarshalText()
		var got TLSMode
		if err := got.UnmarshalText(b); err != nil || got != m {
			t.Errorf("%s became %v, %v", b, got, err)
		}
	}
	var m TLSMode
	if m.UnmarshalText([]byte("sometimes")) == nil {
		t.Error("unknown mode is taken")
	}
}

func TestParseExtensions(t *testing.T) {
	none := Extensions{Size: -1}
	with := func(change func(*Extensions)) Extensions {
		x := none
		change(&x)
		return x
	}
	tests := []struct {
		line string
		want Extensions
	}{
		{"pipelining", with(func(x *Extensions) { x.Pipelining = true })},
		{"8BitMime ", with(func(x *Extensions) { x.EightBitMIME = true })},
		{"CHUNKING", with(func(x *Extensions) { x.Chunking = true })},
		{"SIZE", with(func(x *Extensions) { x.Size = 0 })},
		{"SIZE 0", with(func(x *Extensions) { x.Size = 0 })},
		{"SIZE 35882577", with(func(x *Extensions) { x.Size = 35882577 })},
		{"SIZE much", with(func(x *Extensions) { x.Size = 0 })},
		{"SIZE -5", with(func(x *Extensions) { x.Size = 0 })},
		{"SIZE 99999999999999999999", with(func(x *Extensions) { x.Size = 0 })},
		{"LIMITS MAILMAX=20 rcptmax=30 RCPTDOMAINMAX=1 OTHER=x", with(func(x *Extensions) { x.Limits = Limits{20, 30, 1} })},
		{"LIMITS MAILMAX=0 RCPTMAX=30", with(func(x *Extensions) { x.Limits.RcptMax = 30 })},
		{"LIMITS MAILMAX=x RCPTMAX=30", with(func(x *Extensions) { x.Limits.RcptMax = 30 })},
		{"LIMITS MAILMAX=1000000", none},
		{"LIMITS RCPTMAX=30 MAILMAX", none},
		{"LIMITS RCPTMAX=30 MAILMAX=", none},
		{"LIMITS RCPTMAX=30 A;B=1", none},
		{"AUTH=LOGIN PLAIN", none},
		{"X-PIPELINING", none},
		{"", none},
	}
	for _, tt := range tests {
		if got := parseExtensions([]string{tt.line}); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.line, got, tt.want)
		}
	}
}

func TestAddrString(t *testing.T) {
	if got := testPeer.String(); got != "mx.example[192.0.2.1]:25" {
		t.Error(got)
	}
}

func TestGreeting(t *testing.T) {
	c := polite(t, "250-mx1.example at your service\r\n250 SIZE", nil)
	if c.Greeting() != "mx1.example" || c.Peer() != testPeer {
		t.Errorf("%q, %v", c.Greeting(), c.Peer())
	}
}
