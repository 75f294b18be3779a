package sink

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"time"
)

// Config holds what all listeners of a Sink share. The zero value is ready for use.
type Config struct {
	// Keep stores each message whole in Delivery.Raw. Off, an arrival costs about 200 bytes.
	Keep bool
	// MaxSize bounds a message in bytes; a longer one gets 552 5.3.4. Default 32 MiB.
	MaxSize int
	// Timeout bounds every read and every write. Default 5 minutes (RFC 5321 section 4.5.3.2.7).
	Timeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.MaxSize <= 0 {
		c.MaxSize = 32 << 20
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Minute
	}
	return c
}

// ErrClosed is returned by Listen and Wait when the Sink has been closed.
var ErrClosed = errors.New("sink: closed")

// Sink receives mail on any number of listeners and remembers it in one ledger. Its methods may be called from any
// goroutine.
type Sink struct {
	config Config
	ledger *ledger
	tls    *tls.Config
	roots  *x509.CertPool
	done   chan struct{} // closed by Close: wakes every pause
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners []*listener
}

// New makes a Sink that listens nowhere yet.
func New(c Config) (*Sink, error) {
	cert, roots, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("sink: make certificate: %w", err)
	}
	c = c.withDefaults()
	return &Sink{
		config: c,
		ledger: newLedger(c.Keep),
		tls:    &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		roots:  roots,
		done:   make(chan struct{}),
	}, nil
}

// Listen opens addr ("127.0.0.1:0" for any free port) and receives mail there, with the Character ch, until Close. It
// returns the address that it listens on.
func (s *Sink) Listen(addr string, ch Character) (net.Addr, error) {
	l, err := newListener(s, ch)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("sink: listen: %w", err)
	}
	l.name = cmp.Or(l.name, ln.Addr().String())
	l.number = s.ledger.addListener(l.name)
	s.listeners = append(s.listeners, l)
	l.start(ln)
	return ln.Addr(), nil
}

// Change gives the listeners with this name the Character ch, at once and on open connections too. They keep their names. A
// greylist of the same length remembers whom it has seen. Of the connections that are more than ch.MaxConns, each ends with 421
// at its next MAIL.
func (s *Sink) Change(name string, ch Character) error {
	for _, l := range s.named(name) {
		m, err := newMood(ch, s.config.MaxSize)
		if err != nil {
			return err
		}
		if was := l.mood.Load(); was.Greylist == ch.Greylist {
			m.greylist = was.greylist
		}
		l.mood.Store(m)
		l.forgetPeak()
	}
	return nil
}

// Shut stops the listeners with this name: connections are reset, and new ones are refused, until Reopen.
func (s *Sink) Shut(name string) error {
	var errs []error
	for _, l := range s.named(name) {
		errs = append(errs, l.shut())
	}
	return errors.Join(errs...)
}

// Reopen ends what Shut has begun.
func (s *Sink) Reopen(name string) error {
	list := s.named(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, l := range list {
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			return fmt.Errorf("sink: listen again: %w", err)
		}
		l.start(ln)
	}
	return nil
}

// named is the listeners with this name.
func (s *Sink) named(name string) (list []*listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l.name == name {
			list = append(list, l)
		}
	}
	return list
}

// Close stops listening, cuts every connection and waits until all of them have ended. The ledger stays readable.
func (s *Sink) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.shut())
	}
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(errs...)
}

// Roots returns a pool that holds the certificate the Sink shows after STARTTLS. The certificate is valid for
// "localhost", 127.0.0.1 and every name under ".test" with one label before it.
func (s *Sink) Roots() *x509.CertPool { return s.roots }

// Deliveries returns all deliveries so far, oldest first.
func (s *Sink) Deliveries() []Delivery {
	all := make([]Delivery, 0, s.Count())
	for d := range s.All() {
		all = append(all, d)
	}
	return all
}

// All yields all deliveries so far, oldest first, without making a slice of them. Arrivals during the walk are
// included.
func (s *Sink) All() iter.Seq[Delivery] { return s.ledger.all }

// ByID returns the deliveries of the message with this id, oldest first.
func (s *Sink) ByID(id string) []Delivery { return s.ledger.byID(id) }

// Count returns the number of deliveries. It counts accepted recipients, not messages.
func (s *Sink) Count() int { return s.ledger.count() }

// Wait returns nil once at least n deliveries are in the ledger, or says how many there were when ctx ended.
func (s *Sink) Wait(ctx context.Context, n int) error {
	for {
		have, more := s.ledger.watch()
		if have >= n {
			return nil
		}
		select {
		case <-more:
		case <-s.done:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("sink: %d of %d deliveries: %w", s.Count(), n, ctx.Err())
		}
	}
}

// Counts returns the counters of the listener with this name, summed when several share it.
func (s *Sink) Counts(name string) Counts {
	var sum Counts
	for _, l := range s.named(name) {
		sum = sum.plus(l.counters.read())
	}
	return sum
}
