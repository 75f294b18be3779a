package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// TestPatience: a worker waits for a session as long as the application's patience lasts.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &campaign{Source: Source{patience: 5 * time.Second}, desks: make(chan *standin.Conn, 1)}
		begin := time.Now()
		if _, got := c.desk(t.Context()); got || time.Since(begin) != 5*time.Second {
			t.Errorf("a session, after %v", time.Since(begin))
		}
		time.AfterFunc(4*time.Second, func() { c.desks <- nil })
		if _, got := c.desk(t.Context()); !got {
			t.Error("no session after four seconds")
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		c.patience = 0
		if _, got := c.desk(ctx); got {
			t.Error("a session after the end")
		}
	})
}

// TestLater: what an application takes for a 4xx.
func TestLater(t *testing.T) {
	for v, want := range map[*standin.Verdict]bool{
		{Action: standin.Tempfail}: true, {Action: standin.ReplyCode, Text: "451 4.3.2 full"}: true, {Action: standin.Accept, Rejected: []int{0}}: true,
		{Action: standin.ReplyCode, Text: "550 5.7.1 no"}: false, {Action: standin.Accept}: false, {Action: standin.Discard}: false,
	} {
		if later(*v) != want {
			t.Errorf("%+v", v)
		}
	}
}

// TestReplyFigures: two answers that were held overlap, and one begins when another ends.
func TestReplyFigures(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	f := make(map[string]float64)
	replyFigures(f, []span{{at(0), at(4)}, {at(1), at(2)}, {at(2), at(3)}, {at(0.5), at(0.6)}})
	if f["held"] != 2 || f["reply_max"] != 4 {
		t.Errorf("%v", f)
	}
}
