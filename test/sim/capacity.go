package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/sim/wire"
)

// measure finds out how many messages a second a receiver in a mood takes at most; 0: it has no limit. A figure of Millrace then has
// something to be compared with.
func (w *World) measure(m Mood, latency time.Duration) float64 {
	if !m.limits() {
		return 0
	}
	clients := 1
	if m.Each {
		clients += len(w.scenario.addresses)
	}
	most := m.Rate * float64(clients)
	if m.Conns > 0 {
		possible := trial(m, latency, m.Conns*clients)
		if most == 0 || possible < most {
			most = possible
		}
	}
	if m.On > 0 {
		most *= m.On.Seconds() / (m.On + m.Away).Seconds()
	}
	return most
}

// trial measures what an ideal client brings: it knows the limits, holds exactly as many connections as it may, and has the next
// envelope on its way before it knows the reply to the last message. The trial runs on a network of its own, in the time that passes
// anyway. The time until the connections have brought the first messages does not count.
func trial(m Mood, latency time.Duration, conns int) float64 {
	const length, enough = time.Hour, 500
	m.Rate, m.Conns, m.Grey, m.On = 0, 0, 0, 0
	ctx, done := context.WithTimeout(context.Background(), length)
	defer done()
	n := wire.New()
	there := netip.MustParseAddr("198.18.0.1")
	far, near := n.Join(latency, there), n.Join(nearby, daemonAddr)
	var mu sync.Mutex
	taken := 0
	var began, ended time.Time
	r := newReceiver("trial", newLedger(), newSite("trial", time.Now()), m, func(string, ...any) {})
	r.took = func(netip.Addr, []string, string) {
		mu.Lock()
		defer mu.Unlock()
		switch taken++; taken {
		case conns:
			began = time.Now()
		case conns + enough:
			done()
		}
		ended = time.Now()
	}
	var run sync.WaitGroup
	run.Go(func() { _ = r.live(ctx, memoryHost{far}, there.String()+":25") }) // ends with ctx
	for range conns {
		run.Go(func() { ideal(ctx, near, there.String()+":25") }) // ends with ctx
	}
	run.Wait()
	if taken <= conns || !ended.After(began) {
		return 0
	}
	return float64(taken-conns) / ended.Sub(began).Seconds()
}

// memoryHost is a host of the network in memory.
type memoryHost struct{ *wire.Host }

// ideal sends one message after another, over a new connection when the receiver has ended the last one.
func ideal(ctx context.Context, from *wire.Host, to string) {
	for ctx.Err() == nil {
		time.Sleep(time.Millisecond) // the receiver opens its port meanwhile
		nc, err := from.Dial(ctx, netip.Addr{}, "tcp", to)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { nc.Close() })
		converse(nc)
		stop()
		nc.Close()
	}
}

// converse sends messages over a connection until it ends.
func converse(nc net.Conn) {
	in := bufio.NewReader(nc)
	const envelope = "MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@receiver.test>\r\nDATA\r\n"
	fmt.Fprint(nc, "EHLO ideal.test\r\n", envelope)
	for replies := 5; ; replies = 4 { // the banner and EHLO come before the first
		for range replies {
			if !heard(in) {
				return
			}
		}
		fmt.Fprint(nc, "Subject: ideal\r\n\r\n.\r\n", envelope)
	}
}

// heard reads one reply.
func heard(in *bufio.Reader) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil || len(line) < 4 {
			return false
		}
		if !strings.HasPrefix(line[3:], "-") {
			return true
		}
	}
}
