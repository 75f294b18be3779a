package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/sim/wire"
)

// measure finds out how many messages a second a receiver takes at most, so that a figure of Millrace has something to be compared
// with: an ideal client knows the limits, holds exactly as many connections as it may, and has the next envelope on its way before
// it knows the reply to the last message. It runs on a network of its own, in the time that passes anyway.
func measure(l siteLine) float64 {
	const trial, enough = 5 * time.Minute, 500
	mood, limit := l.mood, l.mood.Rate
	mood.Rate = 0
	ctx, done := context.WithTimeout(context.Background(), trial)
	defer done()
	n := wire.New()
	there := netip.MustParseAddr("198.18.0.1")
	far, near := n.Join(l.latency, there), n.Join(nearby, daemonAddr)
	var mu sync.Mutex
	taken := 0
	r := newReceiver(l.name, newLedger(), &Site{name: l.name, start: time.Now()}, mood, func(string, ...any) {})
	r.took = func(string, []string, string) {
		mu.Lock()
		defer mu.Unlock()
		if taken++; taken == enough {
			done()
		}
	}
	began := time.Now()
	var run sync.WaitGroup
	run.Go(func() { _ = r.live(ctx, memoryHost{far}, there.String()+":25") }) // ends with ctx
	for range max(mood.Conns, 1) {
		run.Go(func() { ideal(ctx, near, there.String()+":25") }) // ends with ctx
	}
	run.Wait()
	rate := float64(taken) / time.Since(began).Seconds()
	if limit > 0 {
		rate = min(rate, limit)
	}
	return rate
}

// memoryHost is a host of the network in memory.
type memoryHost struct{ *wire.Host }

// ideal sends one message after another.
func ideal(ctx context.Context, from *wire.Host, to string) {
	time.Sleep(time.Millisecond) // the receiver opens its port meanwhile
	nc, err := from.Dial(ctx, netip.Addr{}, "tcp", to)
	if err != nil {
		return
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
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
