package route

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/dns"
)

// floating is a host whose addresses change.
type floating struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
}

func (f *floating) set(err error, addrs ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.addrs = err, nil
	for _, a := range addrs {
		f.addrs = append(f.addrs, netip.MustParseAddr(a))
	}
}

func (f *floating) local() ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addrs, f.err
}

// TestFloatingAddress: the address of every host in the test's world is ours for
// a while.
func TestFloatingAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newWorld(), new(floating)
		w.set("a.test", "mx.test", 24*time.Hour)
		f.set(nil, "192.0.2.1", "192.0.2.2")
		r := assemble(Config{Local: f.local}.withDefaults(), Table{}, hclog.NewNullLogger(), w)
		if err := r.around.look(); err != nil {
			t.Fatal(err)
		}
		r.Run(t.Context())
		defer r.Stop()
		now := func() *Route {
			t.Helper()
			r.Lookup("a.test")
			pass(time.Second)
			rt := r.Lookup("a.test")
			if rt == nil {
				t.Fatal("no route")
			}
			return rt
		}
		if rt := now(); rt.Err == nil {
			t.Errorf("at home: %+v", rt)
		}
		f.set(nil, "192.0.2.2") // it moves to another host
		pass(lookEvery)
		if rt := now(); rt.Err != nil {
			t.Errorf("moved away: %v", rt.Err)
		}
		asked := w.count("a.test")
		f.set(nil, "192.0.2.2", "fe80::1") // what changes each time a container starts
		pass(lookEvery)
		now()
		f.set(errors.New("no netlink"))
		pass(lookEvery)
		if rt := now(); rt.Err != nil || w.count("a.test") != asked {
			t.Errorf("nothing to be looked up again: %v, asked %d times", rt.Err, w.count("a.test"))
		}
		f.set(nil, "192.0.2.2", "192.0.2.1") // and comes back
		pass(lookEvery)
		if rt := r.Lookup("a.test"); rt == nil || rt.Err != nil {
			t.Errorf("a good route does not stay until the new one is there: %v", rt)
		}
		if rt := now(); rt.Err == nil {
			t.Errorf("came back: %+v", rt)
		}
	})
}

func TestOtherNameServers(t *testing.T) {
	old, fresh := dns.Start(t, "a.test. MX 10 192.0.2.1.\nb.test. MX 10 192.0.2.1.\n"), dns.Start(t, "b.test. MX 10 192.0.2.2.\n")
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// resolv.conf has no ports, and the test's servers are not on port 53: the
	// file names two servers that nobody asks, the test puts its own in.
	write("nameserver 127.0.0.53\n")
	r, err := newFrom(file, testConfig(old), Table{}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	r.Run(t.Context())
	t.Cleanup(r.Stop)
	if rt := await(t, r, "a.test"); rt.Err != nil {
		t.Fatal(rt.Err)
	}
	around := &surroundings{r: assemble(Config{}.withDefaults(), Table{}, hclog.NewNullLogger(), nil), client: newClient(nil), file: file}
	for _, text := range []string{"nameserver 192.0.2.53\n", "nameserver 192.0.2.54\nnameserver 2001:db8::53\n"} {
		write(text)
		if err := around.look(); err != nil {
			t.Fatal(err)
		}
	}
	want := "[192.0.2.54:53 [2001:db8::53]:53]"
	var got []netip.AddrPort
	for _, s := range around.client.list.Load().servers {
		got = append(got, s.addr)
	}
	if text := fmt.Sprint(got); text != want {
		t.Errorf("asks %s, want %s", text, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := around.look(); err == nil || fmt.Sprint(around.servers) != want {
		t.Errorf("without the file: %v, %v", err, around.servers)
	}
	r.around.client.setServers([]netip.AddrPort{fresh.AddrPort()})
	if rt := await(t, r, "b.test"); rt.Err != nil || rt.Site != "192.0.2.2:25" {
		t.Errorf("asks the old server: %+v", rt)
	}
}

// TestFaultOfLooking: a fault of our own while this host is looked at is logged, once, and the host is looked at again.
func TestFaultOfLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		looks := 0
		cfg := Config{Local: func() ([]netip.Addr, error) {
			if looks++; looks < 4 {
				panic("wanted panic")
			}
			return nil, nil
		}}
		r := assemble(cfg.withDefaults(), Table{}, hclog.New(&hclog.LoggerOptions{Output: &log}), newWorld())
		r.Run(t.Context())
		pass(5 * lookEvery)
		r.Stop()
		if looks < 4 || strings.Count(log.String(), "[running") != 1 {
			t.Errorf("looked %d times: %s", looks, log.String())
		}
	})
}

// TestPublicAddress: behind NAT no interface has our public address. The name that we greet with has it in DNS, so mail whose host
// has that address is for ourselves. An answer that fails changes nothing, and one that says otherwise does.
func TestPublicAddress(t *testing.T) {
	s := dns.Start(t, `
		out.example.  A 203.0.113.7
		mx.example.   A 127.0.0.1
		own.test.     MX 10 public.test.
		public.test.  A 203.0.113.7
		far.test.     MX 10 mx.far.test.
		mx.far.test.  A 192.0.2.9
	`)
	cfg := testConfig(s)
	cfg.MinTTL = time.Hour
	cfg.Names = []string{"mx.example.", "OUT.example", "no name"}
	r := startResolver(t, cfg, nil)
	want := func(when, domain, want string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(10 * time.Second); got != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
			got = text(await(t, r, domain))
		}
		if got != want {
			t.Errorf("%s: %s is %s, want %s", when, domain, got, want)
		}
	}
	want("at first", "own.test", "451 4.4.6 ourselves")
	want("at first", "far.test", "mx.far.test:25; 10 mx.far.test [192.0.2.9]")
	s.Fault("out.example.", dns.Fault{Kind: dns.ServFail})
	r.around.lookUpNames(t.Context())
	if err := r.around.look(); err != nil {
		t.Fatal(err)
	}
	want("without an answer", "own.test", "451 4.4.6 ourselves")
	cfg.Names = []string{"mx.far.test"} // a reload of helo_name
	if err := r.Reload(cfg, Table{}); err != nil {
		t.Fatal(err)
	}
	r.around.lookUpNames(t.Context())
	if err := r.around.look(); err != nil {
		t.Fatal(err)
	}
	want("under another name", "own.test", "public.test:25; 10 public.test [203.0.113.7]")
	want("under another name", "far.test", "451 4.4.6 ourselves")
}
