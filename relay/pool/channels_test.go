package pool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannels(2, 0)
		for i, want := range []bool{true, true, false} {
			if got := c.acquire(channelToken); got != want {
				t.Errorf("channel %d: %t", i+1, got)
			}
		}
		for i := range 2 * probationRoom {
			if c.hurried() != (i > 2) {
				t.Errorf("hurried with %d on probation: %t", i, c.hurried())
			}
			if !c.acquire(probationToken) {
				t.Errorf("no place on probation after %d", i)
			}
		}
		if c.acquire(probationToken) || !c.full(probationToken) {
			t.Error("more on probation than there is room")
		}
		ctx, cancel := context.WithCancel(t.Context())
		free := make(chan bool)
		go func() { free <- c.await(ctx) }()
		time.Sleep(time.Second)
		c.giveBack(probationToken)
		synctest.Wait()
		select {
		case <-free:
			t.Error("a place on probation is no channel")
		default:
		}
		c.giveBack(channelToken)
		if !<-free || c.working(channelToken) != 1 {
			t.Errorf("%d channels in use", c.working(channelToken))
		}
		c.acquire(channelToken)
		go func() { free <- c.await(ctx) }()
		cancel()
		if <-free {
			t.Error("a channel was free after the end")
		}
	})
}
