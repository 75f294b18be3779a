package pool

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

const (
	shortageFirst = time.Second      // how long nothing is connected after the first shortage
	shortageMost  = 30 * time.Second // and at most, doubling with each further one
	familyOffFor  = time.Minute      // how long an address family is left out of every plan
)

// machine knows what keeps us, and not a receiver, from connecting. An error of our own says nothing about a site: it closes
// none and charges no message. But it must not be tried again at once either, because it would fail again for every queue
// there is.
//
// A shortage (file descriptors, memory, buffers) holds up everything: for a second first, for longer each time. Then one
// agent a second goes ahead, until one has made a connection. An address family that this machine does not have, or for
// which a source address is missing, leaves every plan for a minute. A site that has no address left then is closed like
// any site that cannot be reached.
type machine struct {
	log hclog.Logger

	mu       sync.Mutex
	failures int       // shortages since the last connection that could be made
	until    time.Time // of the present shortage
	probing  bool      // one agent went ahead, and has neither failed nor connected yet
	why      string
	families [2]familyOff // IPv4, IPv6
}

// familyOff is until when an address family is left out, and why.
type familyOff struct {
	until time.Time
	why   string
}

// shortages are errors for want of something that every connection needs.
var shortages = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}

// short reports whether err is a shortage of this machine.
func short(err error) bool { return isAny(err, shortages) }

// familyless reports whether err says that this machine has no address of a's family to connect from. For IPv6 the kernel
// says so in several ways. For IPv4 the words of two of them are about one destination: without a route they are about a
// network, and behind a source address that exists about the ports to one host, all of which are in use. That costs the mail
// for that host, and no other.
func familyless(err error, a netip.Addr) bool {
	if a.Unmap().Is4() && errors.Is(err, syscall.EADDRNOTAVAIL) {
		var call *os.SyscallError
		return errors.As(err, &call) && call.Syscall == "bind"
	}
	return isAny(err, []error{syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT}) || a.Is6() && errors.Is(err, syscall.ENETUNREACH)
}

func isAny(err error, targets []error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// noteShortage makes everybody wait. Failures within the wait come from agents that had begun before, and count once; but the
// failure of the agent that went ahead makes the next wait longer.
func (m *machine) noteShortage(now time.Time, why string) {
	m.mu.Lock()
	if now.Before(m.until) && m.failures > 0 && !m.probing {
		m.mu.Unlock()
		return
	}
	wait := min(shortageFirst<<min(m.failures, 10), shortageMost)
	m.failures++
	m.probing = false
	m.until, m.why = now.Add(wait), why
	m.mu.Unlock()
	m.log.Warn("this machine cannot connect: no mail is sent for a while", "wait", wait, "error", why)
}

// noteFamily leaves the family of a out of every plan for a while.
func (m *machine) noteFamily(now time.Time, a netip.Addr, err error) {
	f := &m.families[familyOf(a)]
	m.mu.Lock()
	known := now.Before(f.until)
	f.until, f.why = now.Add(familyOffFor), happened(err)
	m.mu.Unlock()
	if !known {
		m.log.Warn(familyNames[familyOf(a)]+" cannot be used on this machine: it is left out for a while", "wait", familyOffFor, "error", happened(err))
	}
}

// noteConnected ends a shortage.
func (m *machine) noteConnected() {
	m.mu.Lock()
	ended := m.failures > 0
	m.failures, m.until, m.probing = 0, time.Time{}, false
	m.mu.Unlock()
	if ended {
		m.log.Info("this machine can connect again")
	}
}

// waits is the shortage that holds everything up, or the zero Reason. It does not let anybody ahead.
func (m *machine) waits() relay.Reason {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures == 0 {
		return relay.Reason{}
	}
	return relay.WaitFor(relay.ReasonMachine, "", "this machine cannot connect: "+m.why, m.until)
}

// held reports whether nobody may connect now.
func (m *machine) held(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failures > 0 && now.Before(m.until)
}

// goAhead reports whether an agent may connect now. In a shortage whose wait is over it lets one ahead each second.
func (m *machine) goAhead(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.failures == 0:
		return true
	case now.Before(m.until):
		return false
	}
	m.until, m.probing = now.Add(shortageFirst), true
	return true
}

// without is why the family of a is left out now; "" when it is not.
func (m *machine) without(now time.Time, a netip.Addr) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.families[familyOf(a)]; now.Before(f.until) {
		return familyNames[familyOf(a)] + " cannot be used on this machine: " + f.why
	}
	return ""
}

var familyNames = [...]string{"IPv4", "IPv6"}

func familyOf(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}
