package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// host makes a Host with n4 IPv4 and n6 IPv6 addresses of its own.
func host(id int, pref uint16, n4, n6 int) Host {
	h := Host{Name: fmt.Sprintf("mx%d.test", id), Pref: pref}
	for i := range n4 {
		h.Addrs = append(h.Addrs, netip.AddrFrom4([4]byte{192, 0, byte(id), byte(i + 1)}))
	}
	for i := range n6 {
		h.Addrs = append(h.Addrs, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(id), 15: byte(i + 1)}))
	}
	return h
}

func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rt := &Route{Port: 25}
		owner := map[netip.Addr]Host{}
		pref := 0
		for i := range rapid.IntRange(0, MaxHosts).Draw(t, "hosts") {
			pref += rapid.IntRange(0, 1).Draw(t, "step")
			h := host(i, uint16(pref), rapid.IntRange(0, 4).Draw(t, "v4"), rapid.IntRange(0, 4).Draw(t, "v6"))
			rt.Hosts = append(rt.Hosts, h)
			for _, a := range h.Addrs {
				owner[a] = h
			}
		}
		checkPlan(t, rt.Plan(), owner)
	})
}

// checkPlan holds a plan against the addresses it was made from.
func checkPlan(t *rapid.T, plan []Address, owner map[netip.Addr]Host) {
	if want := min(maxPlan, len(owner)); len(plan) != want {
		t.Fatalf("%d of %d addresses: %v", len(plan), len(owner), plan)
	}
	seen, last := map[netip.Addr]bool{}, uint16(0)
	var have, planned [2]bool
	for _, a := range plan {
		h, ok := owner[a.AddrPort.Addr()]
		if !ok || h.Name != a.Host || a.AddrPort.Port() != 25 || seen[a.AddrPort.Addr()] {
			t.Fatalf("bad address %v in %v", a, plan)
		}
		if h.Pref < last {
			t.Fatalf("preferences out of order: %v", plan)
		}
		seen[a.AddrPort.Addr()], last = true, h.Pref
		planned[family(a.AddrPort.Addr())] = true
	}
	for a := range owner {
		have[family(a)] = true
	}
	if have != planned {
		t.Fatalf("families: have %v, planned %v", have, planned)
	}
}

func TestPlanInterleavesFamilies(t *testing.T) {
	rt := &Route{Port: 25, Hosts: []Host{host(1, 10, 3, 3)}}
	for range 50 {
		plan := rt.Plan()
		for i := 1; i < len(plan); i++ {
			if family(plan[i].AddrPort.Addr()) == family(plan[i-1].AddrPort.Addr()) {
				t.Fatalf("not interleaved: %v", plan)
			}
		}
	}
}

func TestPlanSpreadsOverEquals(t *testing.T) {
	rt := &Route{Port: 25, Hosts: []Host{host(1, 10, 1, 0), host(2, 10, 1, 0), host(3, 20, 1, 0)}}
	first := map[string]int{}
	for range 400 {
		plan := rt.Plan()
		first[plan[0].Host]++
		if plan[2].Host != "mx3.test" {
			t.Fatalf("the lesser host is not last: %v", plan)
		}
	}
	// One in 2^400 to fail by chance.
	if len(first) != 2 {
		t.Errorf("always the same host first: %v", first)
	}
}

// TestPlanByChance: Config.Chance decides among equals, so that a simulation can repeat it.
func TestPlanByChance(t *testing.T) {
	for low, want := range map[bool]string{true: "mx2.test mx3.test mx1.test", false: "mx1.test mx2.test mx3.test"} {
		chance := func(n int) int {
			if low {
				return 0
			}
			return n - 1
		}
		bubble(t, Config{Chance: chance}, func(t *testing.T, w *world, r *Resolver) {
			w.put("a.test", answer{kind: found, mx: []mxRecord{{host: "mx1.test"}, {host: "mx2.test"}, {host: "mx3.test"}}, ttl: time.Hour})
			r.Want("a.test")
			pass(time.Second)
			var hosts []string
			for _, a := range r.Lookup("a.test").Plan() {
				hosts = append(hosts, a.Host)
			}
			if got := strings.Join(hosts, " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

func TestPlanOfAFailedRoute(t *testing.T) {
	if plan := failed("x.test", temporary("4.4.3", "no")).Plan(); len(plan) != 0 {
		t.Errorf("got %v", plan)
	}
}
