package smtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// oracle is a server in one piece with its connection: what is written to it is
// taken as commands at once, and its replies wait to be read. How it reacts to
// each command is drawn from a list of bytes. It remembers what it has said to
// whom, so that it can be compared with what the client understood.
type oracle struct {
	reactions []byte
	in        []byte // written by the client, not yet a whole line
	out       []byte // not yet read by the client
	down      bool
	ehlo      string
	inBody    bool
	chunk     int    // bytes of a chunk that are still to come
	body      string // of that chunk
	lazy      bool   // a refused chunk leaves the transaction open
	slips     int    // replies too many or too few

	open     bool   // a transaction is
	current  string // its sender
	accepted []string
	rcpts    map[string]int // code said to each recipient
	mails    map[string]int // code said to each sender
	datas    map[string]int // code said to DATA
	dots     map[string]int // code said to the body
	commands []string

	delivered []string // sender, recipients and body of what came by BDAT and was taken
}

func newOracle(reactions []byte, extensions string) *oracle {
	o := &oracle{reactions: reactions, rcpts: map[string]int{}, mails: map[string]int{}, datas: map[string]int{}, dots: map[string]int{}}
	o.out = []byte("220 mx.example\r\n")
	o.ehlo = extensions
	return o
}

func (o *oracle) Write(p []byte) (int, error) {
	if o.down {
		return 0, io.ErrClosedPipe
	}
	o.in = append(o.in, p...)
	for !o.down {
		if n := min(o.chunk, len(o.in)); o.chunk > 0 {
			o.body, o.in, o.chunk = o.body+string(o.in[:n]), o.in[n:], o.chunk-n
			if o.chunk > 0 {
				break
			}
			o.endOfChunk()
			continue
		}
		line, rest, ok := bytes.Cut(o.in, []byte("\r\n"))
		if !ok {
			break
		}
		o.in = rest
		o.take(string(line))
	}
	return len(p), nil
}

func (o *oracle) Read(p []byte) (int, error) {
	if len(o.out) == 0 {
		if o.down {
			return 0, io.EOF
		}
		return 0, os.ErrDeadlineExceeded // the client waits for what will not come
	}
	n := copy(p, o.out)
	o.out = o.out[n:]
	return n, nil
}

func (o *oracle) take(line string) {
	if o.inBody {
		if line == "." {
			o.inBody = false
			o.endOfData()
		}
		return
	}
	o.commands = append(o.commands, line)
	word, args, _ := strings.Cut(line, " ")
	switch word {
	case "EHLO":
		o.out = append(o.out, o.ehlo...)
	case "RSET":
		o.open, o.accepted = false, nil
		o.react(250)
	case "MAIL":
		o.mail(address(args))
	case "RCPT":
		o.rcpt(address(args))
	case "DATA":
		o.data()
	case "BDAT":
		o.body = ""
		fmt.Sscan(args, &o.chunk)
	}
}

// address is what stands between the first and the last bracket.
func address(args string) string {
	return args[strings.IndexByte(args, '<')+1 : strings.LastIndexByte(args, '>')]
}

func (o *oracle) mail(from string) {
	if o.open {
		o.say(503)
		return
	}
	code := o.react(250)
	o.mails[from] = code
	if code/100 == 2 {
		o.open, o.current, o.accepted = true, from, nil
	}
}

func (o *oracle) rcpt(to string) {
	if !o.open {
		o.say(503)
		return
	}
	code := o.react(250)
	o.rcpts[to] = code
	if code/100 == 2 {
		o.accepted = append(o.accepted, to)
	}
}

func (o *oracle) data() {
	if !o.open {
		o.say(503)
		return
	}
	want := 354
	if len(o.accepted) == 0 && len(o.reactions)%2 == 0 {
		want = 554 // half of all servers refuse DATA then
	}
	code := o.react(want)
	o.datas[o.current] = code
	o.inBody = code == 354
}

func (o *oracle) endOfData() {
	want := 250
	if len(o.accepted) == 0 {
		want = 554
	}
	from := o.current
	o.open, o.accepted = false, nil
	o.dots[from] = o.react(want)
}

// endOfChunk is endOfData for BDAT. It holds that a message goes to its own recipients, with its own sender.
func (o *oracle) endOfChunk() {
	if !o.open {
		o.say(503)
		return
	}
	want := 250
	if len(o.accepted) == 0 {
		want = 554
	}
	code := o.react(want)
	o.dots[o.current] = code
	if code/100 == 2 {
		o.delivered = append(o.delivered, fmt.Sprintf("%s %s %s", o.current, strings.Join(o.accepted, ","), strings.TrimSpace(o.body)))
	}
	if code/100 == 2 || !o.lazy {
		o.open, o.accepted = false, nil
	}
}

// react says want, or what the next reaction makes of it, and returns the code
// that was meant.
func (o *oracle) react(want int) int {
	var r byte
	if len(o.reactions) > 0 {
		r, o.reactions = o.reactions[0], o.reactions[1:]
	}
	code := want
	switch r % 16 {
	case 3: // the reply to the next command comes to stand behind this line
		if o.slips == 0 {
			o.slips++
			o.out = append(o.out, fmt.Sprintf("%d-and no last line\r\n", code)...)
			return code
		}
	case 4:
		o.out = append(o.out, fmt.Sprintf("%d-other\r\n", 804-code)...)
	case 5:
		o.out = append(o.out, "what?\r\n"...)
	case 6:
		code = 550
	case 7:
		code = 451
	case 8:
		code = 452
	case 9:
		code = 421
		defer func() { o.down = true }()
	case 10:
		o.down = true
		return 0
	case 11:
		if o.slips == 0 {
			o.slips++
			o.say(250)
		}
	case 12:
		if o.slips == 0 {
			o.slips++
			return code
		}
	case 13:
		if o.slips == 0 {
			o.slips++
			o.out = append(o.out, "what?\r\n"...)
			return 0
		}
	case 14:
		o.out = append(o.out, fmt.Sprintf("%d-more\r\n", code)...)
	case 15:
		code = 604 - code // 354 for 250 and the reverse
		if code < 200 {
			code = 354
		}
	}
	o.say(code)
	return code
}

func (o *oracle) say(code int) { o.out = append(o.out, fmt.Sprintf("%d text\r\n", code)...) }

func (o *oracle) Close() error                     { o.down = true; return nil }
func (o *oracle) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (o *oracle) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (o *oracle) SetDeadline(time.Time) error      { return nil }
func (o *oracle) SetReadDeadline(time.Time) error  { return nil }
func (o *oracle) SetWriteDeadline(time.Time) error { return nil }

// FuzzMatching sends four messages to a server that reacts as the input says, and
// holds what the client understood against what the server said: nobody is
// reported as sent whom the server did not take, nobody is given up whom it did
// not refuse for good, and every message comes back once and in order. That holds
// with one reply too many or too few as well.
func FuzzMatching(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add([]byte{0, 0, 0, 0, 0}, false)
	f.Add([]byte{0, 6, 0, 0, 0, 0, 6, 6, 0, 0}, true)
	f.Add([]byte{0, 11, 6, 0, 0, 0}, true)
	f.Add([]byte{0, 12, 6, 0, 0, 0}, true)
	f.Add([]byte{0, 0, 0, 0, 9}, true)
	f.Add([]byte("7770000+"), true)
	f.Add([]byte{0, 0, 0, 0, 13, 0, 0, 0}, true)
	f.Add([]byte{0, 0, 0, 0, 3, 6, 0, 0}, true)
	f.Add([]byte{0, 0, 0, 6, 3, 0, 0, 0}, true)
	f.Add([]byte{5, 4, 5, 4, 5, 4, 5, 5, 5, 5}, true)
	f.Add([]byte{0, 13, 6, 0, 0}, true)
	f.Add([]byte{6, 0, 7, 0, 8, 8, 6, 14, 15, 13}, true)
	f.Fuzz(func(t *testing.T, reactions []byte, pipelining bool) {
		ehlo := "250 mx.example\r\n"
		if pipelining {
			ehlo = "250-mx.example\r\n250 PIPELINING\r\n"
		}
		o := newOracle(reactions, ehlo)
		c, err := NewConn(context.Background(), o, testPeer, testConfig())
		if err != nil {
			t.Fatal(err)
		}
		var txs []*Transaction
		for i := range 4 {
			tx := message(fmt.Sprintf("r%d.0@x", i), fmt.Sprintf("r%d.1@x", i))
			tx.From = fmt.Sprintf("f%d@x", i)
			txs = append(txs, tx)
		}
		back, err := deliver(c, txs...)
		for i, tx := range back {
			if tx != txs[i] {
				t.Fatalf("message %d came back as %d", i, i)
			}
			o.check(t, tx)
		}
		if err == nil && len(back) != len(txs) {
			t.Fatalf("%d of %d came back and no error", len(back), len(txs))
		}
		if c.Alive() != (err == nil) {
			t.Fatalf("alive %v after %v", c.Alive(), err)
		}
	})
}

// FuzzChunks is FuzzMatching over BDAT, with batches of one to seven. Nothing goes to a recipient of another message, whatever is
// refused meanwhile, and also when the server keeps the transaction open behind a chunk that it has refused.
func FuzzChunks(f *testing.F) {
	f.Add([]byte{}, byte(4), true)
	f.Add([]byte{0, 0, 0, 0, 6, 0, 0, 0, 0}, byte(4), true)
	f.Add([]byte{0, 0, 6, 6, 0, 0, 0, 0, 0}, byte(4), true)
	f.Add([]byte{0, 0, 0, 0, 11, 6, 0, 0, 0}, byte(7), true)
	f.Add([]byte{0, 0, 0, 0, 0, 12, 0, 0, 0, 6}, byte(7), false)
	f.Add([]byte{0, 0, 0, 0, 0, 9}, byte(7), false)
	f.Add([]byte{0, 0, 5, 4, 14, 3, 13}, byte(2), false)
	f.Fuzz(func(t *testing.T, reactions []byte, most byte, lazy bool) {
		o := newOracle(reactions, "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		o.lazy = lazy
		c, err := NewConn(context.Background(), o, testPeer, testConfig())
		if err != nil {
			t.Fatal(err)
		}
		c.Chunk(1 + int(most)%7)
		c.batchRoom = batchMessages
		var txs []*Transaction
		for i := range 8 {
			tx := message(fmt.Sprintf("r%d.0@x", i), fmt.Sprintf("r%d.1@x", i))
			tx.From = fmt.Sprintf("f%d@x", i)
			tx.Content = [][]byte{fmt.Appendf(nil, "RSET\r\nbody%d", i)}
			txs = append(txs, tx)
		}
		back, err := deliver(c, txs...)
		for i, tx := range back {
			if tx != txs[i] {
				t.Fatalf("message %d came back as %d", i, i)
			}
			if o.slips == 0 || !o.down {
				o.check(t, tx) // else two faults at once: the reply that would show the shift never came
			}
		}
		if err == nil && len(back) != len(txs) {
			t.Fatalf("%d of %d came back and no error", len(back), len(txs))
		}
		if c.Alive() != (err == nil) {
			t.Fatalf("alive %v after %v", c.Alive(), err)
		}
		o.checkDelivered(t)
	})
}

func (o *oracle) checkDelivered(t *testing.T) {
	for _, d := range o.delivered {
		var from, to, body string
		var n int
		fmt.Sscan(strings.ReplaceAll(d, "RSET\r\n", ""), &from, &to, &body)
		fmt.Sscanf(from, "f%d@x", &n)
		for r := range strings.SplitSeq(to, ",") {
			if !strings.HasPrefix(r, fmt.Sprintf("r%d.", n)) || body != fmt.Sprintf("body%d", n) {
				t.Errorf("the wrong set: %s", d)
			}
		}
	}
}

func (o *oracle) check(t *testing.T, tx *Transaction) {
	for i, r := range tx.Results {
		to := tx.Rcpts[i].Addr
		if r.Again && r.Err != nil {
			t.Errorf("%s is failed and to be tried again", to)
		}
		if r.Sent() && (o.rcpts[to]/100 != 2 || o.dots[tx.From]/100 != 2) {
			t.Errorf("%s is reported as sent; RCPT got %d and the body %d", to, o.rcpts[to], o.dots[tx.From])
		}
		if r.Sent() && r.Unknown {
			t.Errorf("%s is sent and unknown", to)
		}
		if o.dots[tx.From]/100 == 2 && o.rcpts[to]/100 == 2 && !r.Sent() && !r.Unknown && o.slips == 0 {
			t.Errorf("%s was taken and is reported as %s", to, outcome(r))
		}
		if o.slips > 0 && o.down {
			continue // two faults at once: the reply that would show the shift never came
		}
		if r.Err != nil && r.Err.Permanent && !o.refusedForGood(tx, to) {
			t.Errorf("%s is given up with %v; MAIL got %d, RCPT %d, DATA %d, the body %d",
				to, r.Err, o.mails[tx.From], o.rcpts[to], o.datas[tx.From], o.dots[tx.From])
		}
	}
}

// refusedForGood reports whether the server said 5xx to anything that concerns to.
func (o *oracle) refusedForGood(tx *Transaction, to string) bool {
	for _, code := range []int{o.mails[tx.From], o.rcpts[to], o.datas[tx.From], o.dots[tx.From]} {
		if code/100 == 5 {
			return true
		}
	}
	return false
}

// FuzzCommands holds the promise that nothing in an envelope can become a
// command, or a parameter, of its own.
func FuzzCommands(f *testing.F) {
	f.Add("a@b", "c@d", "NEVER", "rfc822;x", "id", true)
	f.Add("a@b>\r\nRSET\r\n", "c@d\r\n", "NEVER\n", "x y", "\x00", false)
	f.Add(`"a> b"@c`, `"\"@d`, "", "", "", true)
	f.Add("a@b> SIZE=1 <", "c@d> NOTIFY=NEVER <", "", "", "", false)
	f.Add("ü@b", "c@bücher", "", "", "", false)
	f.Add("ü@b", "c@ｄ＞", "", "ü", "", true)
	f.Add("a@ｄ＞", "c@ｄ＞", "", "", "", false)
	f.Fuzz(func(t *testing.T, from, to, notify, orcpt, envid string, international bool) {
		o := newOracle(nil, "250-mx.example\r\n250-PIPELINING\r\n250-DSN\r\n250-SMTPUTF8\r\n250 SIZE\r\n")
		c, err := NewConn(context.Background(), o, testPeer, testConfig())
		if err != nil {
			t.Fatal(err)
		}
		tx := &Transaction{From: from, UTF8: international, EnvID: envid, Rcpts: []Rcpt{{to, notify, orcpt}}, Content: [][]byte{[]byte("RSET\r\n")}}
		if _, err := deliver(c, tx); err != nil {
			t.Fatal(err)
		}
		got := o.commands[1:] // after EHLO
		if e := tx.Results[0].Err; e != nil {
			if !e.Local || len(got) != 0 {
				t.Fatalf("%v, and %q", e, got)
			}
			return
		}
		checkCommands(t, tx, got)
	})
}

// checkCommands reads the commands back by the grammar of RFC 5321: a path ends
// at the first '>' outside quotes, and words after it are parameters.
func checkCommands(t *testing.T, tx *Transaction, got []string) {
	if len(got) != 3 || got[2] != "DATA" {
		t.Fatalf("commands %q", got)
	}
	params := 1 // SIZE
	if tx.UTF8 {
		params++
	}
	if tx.EnvID != "" {
		params++
	}
	checkCommand(t, got[0], "MAIL FROM:<", params)
	params = 0
	for _, p := range []string{tx.Rcpts[0].Notify, tx.Rcpts[0].ORcpt} {
		if p != "" {
			params++
		}
	}
	checkCommand(t, got[1], "RCPT TO:<", params)
}

func checkCommand(t *testing.T, command, verb string, params int) {
	rest, ok := strings.CutPrefix(command, verb)
	if !ok || len(command) > maxCommand {
		t.Fatalf("command %q", command)
	}
	quoted := false
	end := -1
	for i := 0; i < len(rest) && end < 0; i++ {
		switch {
		case quoted && rest[i] == '\\':
			i++
		case rest[i] == '"':
			quoted = !quoted
		case rest[i] == '>' && !quoted:
			end = i
		}
	}
	if end < 0 || strings.Count(rest[end+1:], " ") != params || strings.ContainsFunc(command, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Fatalf("command %q, want %d parameters", command, params)
	}
}

func TestCheckPath(t *testing.T) {
	tests := []struct {
		addr          string
		international bool
		want          error
	}{
		{"", false, nil},
		{"a@b.example", false, nil},
		{"postmaster", false, nil},
		{`"a b<>"@b.example`, false, nil},
		{`"a\"b"@b.example`, false, nil},
		{"a@[192.0.2.1]", false, nil},
		{"a+b=c/d@b", false, nil},
		{"a b@b", false, errPath},
		{"a@b>", false, errPath},
		{"<a@b", false, errPath},
		{"a\r@b", false, errPath},
		{"a\n@b", false, errPath},
		{"a\x00@b", false, errPath},
		{"a\x7f@b", false, errPath},
		{`"a@b`, false, errPath},
		{`"a"b@c`, false, errPath},
		{`"a\`, false, errPath},
		{"\"a\nb\"@c", false, errPath},
		{"\"a\\\nb\"@c", false, errPath},
		{`a"b"@c`, false, errPath},
		{`a@b"c d"`, false, errPath},
		{strings.Repeat("a", maxPath+1), false, errPath},
		{"\xff@b", true, errPath},
		{"ü@b", false, errUnicode},
		{"ü@b", true, nil},
		{"a@bücher.example", false, nil},
		{"a@\u200d", false, errUnicode},
		{"a@b\uff1e", false, errPath}, // a wide '>', which mapping makes a real one
	}
	for _, tt := range tests {
		if err := checkPath(tt.addr, tt.international); err != tt.want {
			t.Errorf("%q: got %v, want %v", tt.addr, err, tt.want)
		}
	}
}
