package pool

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
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

// BenchmarkDrain sends what waits, 20 KB a message, to a receiver that takes all. It counts what is allocated on the way, receiver included.
func BenchmarkDrain(b *testing.B) {
	for _, way := range []struct{ name, ehlo string }{
		{"DATA", "250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"},
		{"BDAT", "250-sink.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"},
	} {
		b.Run(way.name, func(b *testing.B) { drain(b, way.ehlo) })
	}
}

func drain(b *testing.B, ehlo string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() { // ends with the listener
		for nc, err := ln.Accept(); err == nil; nc, err = ln.Accept() {
			go takeAll(nc, ehlo) // ends with its connection
		}
	}()
	w := newWorld(b, quick(), time.Hour)
	w.quiet = true
	body := bytes.Repeat([]byte("All the news that fits on a line of seventy characters, and no more.\r\n"), 290)
	for i := range b.N {
		m := &relay.Message{ID: relay.ID(i + 1), Content: relay.NewContent(relay.Personal{Header: fmt.Appendf(nil, "X-Ledger: %d\r\n", i)}, body), Arrived: time.Now(), Taken: time.Now()}
		m.From = "list@n.example"
		m.Rcpts = []relay.Rcpt{{Addr: fmt.Sprintf("u%d@a.test", i)}}
		if err := w.queues.Accept(m); err != nil {
			b.Fatal(err)
		}
	}
	ap := netip.MustParseAddrPort(ln.Addr().String())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	w.route("a.test", &route.Route{Domain: "a.test", Site: "a.test", Port: ap.Port(), Static: true, Hosts: []route.Host{{Name: "mx.a.test", Addrs: []netip.Addr{ap.Addr()}}}})
	w.drained()
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/message")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
