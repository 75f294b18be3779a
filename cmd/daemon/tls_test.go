package daemon

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/test/sink"
)

// TestTLSIsTold: the mail log tells of the encryption of a connection, and when a receiver refuses what it offers, mail log
// and status say whose mail goes in clear, why, and for how long.
func TestTLSIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		faults     []sink.Fault
		clear      int64
	}{
		{"works", `/smtp\[\d+\]: Untrusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)`, nil, 0},
		{"refused", `/smtp\[\d+\]: warning: TLS given up at 127\.0\.0\.1\[127\.0\.0\.1\]:\d+, whose mail goes in clear: STARTTLS: 451 4\.7\.0 not now`,
			[]sink.Fault{{Stage: sink.StartTLS, Do: sink.Reply451, Text: "451 4.7.0 not now"}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			far, err := sink.New(sink.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			addr, err := far.Listen("127.0.0.1:0", sink.Character{TLS: true, Faults: tt.faults})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			cfg, socket := configured(t, dir, addr, "")
			cfg.Log.Mail = filepath.Join(dir, "mail.log")
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
			for i := range 2 {
				if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
					t.Fatalf("%+v %v", v, err)
				}
			}
			for end := time.Now().Add(20 * time.Second); far.Count() < 2 && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			p := d.Overview().Status().Pool
			if p.ClearHosts != tt.clear || len(p.InClear) != int(tt.clear) {
				t.Errorf("the status has %+v", p)
			}
			for _, h := range p.InClear {
				if wait := time.Until(time.Unix(h.Until, 0)); h.Connections < 1 || !strings.Contains(h.Reason, "not now") || wait < time.Minute || h.Site == "" {
					t.Errorf("the status has %+v", h)
				}
			}
			d.mail.Flush()
			log, err := os.ReadFile(cfg.Log.Mail)
			if err != nil || len(regexp.MustCompile(tt.line).FindAll(log, -1)) == 0 {
				t.Errorf("no line like %s: %v\n%s", tt.line, err, log)
			}
		})
	}
}

// The status has the hosts with the most connections first, and no more than a monitor can read.
func TestInClear(t *testing.T) {
	var hosts []pool.Clear
	for i := range 3 * console.MaxInClear {
		hosts = append(hosts, pool.Clear{Site: "s", Host: "h", Connections: i, Reason: "r", Until: 7})
	}
	list, all := inClear(hosts)
	first := console.ClearHost{Site: "s", Host: "h", Connections: 3*console.MaxInClear - 1, Reason: "r", Until: 7}
	if len(list) != console.MaxInClear || all != 3*console.MaxInClear || list[0] != first || list[1].Connections >= first.Connections {
		t.Errorf("%d of %d: %+v", len(list), all, list)
	}
	if list, all = inClear(nil); len(list) != 0 || all != 0 {
		t.Errorf("%d of %d without a host", len(list), all)
	}
}
