package daemon

import (
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/sink"
)

// with are the tenants, flows and lanes of all messages that wait, in the order of the alphabet.
func (d *Daemon) with(t *testing.T) (all []string) {
	t.Helper()
	for l := range d.handler.Messages {
		if l.Rule != "resets" {
			t.Errorf("rule %q", l.Rule)
		}
		lane := ""
		if l.Urgent {
			lane = " first"
		}
		all = append(all, l.Tenant+" "+l.Flow+lane)
	}
	slices.Sort(all)
	return all
}

// TestATenantOverReloadAndRestart: tenants and lanes that a reload brings are those of later messages. A message keeps its tenant
// over a restart, although nothing in the mail says whose it is; its lane is that of its rule today.
func TestATenantOverReloadAndRestart(t *testing.T) {
	r := startReloadable(t, sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1 << 20}}})
	send := func(i int) {
		t.Helper()
		c := dial(t, r.milter)
		defer c.Close()
		m := newsletter(i)
		m.SASLUser = "joe@acme.example"
		if v, err := c.Send(m); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	const rule = "[[bulk.rule]]\nname = 'resets'\nheader = 'List-Id'\n"
	r.rewrite(t, rule)
	send(0)
	got := r.rewrite(t, rule+"lane = 'urgent'\n[[tenant]]\nname = 'acme'\nsasl_user = '*@acme.example'\n")
	if !got.Applied || len(got.Changed) != 2 || got.Changed[1].Key != "tenant" {
		t.Errorf("%+v", got)
	}
	send(1)
	if got, want := r.with(t), []string{" n.s.test", "acme n.s.test first"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	stop(t, r.Daemon)

	cfg, _ := configured(t, r.dir, r.to, rule+"lane = 'urgent'\n")
	again, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, again)
	if got, want := again.with(t), []string{" n.s.test first", "acme n.s.test first"}; !slices.Equal(got, want) {
		t.Errorf("after a restart %q, want %q", got, want)
	}
}
