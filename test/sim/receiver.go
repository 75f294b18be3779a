package main

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Receiver is a mail server with a mood. It serves any net.Listener, and believes nothing of what Millrace says about itself: what
// it has answered with 250 is in the ledger, in that moment.
type Receiver struct {
	name string
	book *Ledger
	took func(client netip.Addr, rcpts []string, body string) // a message was taken; the reply has not been sent
	tell func(format string, args ...any)                     // into the trace

	mu       sync.Mutex
	mood     Mood
	since    time.Time // of the mood
	open     int       // connections that were greeted
	clients  map[netip.Addr]*client
	first    map[string]time.Time
	site     *Site
	sessions map[net.Conn]struct{}

	moved chan struct{} // the mood has changed
	run   sync.WaitGroup
}

// client is an address that connects; with limits for all together, there is one.
type client struct {
	open   int       // connections that were greeted
	tokens float64   // of Mood.Rate
	filled time.Time // when tokens was last right
}

func newReceiver(name string, book *Ledger, site *Site, mood Mood, tell func(string, ...any)) *Receiver {
	return &Receiver{
		name: name, book: book, tell: tell, site: site, mood: mood, since: time.Now(),
		clients: make(map[netip.Addr]*client), first: make(map[string]time.Time), sessions: make(map[net.Conn]struct{}), moved: make(chan struct{}, 1),
	}
}

// live keeps the receiver's port open while its mood wants that, until ctx is done. Each receiver has one goroutine for it.
func (r *Receiver) live(ctx context.Context, host host, address string) error {
	var ln net.Listener
	away := false // it did not take mail at some time
	defer func() {
		if ln != nil {
			ln.Close()
		}
		r.hangUp()
		r.run.Wait()
	}()
	for {
		up, change := r.up(time.Now())
		switch {
		case up && ln == nil:
			var err error
			if ln, err = host.Listen("tcp", address); err != nil {
				return err
			}
			if away {
				r.site.reopens()
			}
			r.run.Go(func() { r.serve(ln) }) // ends when ln is closed
		case !up && ln != nil:
			ln.Close()
			ln, away = nil, true
			host.ResetAll()
		}
		t := time.NewTimer(change)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-r.moved:
			t.Stop()
		}
	}
}

// up reports whether the receiver accepts connections now, and when to ask again.
func (r *Receiver) up(now time.Time) (bool, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mood
	if m.Dead || m.On == 0 {
		return !m.Dead, 24 * time.Hour
	}
	in := now.Sub(r.since) % (m.On + m.Away)
	if in < m.On {
		return true, m.On - in
	}
	return false, m.On + m.Away - in
}

// change gives the receiver another mood.
func (r *Receiver) change(m Mood) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood, r.since = m, time.Now()
	for _, c := range r.clients {
		c.filled = time.Time{}
	}
	r.site.reopens()
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// now is the mood.
func (r *Receiver) now() Mood {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mood
}

func (r *Receiver) serve(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.sessions[nc] = struct{}{}
		r.mu.Unlock()
		r.run.Go(func() { // ends with its connection
			defer r.release(nc)
			s := &session{r: r, nc: nc, in: bufio.NewReader(nc), addr: addrOf(nc)}
			_ = s.dialogue() // the client went away
		})
	}
}

// addrOf is the address at the other end.
func addrOf(nc net.Conn) netip.Addr {
	ap, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	return ap.Addr()
}

func (r *Receiver) release(nc net.Conn) {
	r.mu.Lock()
	delete(r.sessions, nc)
	r.mu.Unlock()
	nc.Close()
}

// hangUp closes every connection.
func (r *Receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for nc := range r.sessions {
		nc.Close()
	}
}

// clientAt is who connects from an address. The mutex is held.
func (r *Receiver) clientAt(addr netip.Addr) *client {
	if !r.mood.Each {
		addr = netip.Addr{}
	}
	c := r.clients[addr]
	if c == nil {
		c = new(client)
		r.clients[addr] = c
	}
	return c
}

// admit counts a connection, and reports whether the mood greets it. The client is nil if not.
func (r *Receiver) admit(addr netip.Addr) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clientAt(addr)
	admitted := r.mood.Conns == 0 || c.open < r.mood.Conns
	if admitted {
		c.open++
		r.open++
	}
	r.site.connected(admitted, r.open)
	if !admitted {
		return nil
	}
	r.tell("%-20s greets connection %d", r.site.name, r.open)
	return c
}

func (r *Receiver) discharge(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.open--
	r.open--
	r.site.disconnected(r.open)
}

// spend reports whether the rate allows one more message. The bucket holds the messages of one second.
func (r *Receiver) spend(addr netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mood.Rate == 0 {
		return true
	}
	now, c := time.Now(), r.clientAt(addr)
	if c.filled.IsZero() {
		c.tokens = max(r.mood.Rate, 1)
	} else {
		c.tokens = min(max(r.mood.Rate, 1), c.tokens+now.Sub(c.filled).Seconds()*r.mood.Rate)
	}
	c.filled = now
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	return true
}

// known reports whether a greylist lets the pair through.
func (r *Receiver) known(from, rcpt string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mood.Grey == 0 {
		return true
	}
	key := from + " " + rcpt
	first, seen := r.first[key]
	if !seen {
		first = time.Now()
		r.first[key] = first
	}
	return seen && time.Since(first) >= r.mood.Grey
}
