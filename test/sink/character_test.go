package sink

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestShare(t *testing.T) {
	for _, share := range []float64{0, 0.05, 0.5, 1} {
		refuse, n := Share(share), 0
		for i := range 10_000 {
			if refuse(fmt.Sprintf("user%d@example.test", i)) {
				n++
			}
		}
		if want := int(share * 10_000); n < want-want/10-50*min(1, want) || n > want+want/10 {
			t.Errorf("share %v refuses %d of 10,000", share, n)
		}
	}
	if refuse := Share(0.5); refuse("User1@b.test") != refuse("user1@B.test") {
		t.Error("the case of an address matters")
	}
}

func TestMatching(t *testing.T) {
	refuse := Matching("gone-*@b.test")
	if !refuse("gone-1@b.test") || refuse("here@b.test") || Matching("[")("[") {
		t.Error("pattern not obeyed")
	}
}

func TestGreylist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGreylist(time.Minute)
		if g.passes("a", "b", time.Now()) {
			t.Error("first attempt passes")
		}
		time.Sleep(59 * time.Second)
		if g.passes("a", "b", time.Now()) {
			t.Error("passes too early")
		}
		time.Sleep(time.Second)
		if !g.passes("a", "b", time.Now()) || g.passes("a", "c", time.Now()) {
			t.Error("after the time only the known pair passes")
		}
	})
}

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(10)
		for second, want := range []int{10, 10, 10} {
			took := 0
			for range 100 {
				if b.take(time.Now()) {
					took++
				}
			}
			if took != want {
				t.Errorf("second %d: %d tokens, want %d", second, took, want)
			}
			time.Sleep(time.Second)
		}
	})
}
