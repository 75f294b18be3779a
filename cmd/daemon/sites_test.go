package daemon

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/pool"
)

// TestSitesOverTheSocket: a receiver that cannot be reached stands in the list of sites with its waiting mail, why it waits and
// until when; asked for by the domain, with whose mail it is too.
func TestSitesOverTheSocket(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	cfg, socket := configured(t, t.TempDir(), nobody.Addr(), "")
	d, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	c := dial(t, socket)
	defer c.Close() // before the stop, else the door gives it the whole of its grace
	for i := range 5 {
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	face := console.NewClient(cfg.Control.Socket)
	defer face.Close()
	var site console.Site
	for end := time.Now().Add(20 * time.Second); (site.ClosedUntil == 0 || site.Nodes == 0) && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for s, err := range face.Sites(t.Context(), console.MaxSites) {
			if err != nil {
				t.Fatal(err)
			}
			site = s
		}
	}
	if site.Reason == "" || site.Held == nil || site.Window != 0 || site.WindowBy != "default" || site.Oldest == 0 || site.Flows != nil {
		t.Errorf("in the list: %+v", site)
	}
	n := 0
	for s, err := range face.SitesNamed(t.Context(), "x.test") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; s.Site != site.Site || len(s.Flows) == 0 {
			t.Errorf("by domain: %+v, want %s and its flows", s, site.Site)
		}
	}
	if n != 1 {
		t.Errorf("%d sites by domain", n)
	}
	if p := d.Overview().Status().Pool; p.Sites != 1 || p.Closed != 1 || p.Connections != 0 {
		t.Errorf("status: %+v", p)
	}
}

// TestSourcesInTheStatus: of many plans the status has those that leave the least room.
func TestSourcesInTheStatus(t *testing.T) {
	v := pool.SourceView{Name: "news-1", Address: "192.0.2.1", Weight: 3}
	for i := range 3 * console.MaxWarming {
		v.Warming = append(v.Warming, pool.WarmingView{Provider: "p", Plan: 100, Spent: i})
	}
	s := source(v)
	if s.Name != "news-1" || s.Address != "192.0.2.1" || s.Weight != 3 || s.Plans != 3*console.MaxWarming {
		t.Errorf("%+v", s)
	}
	if len(s.Warming) != console.MaxWarming || s.Warming[0].Spent != 3*console.MaxWarming-1 || s.Warming[1].Spent >= s.Warming[0].Spent {
		t.Errorf("plans: %+v", s.Warming)
	}
}
