package pool

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// takeAll is a receiver that looks for the end of each message and forgets it.
func takeAll(nc net.Conn, ehlo string) {
	defer nc.Close()
	buf, n := make([]byte, 256<<10), 0
	body, chunk := false, 0
	_, _ = io.WriteString(nc, "220 sink.test\r\n")
	var out []byte
	for {
		m, err := nc.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		in := buf[:n]
		out = out[:0]
		for more := true; more; {
			if bytes.HasPrefix(in, []byte("QUIT")) && !body && chunk == 0 {
				return
			}
			in, out, more = takeStep(in, out, ehlo, &body, &chunk)
		}
		n = copy(buf, in)
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

func takeStep(in, out []byte, ehlo string, body *bool, chunk *int) (rest, replies []byte, more bool) {
	const taken = "250 2.0.0 taken\r\n"
	if *chunk > 0 {
		n := min(*chunk, len(in))
		if *chunk -= n; *chunk > 0 {
			return in[n:], out, false
		}
		return in[n:], append(out, taken...), true
	}
	if *body {
		i := bytes.Index(in, []byte("\r\n.\r\n"))
		if i < 0 {
			return in[max(0, len(in)-4):], out, false
		}
		*body = false
		return in[i+5:], append(out, taken...), true
	}
	i := bytes.IndexByte(in, '\n')
	if i < 0 {
		return in, out, false
	}
	switch in[0] {
	case 'D':
		*body = true
		out = append(out, "354 go on\r\n"...)
	case 'B':
		for _, c := range in[len("BDAT "):i] {
			if c >= '0' && c <= '9' {
				*chunk = *chunk*10 + int(c-'0')
			}
		}
	case 'E':
		out = append(out, ehlo...)
	default:
		out = append(out, "250 2.1.0 ok\r\n"...)
	}
	return in[i+1:], out, true
}

const (
	plainEHLO = "250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
	chunkEHLO = "250-sink.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
)

// BenchmarkDrain sends what waits, 20 KB a message, to a receiver in the same process that takes all, and then the same by a program
// that only sends. The processor's time counts, because that of the clock means nothing beside other work.
func BenchmarkDrain(b *testing.B) {
	for _, way := range []struct {
		name, ehlo string
		ahead      int
	}{{"DATA", plainEHLO, 0}, {"BDAT", chunkEHLO, 8}} {
		b.Run(way.name, func(b *testing.B) {
			to := takeAllAt(b, way.ehlo)
			body := bytes.Repeat([]byte("All the news that fits on a line of seventy characters, and no more.\r\n"), 290)
			ours := drain(b, to, body)
			began := spent(b)
			blast(b, to, body, way.ahead)
			bare := spent(b) - began
			b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "cpu-µs/message")
			b.ReportMetric(float64(bare.Microseconds())/float64(b.N), "blaster-cpu-µs/message")
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-blaster")
		})
	}
}

// takeAllAt listens until the benchmark ends.
func takeAllAt(b *testing.B, ehlo string) netip.AddrPort {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() { // ends with the listener
		for nc, err := ln.Accept(); err == nil; nc, err = ln.Accept() {
			go takeAll(nc, ehlo) // ends with its connection
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String())
}

// spent is the processor's time of this process.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// drain sends b.N messages that wait, and returns the processor's time from the first to the last.
func drain(b *testing.B, to netip.AddrPort, body []byte) time.Duration {
	w := newWorld(b, quick(), time.Hour)
	w.quiet = true
	for i := range b.N {
		m := &relay.Message{ID: relay.ID(i + 1), Slip: &relay.Slip{Arrived: time.Now(), Taken: time.Now()}}
		m.Content = relay.NewContent(relay.Letter{Header: fmt.Appendf(nil, "X-Ledger: %d\r\n", i), Body: body})
		m.Slip.From = "list@n.example"
		m.Slip.Rcpts = []relay.Rcpt{{Addr: fmt.Sprintf("u%d@a.test", i)}}
		if err := w.queues.Accept(m); err != nil {
			b.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := spent(b)
	b.ResetTimer()
	w.route("a.test", &route.Route{Domain: "a.test", Site: "a.test", Port: to.Port(), Static: true,
		Hosts: []route.Host{{Name: "mx.a.test", Addrs: []netip.Addr{to.Addr()}}}})
	w.drained()
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/message")
	return spent(b) - began
}

// blast sends b.N messages over twenty connections, ahead transactions before the first reply by BDAT, or by DATA with the next envelope
// behind each body.
func blast(b *testing.B, to netip.AddrPort, body []byte, ahead int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { // ends with the messages
			nc, err := net.Dial("tcp", to.String())
			if err != nil {
				b.Error(err)
				return
			}
			defer nc.Close()
			s := &blaster{nc: nc, in: bufio.NewReader(nc), body: body, next: func() int { return int(next.Add(1)) - 1 }, last: b.N}
			s.hear(1)
			fmt.Fprint(nc, "EHLO blaster.test\r\n")
			s.hear(1)
			if ahead > 0 {
				s.chunks(ahead)
			} else {
				s.data()
			}
			if s.err != nil {
				b.Error(s.err)
			}
		})
	}
	wg.Wait()
}

// blaster is one connection of a program that only sends.
type blaster struct {
	nc   net.Conn
	in   *bufio.Reader
	body []byte
	next func() int
	last int
	out  []byte
	head []byte
	err  error
}

// hear reads n replies.
func (s *blaster) hear(n int) {
	for n > 0 && s.err == nil {
		var line []byte
		if line, s.err = s.in.ReadSlice('\n'); s.err == nil && line[3] == ' ' {
			n--
		}
	}
}

func (s *blaster) write(parts ...[]byte) {
	vec := net.Buffers(parts)
	if s.err == nil {
		_, s.err = vec.WriteTo(s.nc)
	}
}

func (s *blaster) envelope(i int) {
	s.out = append(s.out, "MAIL FROM:<list@n.example>\r\nRCPT TO:<u"...)
	s.out = strconv.AppendInt(s.out, int64(i), 10)
	s.out = append(s.out, "@a.test>\r\n"...)
	s.head = append(strconv.AppendInt(append(s.head[:0], "X-Ledger: "...), int64(i), 10), "\r\n\r\n"...)
}

func (s *blaster) data() {
	for i, head := s.next(), []byte(nil); s.err == nil; i = s.next() {
		if s.out = s.out[:0]; head != nil {
			s.out = append(s.out, ".\r\n"...)
		}
		if i < s.last {
			s.envelope(i)
			s.out = append(s.out, "DATA\r\n"...)
		}
		switch {
		case head == nil && i < s.last:
			s.write(s.out)
			s.hear(3)
		case head == nil:
			return
		case i < s.last:
			s.write(head, s.body, s.out)
			s.hear(4)
		default:
			s.write(head, s.body, s.out)
			s.hear(1)
			return
		}
		head = append(head[:0], s.head...)
	}
}

func (s *blaster) chunks(ahead int) {
	owed := 0
	for i := s.next(); i < s.last && s.err == nil; i = s.next() {
		if owed == ahead {
			s.hear(3)
			owed--
		}
		s.out = s.out[:0]
		s.envelope(i)
		s.out = strconv.AppendInt(append(s.out, "BDAT "...), int64(len(s.head)+len(s.body)), 10)
		s.out = append(s.out, " LAST\r\n"...)
		s.write(s.out, s.head, s.body)
		owed++
	}
	s.hear(3 * owed)
}
