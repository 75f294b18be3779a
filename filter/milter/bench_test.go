package milter

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/standin"
)

// discard accepts and forgets.
type discard struct{}

func (discard) Accept(*relay.Message) error { return nil }
func (discard) Heard(*relay.Message, bool)  {}

// BenchmarkDoor is a message of 20 KB with 22 header fields over connections that each send one after the other, as an
// MTA does. Half of the work is the stand-in's.
func BenchmarkDoor(b *testing.B) {
	letter := plain()
	for i := range 18 {
		letter.Header = append(letter.Header, standin.Field{Name: fmt.Sprintf("X-Field-%d", i), Value: " some value of usual length, with words"})
	}
	letter.Body = bytes.Repeat([]byte("A line of sixty-two characters, which is what they often are..\r\n"), 320)
	news := *letter
	news.Header = append([]standin.Field{{Name: "List-Id", Value: " <l.example.com>"}}, letter.Header...)
	for _, network := range []string{"tcp", "unix"} {
		for name, m := range map[string]*standin.Message{"bulk": &news, "plain": letter} {
			b.Run(name+"/"+network, func(b *testing.B) { benchmark(b, network, m) })
		}
	}
}

func benchmark(b *testing.B, network string, m *standin.Message) {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(b.TempDir(), "m.sock")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		b.Fatal(err)
	}
	f, err := filter.Compile(filter.DefaultConfig(), "mx.example.org", nil)
	if err != nil {
		b.Fatal(err)
	}
	c := DefaultConfig()
	c.StopGrace = 0
	in, err := filter.NewIntake(c.Limits(), filter.Deliver, filter.Deps{
		Accept: discard{}, NewID: func() relay.ID { return 1 }, Filter: f, Log: hclog.NewNullLogger(),
		Sendable: func(smtp.Form) error { return nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	d, err := New(c, in)
	if err != nil {
		b.Fatal(err)
	}
	go d.Serve(ln) // ends with Stop
	defer d.Stop(b.Context())
	b.ReportAllocs()
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) { sendAll(b, pb, ln.Addr(), m) })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func sendAll(b *testing.B, pb *testing.PB, addr net.Addr, m *standin.Message) {
	mta, err := standin.Dial(addr.Network(), addr.String(), standin.Options{})
	if err != nil {
		b.Error(err)
		return
	}
	defer mta.Close()
	for pb.Next() {
		if _, err := mta.Send(m); err != nil {
			b.Error(err)
			return
		}
	}
}
