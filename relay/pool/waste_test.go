package pool

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// tapped counts the BDAT commands written to it. It closes behind so many of them, if closeAt is set.
type tapped struct {
	net.Conn
	chunks  *atomic.Int64
	closeAt int64
}

func (c tapped) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	here := int64(bytes.Count(p, []byte("\r\nBDAT ")))
	if all := c.chunks.Add(here); here > 0 && c.closeAt > 0 && all >= c.closeAt {
		c.Conn.Close()
	}
	return n, err
}

// tap makes a world whose receiver, of that name, offers CHUNKING, and counts what goes there by BDAT.
func tap(t *testing.T, rule string, domain string, refuse func(string) bool, closeAt int64) (*world, *atomic.Int64) {
	cfg := quick()
	cfg.BDAT = rule
	cfg.ConnectionsPerSite = 2
	w := newWorld(t, cfg, 10*time.Millisecond)
	w.listen(domain, sink.Character{Extensions: append(sink.DefaultExtensions(), "CHUNKING"), Refuse: refuse})
	var chunks atomic.Int64
	wire := *w.pool.smtp.Load()
	wire.Dial = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
		nc, err := d.DialContext(ctx, network, addr)
		return tapped{nc, &chunks, closeAt}, err
	}
	w.pool.SetSMTP(wire)
	return w, &chunks
}

// TestChunks: a site that offers BDAT, and takes what it gets, gets most of a campaign by it; each recipient gets one copy.
func TestChunks(t *testing.T) {
	const n = 1500
	for _, tt := range []struct {
		name   string
		bdat   string
		refuse func(string) bool
		most   int64 // by BDAT
		least  int64
	}{
		{"on", "on", nil, n, n / 2},
		{"off", "off", nil, 0, 0},
		{"one in five is refused", "on", sink.Share(0.2), n / 10, 0},
		{"one in a hundred is refused", "on", sink.Share(0.01), n, n / 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, chunks := tap(t, tt.bdat, "a.test", tt.refuse, 0)
			for i := range n {
				w.send(fmt.Sprintf("u%d@a.test", i))
			}
			w.drained()
			if got := chunks.Load(); got > tt.most || got < tt.least {
				t.Errorf("%d of %d by BDAT, want %d to %d", got, n, tt.least, tt.most)
			}
			copies := map[string]int{}
			for _, d := range w.sink.Deliveries() {
				copies[d.Rcpt]++
			}
			for i := range n {
				rcpt, want := fmt.Sprintf("u%d@a.test", i), 1
				if tt.refuse != nil && tt.refuse(rcpt) {
					want = 0
				}
				if copies[rcpt] != want {
					t.Errorf("%s got %d copies, want %d", rcpt, copies[rcpt], want)
				}
			}
		})
	}
}

// TestChunksLost: when the connection is lost behind a batch, each message of it is named, and nothing is lost. The host gets no batch
// again.
func TestChunksLost(t *testing.T) {
	w, chunks := tap(t, "on", "a.test", nil, 20)
	const n = 600
	for i := range n {
		w.send(fmt.Sprintf("u%d@a.test", i))
	}
	w.drained()
	if got := chunks.Load(); got < 20 || got > 100 {
		t.Errorf("%d by BDAT, though the host lost the connection behind 20", got)
	}
	twice, sent := 0, 0
	for _, e := range w.happened() {
		if strings.HasSuffix(e, " maybe twice") {
			twice++
		}
		if strings.HasPrefix(e, relay.Sent.String()) {
			sent++
		}
	}
	if sent != n || twice == 0 {
		t.Errorf("%d sent, %d maybe twice", sent, twice)
	}
	copies := map[string]int{}
	for _, d := range w.sink.Deliveries() {
		copies[d.Rcpt]++
	}
	doubled := 0
	for i := range n {
		switch c := copies[fmt.Sprintf("u%d@a.test", i)]; {
		case c == 0:
			t.Errorf("u%d got nothing", i)
		case c > 1:
			doubled++
		}
	}
	if doubled > twice {
		t.Errorf("%d got two copies, and only %d were named", doubled, twice)
	}
}

// TestWaste: an unknown site must take some dozens before it gets a batch; one refusal in ten is too many.
func TestWaste(t *testing.T) {
	taken := &smtp.Transaction{Reply: smtp.Reply{Code: 250}, Results: []smtp.Result{{}}}
	refused := &smtp.Transaction{Results: []smtp.Result{{Err: &smtp.Error{Code: 550, Command: smtp.AtRCPT}}}}
	again := &smtp.Transaction{Results: []smtp.Result{{Again: true}}}
	body := &smtp.Transaction{Results: []smtp.Result{{Err: &smtp.Error{Code: 552, Command: smtp.AtDot}}}}
	w := unknownWaste
	n := 0
	for ; w > mostWaste; n++ {
		w.learn(taken)
		before := w
		w.learn(again)
		w.learn(body)
		if w != before {
			t.Fatal("what says nothing about recipients counts")
		}
	}
	if n < 30 || n > 60 {
		t.Errorf("low after %d", n)
	}
	for range 3 {
		w.learn(refused)
	}
	if w <= mostWaste {
		t.Errorf("%v after three refusals", w)
	}
}

// TestProvidersWithoutBDAT: nobody gets BDAT unless the admin says so, and providers that were seen to hang over it only if he says
// so of them.
func TestProvidersWithoutBDAT(t *testing.T) {
	gmail, own := routeTo("gmail-smtp-in.l.google.com"), routeTo("mx.example.net")
	plain, ruled := compiled(t), compiled(t, Rule{Provider: "gmail", BDAT: "on"}, Rule{MX: []string{"example.net"}, BDAT: "off"})
	cfg := DefaultConfig()
	cfg.BDAT = "on"
	on, err := CompileRules(nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []struct{ bdat, want string }{
		{plain.For(own, "example.net").BDAT, "off"},
		{on.For(gmail, "gmail.com").BDAT, "off"}, {on.For(own, "example.net").BDAT, "on"},
		{ruled.For(gmail, "gmail.com").BDAT, "on"}, {ruled.For(own, "example.net").BDAT, "off"},
		{on.For(routeTo("mx01.mail.icloud.com"), "me.com").BDAT, "off"},
	} {
		if got.bdat != got.want {
			t.Errorf("got %q, want %q", got.bdat, got.want)
		}
	}
}
