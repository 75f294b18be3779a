package daemon

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

// submit runs a daemon with a submission listener and without an MTA.
func submit(t testing.TB, far *sink.Sink) (d *Daemon, addr string) {
	t.Helper()
	to, err := far.Listen("127.0.0.1:0", sink.Character{Name: "far"})
	if err != nil {
		t.Fatal(err)
	}
	if addr, err = process.FreeAddr(); err != nil {
		t.Fatal(err)
	}
	cfg, _ := configured(t, t.TempDir(), to, fmt.Sprintf("smtpd.submission = ['inet:%s']\n", addr))
	if d, err = New(cfg, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return d, addr
}

// BenchmarkSubmission is one message of 20 KB from an application to its receiver, by ten connections.
func BenchmarkSubmission(b *testing.B) {
	far, err := sink.New(sink.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer far.Close()
	_, addr := submit(b, far)
	b.ReportAllocs()
	b.ResetTimer()
	r, err := load.Run(context.Background(), load.Config{Addr: addr, Messages: b.N, Conns: 10, Personal: 0.05})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := far.Wait(ctx, r.Recipients()); err != nil {
		b.Fatal(err)
	}
}

// TestSubmission: all that an application hands in reaches its receivers, bulk or not.
func TestSubmission(t *testing.T) {
	far, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	d, addr := submit(t, far)
	r, err := load.Run(t.Context(), load.Config{Addr: addr, Messages: 200, Conns: 5, Plain: 0.5, Rcpts: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := far.Wait(ctx, r.Recipients()); err != nil {
		t.Fatal(err)
	}
	if c := load.Compare(r.Records, far.All()); c.Err() != nil {
		t.Error(c.Err())
	}
	s := overview{d}.Status()
	for s.Messages > 0 && ctx.Err() == nil { // a receiver knows of a message before we know that it does
		time.Sleep(time.Millisecond)
		s = overview{d}.Status()
	}
	if len(s.Doors) != 2 || s.Doors[1].Taken != 200 || s.Sent != 400 {
		t.Errorf("%+v, %d doors", s.Status, len(s.Doors))
	}
	if trace := string(far.Deliveries()[0].Raw); !strings.Contains(trace, "(Millrace ") {
		t.Errorf("no trace of ours: %q", trace[:200])
	}
}
