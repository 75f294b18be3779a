package smtp

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// sink does the least that a receiver can do: it looks for the end of data, counts
// commands, and answers all that one read brought with one write.
func sink(nc net.Conn) {
	buf := make([]byte, 64<<10)
	n := 0
	inBody := false
	for {
		m, err := nc.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		var replies []byte
		rest := buf[:n]
		for {
			var more bool
			if rest, replies, more = sinkStep(rest, replies, &inBody); !more {
				break
			}
		}
		n = copy(buf, rest)
		if _, err := nc.Write(replies); err != nil {
			return
		}
	}
}

func sinkStep(in, out []byte, inBody *bool) (rest, replies []byte, more bool) {
	if *inBody {
		i := bytes.Index(in, []byte("\r\n.\r\n"))
		if i < 0 {
			return in[max(0, len(in)-4):], out, false
		}
		*inBody = false
		return in[i+5:], append(out, "250 2.0.0 OK queued as 4XyZ1234567\r\n"...), true
	}
	i := bytes.IndexByte(in, '\n')
	if i < 0 {
		return in, out, false
	}
	switch in[0] {
	case 'D':
		*inBody = true
		out = append(out, "354 End data with <CR><LF>.<CR><LF>\r\n"...)
	case 'E':
		out = append(out, "250-sink.example\r\n250-PIPELINING\r\n250 SIZE 10485760\r\n"...)
	default:
		out = append(out, "250 2.1.0 Ok\r\n"...)
	}
	return in[i+1:], out, true
}

// BenchmarkDeliver sends messages over loopback to a sink in the same process,
// so that both share the machine.
func BenchmarkDeliver(b *testing.B) {
	cert := certificate(b)
	for _, size := range []int{2 << 10, 20 << 10} {
		for _, conns := range []int{1, 10} {
			for _, secure := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dKB/conns=%d/tls=%v", size>>10, conns, secure), func(b *testing.B) {
					var c *tls.Config
					if secure {
						c = &tls.Config{Certificates: []tls.Certificate{cert}}
					}
					benchmark(b, startSink(b, c), size, conns)
				})
			}
		}
	}
}

func startSink(b *testing.B, c *tls.Config) Addr {
	return listen(b, func(p *peer) {
		_, _ = io.WriteString(p.nc, "220 sink.example\r\n")
		if c == nil {
			sink(p.nc)
			return
		}
		p.line()
		p.say("250-sink.example\r\n250 STARTTLS")
		p.line()
		p.say("220 go")
		sink(tls.Server(p.nc, c))
	})
}

func benchmark(b *testing.B, to Addr, size, conns int) {
	shared := []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72))
	personal := []byte("To: someone@b.example\r\n\r\n")
	share := max(1, b.N/conns)
	b.SetBytes(int64(len(shared) + len(personal)))
	b.ReportAllocs()
	var all sync.WaitGroup
	var open []*Conn
	for range conns {
		open = append(open, dial(b, to, testConfig()))
	}
	b.ResetTimer()
	for _, c := range open {
		all.Go(func() { // ends with its share
			txs := [2]*Transaction{message("b@b.example"), message("b@b.example")}
			n := 0
			err := c.Deliver(func() *Transaction {
				if n++; n > share {
					return nil
				}
				tx := txs[n%2]
				tx.Content = append(tx.Content[:0], personal, shared)
				return tx
			}, func(tx *Transaction) {
				if !tx.Results[0].Sent() {
					b.Error(outcome(tx.Results[0]))
				}
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(share*conns)/b.Elapsed().Seconds(), "msg/s")
}
