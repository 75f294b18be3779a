package milter

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	lib "github.com/emersion/go-milter"

	"github.com/millrace/millrace/test/standin"
)

// BenchmarkRaceWithDiscarder lets 50 raw connections bring a campaign to the door and to a filter that drops all it hears and
// answers as little as the protocol allows. They take turns, so that their ratio means something on a busy machine. Nothing is delivered:
// it is the door alone.
func BenchmarkRaceWithDiscarder(b *testing.B) {
	for _, network := range []string{"unix", "tcp"} {
		for _, drips := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/drip=%v", network, drips), func(b *testing.B) { race(b, network, drips) })
		}
	}
}

const (
	racers   = 50
	raceTurn = 4000 // messages of a turn
)

func race(b *testing.B, network string, drips bool) {
	door, bare := listen(b, network), listen(b, network)
	r := start(b, func(s *setup) { s.accept, s.config.Drip = discard{}, drips })
	go r.door.Serve(door) // ends with Stop
	go discardAll(bare)   // ends with the listener
	lanes := map[net.Listener][]*raw{}
	for _, ln := range []net.Listener{door, bare} {
		for range racers {
			lanes[ln] = append(lanes[ln], newRaw(b, ln.Addr()))
		}
	}
	var ratios, ours []float64
	cpu := map[net.Listener]time.Duration{}
	order := []net.Listener{door, bare}
	for b.Loop() {
		took := map[net.Listener]time.Duration{}
		for _, ln := range order {
			before := cpuTime(b)
			took[ln] = turn(b, lanes[ln])
			cpu[ln] += cpuTime(b) - before
		}
		slices.Reverse(order)
		ours = append(ours, raceTurn/took[door].Seconds())
		ratios = append(ratios, took[bare].Seconds()/took[door].Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(ours)
	b.ReportMetric(ours[len(ours)/2], "messages/s")
	b.ReportMetric(ratios[len(ratios)/2], "of-discarder")
	per := func(ln net.Listener) float64 { return float64(cpu[ln].Microseconds()) / float64(raceTurn*len(ours)) }
	b.ReportMetric(per(door), "cpu-µs")
	b.ReportMetric(per(bare), "discarder-cpu-µs")
	b.ReportMetric(ratios[0], "least")
	b.ReportMetric(ratios[len(ratios)-1], "most")
}

// cpuTime is what this process has used, both sides of the race.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func listen(b *testing.B, network string) net.Listener {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(b.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	return ln
}

// turn brings the messages of a turn, and returns how long that took.
func turn(b *testing.B, lanes []*raw) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for _, r := range lanes {
		wg.Go(func() {
			for range raceTurn / len(lanes) {
				if err := r.send(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// raw is an MTA that has all its frames ready.
type raw struct {
	nc    net.Conn
	parts [][]byte // each ends where an answer is due
	in    *bufio.Reader
}

// newRaw connects, and prepares a message of 20 KB as Postfix would send it. The recipient's answer is waited for where it is due.
func newRaw(b *testing.B, addr net.Addr) *raw {
	nc, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	r := &raw{nc: nc, in: bufio.NewReader(nc)}
	nc.Write(offerFrame(6, 0x1ff, 0x1fffff))
	_, terms, err := standin.ReadFrame(r.in)
	if err != nil {
		b.Fatal(err)
	}
	steps := lib.OptProtocol(binary.BigEndian.Uint32(terms[8:]))
	silent := func(p lib.OptProtocol) bool { return steps&p != 0 }
	part := cat('D', "Cv\x00Postfix\x00{daemon_name}\x00smtpd\x00{client_addr}\x00192.0.2.1\x00", 'C', "c.example\x004\x00\x19192.0.2.1\x00")
	r.parts = [][]byte{part}
	if !silent(lib.OptNoConnReply) {
		if err := r.send(); err != nil {
			b.Fatal(err)
		}
		part = nil
	}
	nc.Write(append(part, cat('H', "c.example\x00")...))
	r.parts, part = nil, cat('A', "", 'D', "M{auth_authen}\x00news\x00", 'M', "<news@example.com>\x00SIZE=20000\x00",
		'D', "R{rcpt_mailer}\x00smtp\x00{rcpt_host}\x00example.net\x00{rcpt_addr}\x00a@example.net\x00", 'R', "<a@example.net>\x00")
	if !silent(lib.OptNoRcptReply) {
		r.parts, part = append(r.parts, part), nil
	}
	for i := range 22 {
		name := cmp.Or(map[int]string{3: "List-Id", 5: "From", 6: "Date", 7: "Message-ID"}[i], fmt.Sprintf("X-Field-%d", i))
		part = append(part, cat('D', "Li\x004bXyZ1\x00", 'L', name+"\x00 some value of usual length, with words\x00")...)
	}
	part = append(part, cat('D', "Ni\x004bXyZ1\x00", 'N', "")...)
	if !silent(lib.OptNoEOHReply) {
		r.parts, part = append(r.parts, part), nil
	}
	body := bytes.Repeat([]byte("A line of sixty-two characters, which is what they often are..\r\n"), 320)
	r.parts = append(r.parts, append(part, cat('D', "Bi\x004bXyZ1\x00", 'B', string(body), 'D', "Ei\x004bXyZ1\x00", 'E', "")...))
	return r
}

// cat makes frames of commands and payloads.
func cat(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = standin.AppendFrame(b, byte(pairs[i].(rune)), []byte(pairs[i+1].(string))...)
	}
	return b
}

// send brings one message.
func (r *raw) send() error {
	for _, p := range r.parts {
		if _, err := r.nc.Write(p); err != nil {
			return err
		}
		for code := standin.DelRcpt; code == standin.DelRcpt; {
			var err error
			if code, _, err = standin.ReadFrame(r.in); err != nil {
				return err
			}
		}
	}
	return nil
}

// discardAll is the filter that drops all, and answers nothing but the end of each message.
func discardAll(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go discardFrom(nc) // ends with the connection
	}
}

func discardFrom(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReaderSize(nc, 64<<10)
	terms := granted{protocol: 0x1ff380 &^ lib.OptSkip &^ lib.OptRcptRej}
	for {
		head, err := in.Peek(frameHead)
		if err != nil {
			return
		}
		code, n := head[4], 4+int(binary.BigEndian.Uint32(head))
		if _, err := in.Discard(n); err != nil {
			return
		}
		switch lib.Code(code) {
		case lib.CodeOptNeg:
			nc.Write(terms.asOffer())
		case lib.CodeEOB:
			nc.Write(replyDiscard.frame)
		}
	}
}
