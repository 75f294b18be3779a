package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/filter"
)

const hello = `
S: 220 mta.example ESMTP
C: EHLO door.example
`

const pipelining = hello + `
S: 250-mta.example
S: 250-PIPELINING
S: 250-SIZE 1000
S: 250-8BITMIME
S: 250-DSN
S: 250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT
S: 250 SMTPUTF8
`

func scriptedUpstream(t *testing.T, scripts ...string) (*upstream, *scriptedMTA) {
	m := &scriptedMTA{t: t, scripts: scripts}
	cfg := DefaultConfig()
	cfg.Reinject = "[127.0.0.1]:10026"
	return newUpstream(cfg, "door.example", m.dial), m
}

// send has a message sent, and returns all that the MTA said of it.
func send(t *testing.T, u *upstream, e passEnvelope, pieces ...string) string {
	p, err := u.begin(t.Context(), e)
	if err != nil {
		return "begin: " + err.Error()
	}
	var said []string
	some := false
	for _, r := range p.replies() {
		said = append(said, r.String())
		some = some || r.ok()
	}
	if !some {
		p.abort()
		return strings.Join(said, "|")
	}
	if err := p.data(time.Now().Add(time.Minute)); err != nil {
		p.abort()
		return "data: " + err.Error()
	}
	for _, b := range pieces {
		if _, err := p.Write([]byte(b)); err != nil {
			p.abort()
			return "write: " + err.Error()
		}
	}
	r, err := p.end(time.Now().Add(time.Minute))
	if err != nil {
		return "end: " + err.Error()
	}
	return strings.Join(append(said, r.String()), "|")
}

func TestDialogues(t *testing.T) {
	whole := passEnvelope{
		mail: "<a@a.example> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=x AUTH=<>", rcpts: []string{"<b@b.example> NOTIFY=NEVER", "c@c.example"},
		client: filter.Offer{ClientName: "client.example", ClientAddr: netip.MustParseAddr("2001:db8::1"), Helo: "a+b c", Port: "8896"}, queueID: "4ABC",
		forward: attributes{Port: "4711", Proto: "ESMTP", Source: "REMOTE"},
	}
	plain := passEnvelope{mail: "<> SIZE=5 BODY=8BITMIME AUTH=<>", rcpts: []string{"<b@b.example> ORCPT=rfc822;b", "<c@c.example>"}}
	for _, test := range []struct {
		name   string
		e      passEnvelope
		pieces []string
		script string
		want   string
	}{
		{"all that the MTA knows is said, in one write", whole, []string{"A: b\r\n", "\r\n", ".\r\n..x\r", "\n.", "y\r\n"}, pipelining + `
			C: XFORWARD NAME=client.example ADDR=IPV6:2001:db8::1 PORT=4711 PROTO=ESMTP HELO=a+2Bb+20c IDENT=4ABC SOURCE=REMOTE
			C: MAIL FROM:<a@a.example> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=x
			C: RCPT TO:<b@b.example> NOTIFY=NEVER
			C: RCPT TO:<c@c.example>
			S: 250 2.0.0 Ok
			S: 250 2.1.0 Ok
			S: 250 2.1.5 Ok b
			S: 250 2.1.5 Ok c
			C: DATA
			S: 354 go on
			C: A: b
			C: 
			C: ..
			C: ...x
			C: ..y
			C: .
			S: 250 2.0.0 Ok: queued as 4XYZ
			C: QUIT`, "250 2.1.5 Ok b|250 2.1.5 Ok c|250 2.0.0 Ok: queued as 4XYZ"},
		{"an MTA without extensions", plain, []string{"A: b\r\n\r\nwithout an end"}, hello + `
			S: 502 what
			C: HELO door.example
			S: 250 mta.example
			C: MAIL FROM:<>
			S: 250 Ok
			C: RCPT TO:<b@b.example>
			S: 250-one
			S: 251 2.1.5 two
			C: RCPT TO:<c@c.example>
			S: 450 4.2.0 full
			C: DATA
			S: 354 go on
			C: A: b
			C: 
			C: without an end
			C: .
			S: 250 done
			C: QUIT`, "251 2.1.5 one two|450 4.2.0 full|250 done"},
		{"MAIL is refused", plain, nil, pipelining + `
			C: XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE] HELO=[UNAVAILABLE] IDENT=[UNAVAILABLE] SOURCE=[UNAVAILABLE]
			C: MAIL FROM:<> SIZE=5 BODY=8BITMIME
			C: RCPT TO:<b@b.example> ORCPT=rfc822;b
			C: RCPT TO:<c@c.example>
			S: 501 5.5.4 no
			S: 552 5.3.4 too large
			S: 503 5.5.1 first MAIL
			S: 503 5.5.1 first MAIL
			C: QUIT
			C! close`, "552 5.3.4 too large|552 5.3.4 too large"},
		{"DATA is refused", passEnvelope{mail: "<>", rcpts: []string{"<b@b.example>"}}, []string{"A: b\r\n\r\n"}, hello + `
			S: 250 mta.example
			C: MAIL FROM:<>
			S: 250 Ok
			C: RCPT TO:<b@b.example>
			S: 250 Ok
			C: DATA
			S: 554-5.7.1 not
			S: 554 5.7.1 from you
			C: QUIT
			C! close`, "250 Ok|554 5.7.1 not from you"},
		{"SMTPUTF8 is not announced", passEnvelope{mail: "<ä@b.example> smtputf8", rcpts: []string{"<b@b.example>"}}, nil, hello + `
			S: 250-mta.example
			S: 250 PIPELINING
			C: QUIT
			C! close`, "550 5.6.7 the mail server behind this filter does not announce SMTPUTF8, which the message asks for"},
		{"the MTA wants no mail at all", plain, nil, `
			S: 421 4.3.2 too busy
			C! close`, `begin: the reply to its greeting is "421 4.3.2 too busy"`},
		{"an empty message", passEnvelope{mail: "<>", rcpts: []string{"<b@b.example>"}}, nil, hello + `
			S: 250 mta.example
			C: MAIL FROM:<>
			S: 250 Ok
			C: RCPT TO:<b@b.example>
			S: 250 Ok
			C: DATA
			S: 354 go on
			C: .
			S: 554 5.6.0 empty
			C: QUIT
			C! close`, "250 Ok|554 5.6.0 empty"},
		{"the MTA hangs up behind the dot", passEnvelope{mail: "<>", rcpts: []string{"<b@b.example>"}}, []string{"A: b\r\n\r\n"}, hello + `
			S: 250 mta.example
			C: MAIL FROM:<>
			S: 250 Ok
			C: RCPT TO:<b@b.example>
			S: 250 Ok
			C: DATA
			S: 354 go on
			C: A: b
			C: 
			C: .`, "end: no reply to the end of the message, so nobody knows whether the MTA has taken it: EOF"},
		{"the MTA says nothing behind the dot", passEnvelope{mail: "<>", rcpts: []string{"<b@b.example>"}}, []string{"A: b\r\n\r\n"}, hello + `
			S: 250 mta.example
			C: MAIL FROM:<>
			S: 250 Ok
			C: RCPT TO:<b@b.example>
			S: 250 Ok
			C: DATA
			S: 354 go on
			C: A: b
			C: 
			C: .
			C! close`, "end: no reply to the end of the message, so nobody knows whether the MTA has taken it: read pipe: i/o timeout"},
		{"a line end in a command", passEnvelope{mail: "<a@b.example\nDATA>", rcpts: []string{"<b@b.example>"}}, nil, hello + `
			S: 250 mta.example
			C! close`, "begin: a command has a line end within"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, m := scriptedUpstream(t, test.script)
				if got := send(t, u, test.e, test.pieces...); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				u.close()
				m.done()
			})
		})
	}
}

const oneMessage = `
C: MAIL FROM:<a@a.example>
C: RCPT TO:<b@b.example>
S: 250 Ok
S: 250 Ok
C: DATA
S: 354 go on
C: x
C: .
S: 250 Ok: queued
`

const noXForward = hello + `
S: 250-mta.example
S: 250 PIPELINING
`

var small = passEnvelope{mail: "<a@a.example>", rcpts: []string{"<b@b.example>"}}

func TestWireIsUsedAgain(t *testing.T) {
	for _, test := range []struct {
		name    string
		scripts []string
		pause   time.Duration
	}{
		{"at once", []string{noXForward + oneMessage + oneMessage + "C: QUIT\nC! close"}, 0},
		{"not after a pause", []string{noXForward + oneMessage + "C: QUIT\nC! close", noXForward + oneMessage + "C: QUIT\nC! close"}, spareTime},
		{"the MTA has closed it", []string{noXForward + oneMessage + "S! close", noXForward + oneMessage + "C: QUIT\nC! close"}, 0},
		{"the MTA was about to close it", []string{
			noXForward + oneMessage + "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>\nS: 421 4.4.2 timeout\nS! close",
			noXForward + oneMessage + "C: QUIT\nC! close"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, m := scriptedUpstream(t, test.scripts...)
				for range 2 {
					if got := send(t, u, small, "x\r\n"); got != "250 Ok|250 Ok: queued" {
						t.Error(got)
					}
					time.Sleep(test.pause)
					synctest.Wait()
				}
				u.close()
				m.done()
			})
		})
	}
}

func TestSpareWiresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, m := scriptedUpstream(t)
		var open []*passage
		for range maxSpare + 3 {
			m.scripts = append(m.scripts, noXForward+oneMessage+"C: QUIT\nC! close")
			p, err := u.begin(t.Context(), small)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, p)
		}
		for _, p := range open {
			if err := p.data(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			p.Write([]byte("x\r\n"))
			if r, err := p.end(time.Now().Add(time.Minute)); err != nil || !r.ok() {
				t.Fatal(r, err)
			}
		}
		if len(u.spare) != maxSpare {
			t.Errorf("%d spare wires, want %d", len(u.spare), maxSpare)
		}
		u.close()
		m.done()
	})
}

// An MTA answers each RCPT before it reads the next. While nobody reads its replies it blocks, and must not block us for good.
func TestManyRecipients(t *testing.T) {
	const many = 1000
	client, server := net.Pipe()
	go func() { // ends with the client
		commands := make(chan string, 256) // the sockets hold maxFlight bytes at the least
		go func() {                        // likewise
			defer close(commands)
			for sc := bufio.NewScanner(server); sc.Scan(); {
				commands <- sc.Text()
			}
		}()
		io.WriteString(server, "220 mta\r\n")
		for c := range commands {
			text := "250 " + strings.TrimPrefix(c, "RCPT TO:")
			if strings.HasPrefix(c, "EHLO") {
				text = "250-mta\r\n250 PIPELINING"
			}
			io.WriteString(server, text+"\r\n")
		}
	}()
	u := newUpstream(DefaultConfig(), "door.example", func(context.Context, string, string) (net.Conn, error) { return client, nil })
	e := passEnvelope{mail: "<>"}
	for i := range many {
		e.rcpts = append(e.rcpts, fmt.Sprintf("<recipient%d@b.example>", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := u.begin(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	defer p.abort()
	for i, r := range p.replies() {
		if r.text != e.rcpts[i] {
			t.Fatalf("the reply to recipient %d is %q", i, r.text)
		}
	}
	if len(p.replies()) != many {
		t.Error(len(p.replies()))
	}
}

func TestContentInAnyPieces(t *testing.T) {
	content := ".\r\n..\r\n.a\r\nb.\r\n\r\n.\r\nend\r\n"
	for i := range content {
		for j := i; j < len(content); j += 3 {
			if got := throughPassage(t, content[:i], content[i:j], content[j:]); got != content {
				t.Fatalf("cut at %d and %d: got %q", i, j, got)
			}
		}
	}
	large := strings.Repeat(".a line of text\r\n.\r\n", 3*largeBuffer/19)
	for _, step := range []int{1000, largeBuffer - 1, largeBuffer, largeBuffer + 1, len(large)} {
		var pieces []string
		for b := large; b != ""; {
			n := min(step, len(b))
			pieces, b = append(pieces, b[:n]), b[n:]
		}
		if got := throughPassage(t, pieces...); got != large {
			t.Errorf("in pieces of %d bytes: got %d bytes, want %d", step, len(got), len(large))
		}
	}
}

// throughPassage is what an MTA makes of the content.
func throughPassage(t *testing.T, pieces ...string) string {
	client, server := net.Pipe()
	got := make(chan string, 1)
	go func() { // ends with the dot
		b, _ := io.ReadAll(textproto.NewReader(bufio.NewReader(server)).DotReader())
		got <- strings.ReplaceAll(string(b), "\n", "\r\n")
		io.WriteString(server, "250 Ok\r\n")
	}()
	u, _ := scriptedUpstream(t)
	p := &passage{up: u, w: &wire{nc: client, answers: answers{nc: client}}, inData: true, lineStart: true, lent: largeBuffers.Get().(*[]byte)}
	p.buf = (*p.lent)[:0]
	for _, b := range pieces {
		if n, err := p.Write([]byte(b)); err != nil || n != len(b) {
			t.Fatal(n, err)
		}
	}
	if r, err := p.end(time.Now().Add(time.Minute)); err != nil || !r.ok() {
		t.Fatal(r, err)
	}
	return <-got
}

// realUpstream is an MTA behind real sockets: serve is called for its one connection behind "DATA".
func realUpstream(t *testing.T, network string, serve func(nc net.Conn, br *bufio.Reader)) *upstream {
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = t.TempDir() + "/mta"
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with its one connection, or the listener
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		br := bufio.NewReader(nc)
		io.WriteString(nc, "220 mta\r\n")
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if line == "DATA\r\n" {
				io.WriteString(nc, "354 go on\r\n")
				serve(nc, br)
				return
			}
			io.WriteString(nc, "250 Ok\r\n")
		}
	}()
	cfg := DefaultConfig()
	cfg.Reinject = ln.Addr().String()
	if network == "unix" {
		cfg.Reinject = "unix:" + cfg.Reinject
	}
	return newUpstream(cfg, "door.example", nil)
}

// An MTA that refuses a message before its end may read no more of it. Its reply is what the client hears, and nobody blocks.
func TestEarlyRefusal(t *testing.T) {
	quit := make(chan struct{})
	t.Cleanup(func() { close(quit) })
	for _, network := range []string{"tcp", "unix"} {
		for name, serve := range map[string]func(nc net.Conn, br *bufio.Reader){
			"and reads nothing": func(nc net.Conn, _ *bufio.Reader) { io.WriteString(nc, "552 5.3.4 too large\r\n"); <-quit },
			"and closes": func(nc net.Conn, br *bufio.Reader) {
				br.ReadString('\n')
				io.WriteString(nc, "552 5.3.4 too large\r\n")
			},
			"in two pieces": func(nc net.Conn, _ *bufio.Reader) {
				io.WriteString(nc, "552-5.3.4 too\r\n")
				io.WriteString(nc, "552 5.3.4 large\r\n")
				<-quit
			},
			"and reads to the end": func(nc net.Conn, br *bufio.Reader) {
				io.WriteString(nc, "552 5.3.4 too large\r\n")
				io.Copy(io.Discard, br)
			},
		} {
			t.Run(network+" "+name, func(t *testing.T) {
				u := realUpstream(t, network, serve)
				line := strings.Repeat("x", 998) + "\r\n"
				pieces := make([]string, 16<<10)
				for i := range pieces {
					pieces[i] = line
				}
				if got := send(t, u, small, pieces...); got != "250 Ok|552 5.3.4 too large" && !(name == "and closes" && strings.HasPrefix(got, "write: the MTA has hung up")) {
					t.Error(got)
				}
			})
		}
	}
}

func TestAbortSendsNoDot(t *testing.T) {
	seen := make(chan []byte, 1)
	u := realUpstream(t, "tcp", func(_ net.Conn, br *bufio.Reader) {
		b, _ := io.ReadAll(br)
		seen <- b
	})
	p, err := u.begin(t.Context(), small)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.data(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	p.Write(bytes.Repeat([]byte("text\r\n"), largeBuffer))
	p.abort()
	if b := <-seen; bytes.Contains(b, []byte("\r\n.\r\n")) || len(b) == 0 {
		t.Errorf("the MTA has read %d bytes, and a dot: %v", len(b), bytes.Contains(b, []byte("\r\n.\r\n")))
	}
	if len(u.spare) != 0 {
		t.Error("the wire is kept")
	}
}

func TestReinjectAddress(t *testing.T) {
	for s, want := range map[string]string{
		"[127.0.0.1]:10026": "tcp [127.0.0.1]:10026", "[::1]:10026": "tcp [::1]:10026", "unix:/run/mta": "unix /run/mta",
	} {
		network, addr := reinjectAddress(s)
		if got := fmt.Sprint(network, " ", addr); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}
