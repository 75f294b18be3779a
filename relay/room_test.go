package relay

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadSiteHasAnEighth: a domain that defers all takes at most half of the room, or an eighth of it when the rest is full, and the
// fast one finds room for all (row 1 of the gate's figures, without a network).
func TestDeadSiteHasAnEighth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 500, nil)
		x.offers(1, "dead.example")
		x.visit(1, "dead.example", Deferred)
		dead := 1 + x.offers(499, "dead.example")
		if dead < 240 || dead > 251 {
			t.Errorf("the dead domain has %d of 500 places", dead)
		}
		fast := 0
		for range 200 {
			fast += x.offers(1, "fast.example")
			time.Sleep(10 * time.Millisecond)
			x.visit(1, "fast.example", Sent)
		}
		if fast != 200 {
			t.Errorf("%d of 200 messages for the fast domain were taken", fast)
		}
		s := x.g.Status()
		if s.State != GateOpen || len(s.Shut) != 1 || s.Shut[0].Site != "dead.example" || s.Shut[0].State != GateOverflow {
			t.Errorf("%+v", s)
		}
	})
}

// TestRoomFollowsRate: two sites, one ten times as fast, from a source that is faster than both: what is taken for each comes to
// ten to one, and both queues stay bounded.
func TestRoomFollowsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 1000, nil)
		var fast, slow, longest int
		for tick := range 6000 { // a tenth of a second each
			f, s := x.offers(15, "fast.example"), x.offers(15, "slow.example")
			if tick >= 3000 {
				fast, slow = fast+f, slow+s
				longest = max(longest, x.g.rooms["fast.example"].nodes, x.g.rooms["slow.example"].nodes)
			}
			time.Sleep(100 * time.Millisecond)
			x.visit(10, "fast.example", Sent)
			x.visit(1, "slow.example", Sent)
		}
		if ratio := float64(fast) / float64(slow); ratio < 8 || ratio > 12 {
			t.Errorf("taken %d to %d, that is %.1f to 1", fast, slow, ratio)
		}
		if longest > 950 {
			t.Errorf("%d messages of one site waited", longest)
		}
		t.Logf("%d to %d, longest queue %d", fast, slow, longest)
	})
}

// TestUnknownSiteStartsSmall: while memory is short, a site of which nothing is known has the least share, and more with each
// success.
func TestUnknownSiteStartsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 10_000, nil)
		x.offers(16, "old.example")
		x.visit(16, "old.example", Sent)
		x.offers(1, "old.example")
		time.Sleep(2 * meterTime)
		x.offers(5500, "old.example")
		if n := x.offers(300, "new.example"); n != 40 {
			t.Errorf("an unknown site has %d places of 10,000", n)
		}
		if n := x.visit(40, "new.example", Sent); n != 40 {
			t.Fatal(n)
		}
		if n := x.offers(1000, "new.example"); n < 60 || n > 160 {
			t.Errorf("after 40 successes it has %d places", n)
		}
	})
}

// TestUnknownSiteIsWaitedFor: a reply may wait for a site of which nothing is known, as long as it may take its first mail soon.
func TestUnknownSiteIsWaitedFor(t *testing.T) {
	for _, test := range []struct {
		name   string
		meddle func(*gatehouse)
		want   Scarcity
	}{
		{"just begun", func(*gatehouse) {}, ScarceSite},
		{"it has taken nothing for the time of a hold", func(*gatehouse) { time.Sleep(4 * time.Second) }, Enough},
		{"it has failed", func(x *gatehouse) { x.visit(1, "new.example", Deferred) }, Enough},
		{"it is quick", func(x *gatehouse) {
			time.Sleep(time.Second)
			x.visit(10, "new.example", Sent)
			x.offers(20, "new.example")
		}, ScarceSite},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newGatehouse(t, 100, nil)
				x.offers(50, "old.example")
				x.offers(50, "new.example")
				test.meddle(x)
				grant := x.g.Ask("", []string{"new.example"})
				defer grant.Release()
				if !grant.Refuses(0) || grant.Waits() != test.want {
					t.Errorf("refused %v for %q, waits %d, want %d", grant.Refuses(0), grant.Why(0).Text, grant.Waits(), test.want)
				}
			})
		})
	}
}

func TestIdleRoomsAreBounded(t *testing.T) {
	x := newGatehouse(t, 1_000_000, nil)
	for i := range maxIdleRooms + 500 {
		x.offer("", fmt.Sprintf("a@d%d.example", i))
		x.visit(1, fmt.Sprintf("d%d.example", i), Sent)
	}
	if n := len(x.g.rooms); n != maxIdleRooms {
		t.Errorf("%d rooms", n)
	}
	if used := x.budget.Used(AccountSites); used != maxIdleRooms*roomCost {
		t.Errorf("%d bytes are charged", used)
	}
}

// TestHandedBackMailHasNoRoom: what is restored on its way back to our MTA takes no receiver's room, and to look at a message of one
// domain costs no memory.
func TestHandedBackMailHasNoRoom(t *testing.T) {
	x := newGatehouse(t, 500, nil)
	msg := testMessage("a@gone.example", "b@later.example")
	x.Restore(Saved{Message: msg, Nodes: []SavedNode{{Rcpts: []int{0}, Class: ClassInject}, {Index: 1, Rcpts: []int{1}, Class: ClassRemote}}}, x.h)
	if msg.Node(0).room != nil || msg.Node(1).room != x.g.rooms["later.example"] || x.g.rooms["gone.example"] != nil {
		t.Errorf("rooms %v, %v", msg.Node(0).room, msg.Node(1).room)
	}
	one := testMessage("a@later.example")
	x.address(one)
	nodes := []*Node{one.Node(0)}
	if n := testing.AllocsPerRun(100, func() { x.g.admit(one, nodes, nil); x.g.leave(one.Node(0)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
