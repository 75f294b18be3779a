package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/tally"
	"github.com/millrace/millrace/test/sink"
)

// TestCountersGoOn: a campaign's counters, what is left of it, and the minutes are there after a stop and after a kill, are those of the
// receiver's own account, and count on.
func TestCountersGoOn(t *testing.T) {
	d, socket, far := start(t, sink.Character{
		Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 5}},
		Refuse: func(rcpt string) bool { return strings.HasPrefix(rcpt, "u2") },
	})
	soon := d.cfg.Bounce
	soon.Delay = time.Millisecond // a recipient whose sender is not told would be visited again after a kill, and counted again
	d.bounces.SetConfig(soon)
	c := dial(t, socket)
	for i := range 30 { // u2 and u20 to u29 are refused
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	done := func(c *console.Campaign) bool { return c.Sent+c.Bounced == 25 && c.Deferred == 5 }
	was := awaitCampaign(t, d, done)
	if was.Messages != 30 || was.Left != 5 || was.BouncedBy["bad-mailbox"] != was.Bounced || was.LastTaken == 0 || was.LastSent == 0 {
		t.Errorf("%+v", was)
	}
	if sent := int64(far.Count()); was.Sent != sent {
		t.Errorf("%d sent, and the receiver has %d", was.Sent, sent)
	}
	for d.Reporting() {
		time.Sleep(time.Millisecond)
	}
	killed := copyState(t, d) // what a kill would leave
	c.Close()
	d.stats.Sample(time.Now())
	stop(t, d)

	cfg := *d.cfg
	cfg.StateDir, cfg.Milter.Listen, cfg.Control.Socket = killed, []string{"unix:" + filepath.Join(t.TempDir(), "m")}, filepath.Join(t.TempDir(), "c")
	for name, cfg := range map[string]*config.Config{"stopped": d.cfg, "killed": &cfg} {
		again, err := New(cfg, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Start(); err != nil {
			t.Fatal(err)
		}
		now := awaitCampaign(t, again, func(c *console.Campaign) bool { return c.Left == 5 && c.Recipients == 30 })
		if now.Sent != was.Sent || now.Bounced != was.Bounced || now.Deferred != 5 || now.LastTaken == 0 || now.LastMessage == "" || now.LastMessage != was.LastMessage {
			t.Errorf("%s:\n got %+v\nwant %+v", name, now, was)
		}
		if all := (overview{again}).totals(); all.Recipients != 30 || all.Left != 5 {
			t.Errorf("%s: in all %+v", name, all)
		}
		if sent, left := (counted{again.tally}).Used(""); int64(sent) != was.Sent || left != 5 {
			t.Errorf("%s: the allowance sees %d sent and %d left", name, sent, left)
		}
		again.stats.Sample(time.Now())
		points, err := overview{again}.Statistics(console.StatisticsOf{Last: 60})
		var sent int64
		for _, p := range points {
			sent += p.Sent
		}
		if err != nil || name == "stopped" && sent != was.Sent {
			t.Errorf("%s: %d sent by minute, want %d: %v", name, sent, was.Sent, err)
		}
		if _, err := (overview{again}).Statistics(console.StatisticsOf{Site: "none", Last: 1}); err == nil || !strings.Contains(err.Error(), `site "none"`) {
			t.Errorf("%s: %v", name, err)
		}
		stop(t, again)
	}
}

// awaitCampaign waits until the one campaign is as wanted.
func awaitCampaign(t *testing.T, d *Daemon, ok func(c *console.Campaign) bool) console.Campaign {
	t.Helper()
	var last []console.Campaign
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if last = (overview{d}).Campaigns("", "", 10); len(last) == 1 && ok(&last[0]) {
			return last[0]
		}
	}
	t.Fatalf("%+v", last)
	return console.Campaign{}
}

// copyState makes what was recorded durable and copies the state directory as it is.
func copyState(t *testing.T, d *Daemon) string {
	t.Helper()
	if err := d.agent.Flush(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(dir, os.DirFS(d.cfg.StateDir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// BenchmarkCampaigns answers for 1,000 campaigns of 1,000 messages each, over the socket.
func BenchmarkCampaigns(b *testing.B) {
	d := &Daemon{tally: tally.New(tally.DefaultConfig())}
	for i := range 1000 {
		m := &relay.Message{Slip: &relay.Slip{Flow: relay.FlowName{Tenant: "shop", Name: fmt.Sprint("campaign-", i), Sender: "n.example"}, Taken: time.Now()}}
		m.Slip.Rcpts = []relay.Rcpt{{Addr: "a@b.example"}}
		for range 1000 {
			d.tally.Taken(m, 1)
			d.tally.Count(&relay.Event{Kind: relay.EventSettled, Message: m, Outcome: relay.Sent, Time: time.Now()})
		}
	}
	path := filepath.Join(b.TempDir(), "c")
	ln, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	s := console.New(overview{d}, nil, hclog.NewNullLogger())
	go s.Run(ln) // ends with Stop
	defer s.Stop(context.Background())
	c := console.NewClient(path)
	defer c.Close()
	for name, ask := range map[string]func() int{
		"list": func() (n int) {
			for _, err := range c.Campaigns(b.Context(), "", 1000) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			return n - 999
		},
		"show": func() (n int) {
			for _, err := range c.CampaignsNamed(b.Context(), "", "campaign-500") {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			return n
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if ask() != 1 {
					b.Fatal("not there")
				}
			}
		})
	}
}
