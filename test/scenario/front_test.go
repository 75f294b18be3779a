package scenario

import (
	"bufio"
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/test/mta"
)

// front is a milter in front of Millrace that changes the envelope at the end of each message, as an archiver, a list of vacations
// or SRS does.
type front struct {
	ln      net.Listener
	changes []string // each a letter of the milter protocol ("+" adds, "-" deletes, "e" changes the sender) and an address in <>
	wg      sync.WaitGroup
}

func startFront(t *testing.T, changes ...string) *front {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{ln: ln, changes: changes}
	f.wg.Go(f.serve) // ends when the listener is closed
	t.Cleanup(func() { _ = ln.Close(); f.wg.Wait() })
	return f
}

func (f *front) serve() {
	for {
		conn, err := f.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			f.wg.Go(func() { f.session(conn) }) // ends when the MTA hangs up or is stopped
		}
	}
}

func (f *front) session(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		if _, err := r.Discard(int(bigendian.BigEndian.Uint32(head[:]) - 1)); err != nil {
			return
		}
		if _, err := conn.Write(f.answer(head[4])); err != nil {
			return
		}
	}
}

// answer is the reply to a command. The offer is answered by version 6, the actions for the envelope, and no wishes.
func (f *front) answer(command byte) []byte {
	switch command {
	case 'O':
		return []byte("\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x4c\x00\x00\x00\x00")
	case 'D', 'A', 'Q':
		return nil
	case 'E':
		var all []byte
		for _, c := range append(f.changes, "c") {
			payload := c
			if len(c) > 1 {
				payload += "\x00"
			}
			all = append(bigendian.BigEndian.AppendUint32(all, uint32(len(payload))), payload...)
		}
		return all
	}
	return []byte("\x00\x00\x00\x01c")
}

// TestFrontMilter: with bulk.keep_added the recipients that a milter before Millrace and always_bcc have added
// get their copy from Postfix. Postfix tells nobody of deleted recipients and of a changed sender: such a change is not obeyed,
// with the key and without. The last row of each is what contrib's pages say.
func TestFrontMilter(t *testing.T) {
	t.Parallel() // it waits for Postfix more than it works
	mta.Require(t, mta.PostfixPart)
	for _, tt := range []struct {
		name    string
		key     string
		changes []string
		main    map[string]string
		want    map[string]int
	}{
		{"lost", "", []string{"+<archive@far.test>"}, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1}},
		{"added", "bulk.keep_added = true", []string{"+<archive@far.test>"}, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1, "remote archive@far.test": 1}},
		{"always_bcc", "bulk.keep_added = true", nil, map[string]string{"always_bcc": "all@far.test"}, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1, "remote all@far.test": 1}},
		{"bcc map", "bulk.keep_added = true", nil, map[string]string{"recipient_bcc_maps": "inline:{ { a@far.test = copy@far.test } }"}, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1, "remote copy@far.test": 1}},
		{"nobody", "bulk.keep_added = true", nil, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1}},
		{"again", "bulk.keep_added = true", []string{"+<a@far.test>"}, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1}},
		{"deleted", "bulk.keep_added = true", []string{"-<a@far.test>"}, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1}},
		{"replaced", "bulk.keep_added = true", []string{"-<a@far.test>", "+<new@far.test>"}, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1, "remote new@far.test": 1}},
		{"sender", "bulk.keep_added = true", []string{"e<srs@sender.test>", "+<archive@far.test>"}, nil, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1, "remote archive@far.test": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Config: tt.key, Main: tt.main}
			if tt.changes != nil {
				o.Front = []string{"inet:" + startFront(t, tt.changes...).ln.Addr().String()}
			}
			s := beside(t, o)
			for i := range 3 {
				submit(t, s.Addr(), "<news@sender.test>", []string{"<a@far.test>", "<b@far.test>"}, []int{250, 250}, bulkMessage(fmt.Sprint("front", i)))
			}
			want := make(map[string]int)
			for who, n := range tt.want {
				want[who] = 3 * n
			}
			expect(t, s, want)
			for d := range s.Sink.All() {
				from := "news@sender.test"
				if d.Listener == "remote" && len(tt.changes) > 0 && tt.changes[0][0] == 'e' {
					from = "srs@sender.test"
				}
				if d.From != from {
					t.Errorf("%s %s has the sender %s", d.Listener, d.Rcpt, d.From)
				}
			}
			emptied(t, s)
		})
	}
}

// emptied waits until Postfix's queue is empty: a queue file without recipients must go.
func emptied(t *testing.T, s *Scene) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		queue, err := s.Postfix.Queue()
		if err == nil && len(queue) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left in Postfix's queue: %+v, %v", queue, err)
		}
	}
}

// TestKeepAddedBesideSendmail: Sendmail too ends a message whose recipients are all deleted, without a bounce or a copy.
func TestKeepAddedBesideSendmail(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	s := newScene(t, Options{Config: "bulk.keep_added = true"})
	if err := s.StartSendmail(); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Addr(), "<news@sender.test>", []string{"<a@far.test>", "<b@far.test>"}, []int{250, 250}, bulkMessage("keep"))
	expect(t, s, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1})
}
