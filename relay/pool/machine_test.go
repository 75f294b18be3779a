package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// dialing makes connections by f from now on; nil: the usual way.
func (w *world) dialing(f func(ctx context.Context, network, addr string) (net.Conn, error)) {
	cfg := *w.pool.smtp.Load()
	if cfg.Dial = nil; f != nil {
		cfg.Dial = func(ctx context.Context, _ *net.Dialer, network, addr string) (net.Conn, error) {
			return f(ctx, network, addr)
		}
	}
	w.pool.SetSMTP(cfg)
}

func refusing(errno syscall.Errno) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errno}
	}
}

// TestShortageDoesNotSpin: without file descriptors nobody dials again at once, nobody is charged, everybody sees why and
// until when; and mail flows when there are some.
func TestShortageDoesNotSpin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick(), time.Hour)
	var dials atomic.Int64
	fail := refusing(syscall.EMFILE)
	w.dialing(func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return fail(ctx, network, addr)
	})
	for i := range 20 {
		d := fmt.Sprintf("d%d", i)
		w.listen(d, sink.Character{})
		w.send("a@" + d)
	}
	time.Sleep(2500 * time.Millisecond)
	if n := dials.Load(); n > 25 { // all in the first moment, then one when the second is over
		t.Errorf("%d connection attempts in 2.5 s", n)
	}
	w.eventually("every queue says why it waits, and until when", func() bool {
		return !slices.ContainsFunc(w.queues.Queues(0), func(q relay.QueueStatus) bool { // but for the one that goes ahead
			return q.Kind != relay.ReasonMachine || !strings.Contains(q.Reason, "too many open files") || q.Next < time.Now().Unix()
		})
	})
	if n := len(w.happened()); n > 0 {
		t.Errorf("%d were charged", n)
	}
	w.dialing(nil)
	w.drained()
	if w.sink.Count() != 20 {
		t.Errorf("%d of 20 arrived", w.sink.Count())
	}
}

// TestFamilyThatThisMachineLacks: an address that cannot be connected to from here leaves the plan; the other family is used.
// A site that has no other is closed like any site that cannot be reached.
func TestFamilyThatThisMachineLacks(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.ENETUNREACH} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			cfg.ClosedFor = []time.Duration{time.Minute}
			w := newWorld(t, cfg, time.Hour)
			var six atomic.Int64
			var d net.Dialer
			w.dialing(func(ctx context.Context, network, addr string) (net.Conn, error) {
				if strings.HasPrefix(addr, "[") {
					six.Add(1)
					return nil, &net.OpError{Op: "dial", Net: network, Err: errno}
				}
				return d.DialContext(ctx, network, addr)
			})
			w.listen("both", sink.Character{})
			r := *w.Lookup("both")
			v6 := route.Host{Name: "six.both", Addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}}
			live := r.Hosts[0]
			live.Pref = 20
			r.Hosts = []route.Host{v6, live}
			w.route("both", &r)
			only := r
			only.Domain, only.Site, only.Hosts = "only", "only", []route.Host{v6}
			w.route("only", &only)
			for i := range 5 {
				w.send(fmt.Sprintf("u%d@both", i))
			}
			w.eventually("all are sent over IPv4", func() bool { return w.sink.Count() == 5 })
			w.send("a@only", "b@only")
			w.send("c@only")
			w.eventually("the site without another address is closed", func() bool {
				qs := w.queues.Queues(0)
				return len(qs) == 1 && (qs[0].Kind == relay.ReasonSite || qs[0].Deferred > 0) && w.count("deferred a@only") == 1
			})
			time.Sleep(time.Second)
			if n := six.Load(); n > 2 {
				t.Errorf("%d attempts over IPv6", n)
			}
			for l := range w.handler.Messages {
				for _, rcpt := range l.Recipients {
					if !strings.Contains(rcpt.DelayReason, "six.both[2001:db8::1]:") || !strings.Contains(rcpt.DelayReason, "IPv6 cannot be used on this machine") {
						t.Errorf("reason %q", rcpt.DelayReason)
					}
				}
			}
		})
	}
}

// TestPortsToOneHostRunOut: the kernel has "cannot assign requested address" also for a destination to which every local port is
// in use. The mail for other hosts goes on; that for this one waits, and goes when ports are free.
func TestPortsToOneHostRunOut(t *testing.T) {
	w := newWorld(t, quick(), 100*time.Millisecond)
	w.listen("busy", sink.Character{})
	w.listen("other", sink.Character{})
	busy := w.Lookup("busy").Hosts[0].Addrs[0].String()
	var free atomic.Bool
	var d net.Dialer
	w.dialing(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(addr); host == busy && !free.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}
		}
		return d.DialContext(ctx, network, addr)
	})
	w.send("a@busy")
	w.eventually("the host is tried", func() bool { return w.count("deferred a@busy") > 0 })
	w.send("b@other")
	w.eventually("other mail goes on", func() bool { return w.count("sent b@other") == 1 })
	free.Store(true)
	w.drained()
	if w.count("sent a@busy") != 1 {
		t.Errorf("%q", w.happened())
	}
}

// TestSourceAddressIsMissing: without the source address of IPv4 no host can be reached over IPv4.
func TestSourceAddressIsMissing(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	for call, want := range map[string]bool{"bind": true, "connect": false} {
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError(call, syscall.EADDRNOTAVAIL)}
		if familyless(err, a) != want || !familyless(err, netip.MustParseAddr("2001:db8::1")) {
			t.Errorf("%s: not %v", call, want)
		}
	}
}

func TestShortageGrows(t *testing.T) {
	m := machine{log: hclog.NewNullLogger()}
	now := time.Unix(1_700_000_000, 0)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		m.noteShortage(now, "no files") // but for the first, of the one that went ahead, at once
		m.noteShortage(now, "no files") // of an agent that had begun before
		if r := m.waits(); r.Until.Sub(now) != want*time.Second {
			t.Errorf("shortage %d holds up for %s, want %s", i+1, r.Until.Sub(now), want*time.Second)
		}
		if m.goAhead(now) {
			t.Error("somebody went ahead at once")
		}
		now = now.Add(want * time.Second)
		if !m.goAhead(now) || m.goAhead(now) {
			t.Error("not exactly one goes ahead when the wait is over")
		}
	}
	m.noteConnected()
	if m.waits().Waits() || !m.goAhead(now) {
		t.Error("the shortage did not end")
	}
}

// TestWords: a failure without a reply is told in one form, in Postfix's words.
func TestWords(t *testing.T) {
	const peer = "mx.example[192.0.2.1]:25"
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		e    smtp.Error
		want string
	}{
		{smtp.Error{Command: smtp.AtConnect, Err: refused}, "connect to mx.example[192.0.2.1]:25: connection refused"},
		{smtp.Error{Command: smtp.AtConnect, Err: context.DeadlineExceeded}, "connect to mx.example[192.0.2.1]:25: connection timed out"},
		{smtp.Error{Command: smtp.AtBanner, Err: fmt.Errorf("timed out: %w", context.DeadlineExceeded)},
			"conversation with mx.example[192.0.2.1]:25 timed out while receiving the initial server greeting"},
		{smtp.Error{Command: smtp.AtRCPT, Err: fmt.Errorf("lost connection: %w", syscall.ECONNRESET)},
			"lost connection with mx.example[192.0.2.1]:25 while sending RCPT TO"},
		{smtp.Error{Command: smtp.AtDot, Err: fmt.Errorf("lost connection: %w", syscall.EPIPE)},
			"lost connection with mx.example[192.0.2.1]:25 while sending end of data -- message may be sent more than once"},
		{smtp.Error{Command: smtp.AtEHLO, Err: errors.New("no reply\r\n")},
			"conversation with mx.example[192.0.2.1]:25 failed while performing the EHLO handshake: no reply??"},
		{smtp.Error{Local: true, Err: errors.New("message needs 8BITMIME")}, "message needs 8BITMIME"},
	} {
		if got := words(peer, &tt.e); got != tt.want {
			t.Errorf("%+v:\n%s\nwant\n%s", tt.e, got, tt.want)
		}
	}
}

// TestOneRefusalOfManyNodesCountsOnce: a transaction that is turned away is one trouble, however many nodes it carried.
func TestOneRefusalOfManyNodesCountsOnce(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	w := newWorld(t, cfg, 20*time.Millisecond)
	w.listen("d0", sink.Character{Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Reply421, Times: 2}}})
	rcpts := []string{"u@d0"}
	for i := 1; i < 2*maxTroubles; i++ {
		w.alias("d0", fmt.Sprintf("d%d", i))
		rcpts = append(rcpts, fmt.Sprintf("u@d%d", i))
	}
	w.send(rcpts...)
	w.drained()
	if w.sink.Count() != len(rcpts) {
		t.Errorf("%d of %d arrived", w.sink.Count(), len(rcpts))
	}
}

// unaskable is a router that has no sockets while lacking is set.
type unaskable struct {
	*world
	lacking *atomic.Bool
	asked   *atomic.Int64
}

// Lookup implements Router.
func (u unaskable) Lookup(domain string) *route.Route {
	if u.lacking.Load() {
		return nil
	}
	return u.world.Lookup(domain)
}

// Await implements Router.
func (u unaskable) Await(domain string, known func(*route.Route)) {
	u.asked.Add(1)
	if u.lacking.Load() {
		known(unasked(domain))
		return
	}
	known(u.world.Lookup(domain))
}

// TestShortageOfDNSDoesNotSpin: while no name server can be asked for want of descriptors, lookups are as rare as connections,
// and nobody is charged.
func TestShortageOfDNSDoesNotSpin(t *testing.T) {
	t.Parallel()
	var lacking atomic.Bool
	var asked atomic.Int64
	lacking.Store(true)
	w := newWorldWith(t, quick(), time.Hour, 20, func(w *world) Router { return unaskable{w, &lacking, &asked} })
	for i := range 20 {
		d := fmt.Sprintf("d%d", i)
		w.listen(d, sink.Character{})
		w.send("a@" + d)
	}
	time.Sleep(2500 * time.Millisecond)
	if n := asked.Load(); n > 5 {
		t.Errorf("%d lookups in 2.5 s", n)
	}
	w.eventually("every queue says why it waits, and until when", func() bool {
		return !slices.ContainsFunc(w.queues.Queues(0), func(q relay.QueueStatus) bool { return q.Kind != relay.ReasonMachine || q.Next == 0 })
	})
	if n := len(w.happened()); n > 0 {
		t.Errorf("%d were charged", n)
	}
	lacking.Store(false)
	w.drained()
	if w.sink.Count() != 20 {
		t.Errorf("%d of 20 arrived", w.sink.Count())
	}
}

// TestShownTimesAreToCome: queues in a site's line show when they are tried next, also when that has changed since they were put
// there, and no time that is over.
func TestShownTimesAreToCome(t *testing.T) {
	queues := relay.NewQueueMap(relay.DefaultQueueConfig(), relay.Deps{Journal: relay.NoJournal{}})
	queues.Open()
	h := relay.NewHandler(queues, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	m := New(quick(), Deps{Handler: h, Router: &dead{}, Line: func() *relay.Line { return relay.NewLine(relay.RoundRobin, 0) }, Log: hclog.NewNullLogger()})
	msg := &relay.Message{Slip: &relay.Slip{}, ID: 1, Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")})}
	msg.Slip.Rcpts = []relay.Rcpt{{Addr: "a@x"}}
	if err := queues.Accept(msg); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := siteFor(m, &route.Route{Domain: "x", Site: "x"})
	m.machine.noteShortage(now, "no files")
	s.hold(h.Next(t.Context()))
	next := func() int64 { return queues.Queues(0)[0].Next }
	if got := next(); got != now.Add(shortageFirst).Unix() {
		t.Errorf("it shows %d, want a second from %d", got, now.Unix())
	}
	later := now.Add(shortageFirst)
	m.machine.goAhead(later)
	m.machine.noteShortage(later, "no files") // of the one that went ahead
	s.tend(later)
	if got := next(); got != later.Add(2*shortageFirst).Unix() {
		t.Errorf("it shows %d, want two seconds from %d", got, later.Unix())
	}
	s.mu.Lock()
	s.explain(later.Add(time.Minute)) // the shortage is over, and nobody knows yet
	s.mu.Unlock()
	if got := next(); got != 0 {
		t.Errorf("it shows a time that is over, %d", got)
	}
}
