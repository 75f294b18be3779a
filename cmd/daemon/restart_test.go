package daemon

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// TestFailedStartLosesNothing: a daemon that cannot open its door leaves the waiting mail in the state directory as it was.
func TestFailedStartLosesNothing(t *testing.T) {
	d, socket, _ := start(t, sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1 << 20}}})
	c := dial(t, socket)
	const n = 50
	for i := range n {
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	if err := c.Close(); err != nil { // else the door gives it the whole of its grace
		t.Fatal(err)
	}
	stop(t, d)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for range 3 {
		broken := *d.cfg
		broken.Milter.Listen = []string{"inet:" + busy.Addr().String()}
		x, err := New(&broken, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Start(); err == nil {
			t.Fatal("started with a port that is in use")
		}
	}
	again, err := New(d.cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	if s := again.handler.Status(); s.Restored != n {
		t.Errorf("%d of %d messages restored", s.Restored, n)
	}
	stop(t, again)
}

func stop(t *testing.T, d *Daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := d.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func newsletter(i int) *standin.Message {
	return &standin.Message{
		QueueID: fmt.Sprintf("4D%d", i), From: "n@sender.test", Rcpts: standin.To(fmt.Sprintf("u%d@x.test", i)), Body: []byte("hello\r\n"),
		Header: []standin.Field{
			{Name: "X-Ledger", Value: fmt.Sprintf(" %d", i)}, {Name: "List-Id", Value: " <n.s.test>"},
			{Name: "List-Unsubscribe", Value: " <https://s.test>"}, {Name: "Precedence", Value: " bulk"},
		},
	}
}
