package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// TestDrainBar: the line on a terminal follows what is left, also when notifications make it more, and the last line stands alone.
func TestDrainBar(t *testing.T) {
	var b strings.Builder
	v := drainView{out: &b, bar: drainBar(&b, 3)}
	for _, left := range []int{3, 5, 1, 0} {
		if err := v.show(&relay.ActReport{Waiting: left, Done: left == 0}); err != nil {
			t.Fatalf("%d left: %v", left, err)
		}
		if left > 0 && !strings.Contains(b.String(), several(left, "message")+" left") {
			t.Errorf("%d left: %q", left, &b)
		}
	}
	if err := v.end(); err != nil {
		t.Fatal(err)
	}
	if last := b.String()[strings.LastIndex(b.String(), "\r")+1:]; last != "everything is out: nothing waits, and nothing is taken; \"millrace undrain\" takes mail again\n" {
		t.Errorf("the last line is %q", last)
	}
}

// drainedBy is a lever whose drain somebody else has ended after a few questions.
type drainedBy struct {
	fakeLever
	asked atomic.Int64
}

func (d *drainedBy) Draining() (relay.Act, bool) { return relay.Act{}, d.asked.Add(1) < 3 }

func (d *drainedBy) DrainReport() relay.ActReport { return relay.ActReport{Waiting: 9} }

// TestDrainFollowed: whoever follows a drain learns that it is not over, and goes without ending it.
func TestDrainFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := console.Listen(console.Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	serv := console.New(&fakeDaemon{cfg: &config.Config{}}, &drainedBy{}, hclog.NewNullLogger())
	done := make(chan error, 1)
	go func() { done <- serv.Run(ln) }() // ends by Stop
	c := console.NewClient(path)
	defer c.Close()
	var b strings.Builder
	v := drainView{out: &b, last: 9}
	if err := v.follow(t.Context(), c, relay.ActReport{Waiting: 9}, time.Millisecond); err == nil || !strings.Contains(err.Error(), "somebody has ended the drain") {
		t.Errorf("ended by another: %v", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := v.follow(ctx, c, relay.ActReport{Waiting: 9}, time.Hour); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the drain goes on") {
		t.Errorf("left: %v", err)
	}
	if b.Len() > 0 { // only what has gone is worth a line
		t.Errorf("nothing has gone, and it prints %q", &b)
	}
	if err := errors.Join(serv.Stop(context.Background()), <-done); err != nil {
		t.Error(err)
	}
	if err := v.follow(t.Context(), c, relay.ActReport{Waiting: 9}, time.Millisecond); !errors.Is(err, console.ErrUnreachable) {
		t.Errorf("the daemon is gone: %v", err)
	}
}
