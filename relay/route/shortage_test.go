package route

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestShortageSaysNothingOfTheDomain: a lookup for which this machine had no socket is no failure of the domain or of DNS, and
// the next one is not put off.
func TestShortageSaysNothingOfTheDomain(t *testing.T) {
	lacking := answer{kind: unasked, why: "too many open files"}
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		ask := func(domain string) (rt *Route) {
			r.Await(domain, func(known *Route) { rt = known })
			pass(time.Second)
			return rt
		}
		w.set("old.test", "mx.test", time.Minute)
		ask("old.test")
		pass(10 * time.Minute)
		w.put("old.test", lacking)
		if rt := ask("old.test"); rt.Err != nil || !rt.Stale || r.Lookup("old.test") == nil {
			t.Errorf("the old route is not used: %+v", rt)
		}
		for i := range 2 * recent {
			domain := fmt.Sprintf("d%d.test", i)
			w.put(domain, lacking)
			if rt := ask(domain); rt.Err == nil || rt.Err.Cause != Shortage || rt.Err.Permanent || rt.Err.Text != "no name server can be asked: too many open files" {
				t.Fatalf("%+v", rt)
			}
		}
		if !r.Healthy() {
			t.Error("DNS is blamed")
		}
		w.set("d0.test", "mx.test", time.Hour)
		if rt := ask("d0.test"); rt.Err != nil {
			t.Errorf("the next lookup is put off: %v", rt.Err)
		}
	})
}

// TestSocketsOfThisMachine: an error for want of descriptors is this machine's, any other the name server's.
func TestSocketsOfThisMachine(t *testing.T) {
	for errno, want := range map[syscall.Errno]kind{
		syscall.EMFILE: unasked, syscall.ENFILE: unasked, syscall.ENOBUFS: unasked, syscall.ENOMEM: unasked,
		syscall.ECONNREFUSED: failing, syscall.ENETUNREACH: failing,
	} {
		b := newBatch([]question{{"x.test", dns.TypeMX}})
		b.give(&net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", errno)})
		if got := b.answers[0].kind; got != want {
			t.Errorf("%v: kind %d, want %d", errno, got, want)
		}
	}
}
