package pool

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// sourceOf is a source with the address 192.0.2.n.
func sourceOf(name string, n byte) SourceConfig {
	return SourceConfig{Name: name, Weight: 1, Address: netip.AddrFrom4([4]byte{192, 0, 2, n})}
}

// sourcesFrom is the sources of the tables, with UTC's midnight.
func sourcesFrom(t testing.TB, list ...SourceConfig) *Sources {
	t.Helper()
	s, err := CompileSources(list, smtp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.zone = time.UTC
	return s
}

// chosen names the source that is chosen, "-" for none.
func chosen(s *Sources, names []string, provider string, has4, has6 bool, now time.Time) string {
	src, ok := s.Choose(names, provider, has4, has6, now)
	if !ok {
		return "-"
	}
	return src.Name()
}

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func TestChooseByWeight(t *testing.T) {
	a, b := sourceOf("a", 1), sourceOf("b", 2)
	a.Weight = 3
	s := sourcesFrom(t, a, b)
	count := make(map[string]int)
	for range 400 {
		count[chosen(s, nil, "gmail", true, true, noon)]++
	}
	if want := map[string]int{"a": 300, "b": 100}; !reflect.DeepEqual(count, want) {
		t.Errorf("%v, want %v", count, want)
	}
}

// TestChooseIsFairToEachProvider: two providers whose mail alternates must not get one source each. Providers with one message
// each share the sources like one provider with many.
func TestChooseIsFairToEachProvider(t *testing.T) {
	s := sourcesFrom(t, sourceOf("a", 1), sourceOf("b", 2))
	count := make(map[string]int)
	for range 100 {
		for _, provider := range []string{"gmail", "yahoo"} {
			count[provider+" "+chosen(s, nil, provider, true, true, noon)]++
		}
	}
	if want := map[string]int{"gmail a": 50, "gmail b": 50, "yahoo a": 50, "yahoo b": 50}; !reflect.DeepEqual(count, want) {
		t.Errorf("%v, want %v", count, want)
	}
	small := make(map[string]int)
	for i := range 3 * maxTurns {
		small[chosen(s, nil, fmt.Sprint("site", i), true, true, noon)]++
	}
	if want := map[string]int{"a": 3 * maxTurns / 2, "b": 3 * maxTurns / 2}; !reflect.DeepEqual(small, want) {
		t.Errorf("%v, want %v", small, want)
	}
}

func TestChooseWho(t *testing.T) {
	both, six, kept := sourceOf("both", 1), SourceConfig{Name: "six", Weight: 1, Address6: netip.MustParseAddr("2001:db8::2")}, sourceOf("kept", 3)
	both.Address6 = netip.MustParseAddr("2001:db8::1")
	kept.Reserved = true
	for _, test := range []struct {
		names      []string
		has4, has6 bool
		want       string // in turn
	}{
		{nil, true, true, "both six both six"},
		{nil, true, false, "both both both both"},
		{nil, false, true, "both six both six"},
		{nil, false, false, "- - - -"},
		{[]string{"six"}, true, true, "six six six six"},
		{[]string{"six"}, true, false, "- - - -"},
		{[]string{"kept"}, true, false, "kept kept kept kept"},
		{[]string{"kept", "six"}, true, true, "six kept six kept"},
		{[]string{"gone"}, true, true, "- - - -"},
	} {
		s := sourcesFrom(t, both, six, kept)
		var got []string
		for range 4 {
			got = append(got, chosen(s, test.names, "gmail", test.has4, test.has6, noon))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("names %q IPv4 %t IPv6 %t: %q, want %q", test.names, test.has4, test.has6, got, test.want)
		}
	}
}

// TestTheDefaultSource: without a table there is one source, which sends as [smtp] says.
func TestTheDefaultSource(t *testing.T) {
	s := sourcesFrom(t)
	src, ok := s.Choose(nil, "gmail", false, true, noon)
	cfg := &smtp.Config{Local4: netip.MustParseAddr("192.0.2.1")}
	if !ok || src.Name() != "" || src.Wire(cfg) != cfg || !src.Reaches(netip.MustParseAddr("::1")) || !src.Spend("gmail", 1000, noon) || !s.Allowed(src, nil) {
		t.Errorf("%+v %t", src, ok)
	}
	if allocs := testing.AllocsPerRun(100, func() { s.Choose(nil, "gmail", true, true, noon) }); allocs > 0 {
		t.Errorf("%v allocations a call", allocs)
	}
}

// hear accepts connections and sends what each comes from and says in EHLO.
func hear(t *testing.T, network, addr string) (netip.AddrPort, <-chan string) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Skip("no loopback for it: ", err)
	}
	heard := make(chan string, 10)
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with ln
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 sink.test\r\n")
			line, _ := bufio.NewReader(c).ReadString('\n')
			heard <- c.RemoteAddr().(*net.TCPAddr).IP.String() + " " + strings.TrimSpace(line)
			fmt.Fprint(c, "250 sink.test\r\n")
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String()), heard
}

// TestSourcesOnTheWire: each source connects from its own address and greets with its own name.
func TestSourcesOnTheWire(t *testing.T) {
	one := SourceConfig{Name: "one", Address: netip.MustParseAddr("127.0.0.2"), Helo: "one.example.org"}
	two := SourceConfig{Name: "two", Address: netip.MustParseAddr("127.0.0.3")}
	s := sourcesFrom(t, one, two)
	to, heard := hear(t, "tcp4", "127.0.0.1:0")
	cfg := &smtp.Config{Hostname: "mail.example.org", TLS: smtp.TLSNone}
	for range 2 {
		src, _ := s.Choose(nil, "sink", true, false, noon)
		c, err := smtp.Dial(context.Background(), smtp.Addr{Host: "sink.test", AddrPort: to}, src.Wire(cfg))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	got := []string{<-heard, <-heard}
	if want := []string{"127.0.0.2 EHLO one.example.org", "127.0.0.3 EHLO mail.example.org"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if cfg.Hostname != "mail.example.org" || cfg.Local4.IsValid() || cfg.Dial != nil {
		t.Errorf("the settings that were given are changed: %+v", cfg)
	}
}

// TestNoOtherAddress: over a family that a source lacks, nothing goes from an address that the system chooses.
func TestNoOtherAddress(t *testing.T) {
	s := sourcesFrom(t, SourceConfig{Name: "four", Address: netip.MustParseAddr("127.0.0.2")})
	src, _ := s.Choose(nil, "sink", true, false, noon)
	to, heard := hear(t, "tcp6", "[::1]:0")
	if src.Reaches(to.Addr()) || !src.Reaches(netip.MustParseAddr("::ffff:127.0.0.1")) {
		t.Error("the families are mixed up")
	}
	_, err := smtp.Dial(context.Background(), smtp.Addr{Host: "sink.test", AddrPort: to}, src.Wire(&smtp.Config{Hostname: "a.test"}))
	if err == nil || !strings.Contains(err.Error(), "source four has no address of the family") {
		t.Errorf("%v", err)
	}
	if len(heard) > 0 {
		t.Errorf("connected: %s", <-heard)
	}
}

// TestWireIsKept: a connection costs no copy of the settings, and a new name in EHLO is in force at once.
func TestWireIsKept(t *testing.T) {
	c := SourceConfig{Name: "a", Address: netip.MustParseAddr("192.0.2.1"), Address6: netip.MustParseAddr("2001:db8::1"), Helo: "old.example.org"}
	s := sourcesFrom(t, c)
	src, _ := s.Choose(nil, "gmail", true, true, noon)
	cfg := &smtp.Config{Hostname: "mail.example.org"}
	first := src.Wire(cfg)
	if first != src.Wire(cfg) || first.Local4 != c.Address || first.Local6 != c.Address6 || first.Dial != nil {
		t.Errorf("%+v", first)
	}
	c.Helo = "new.example.org"
	if err := s.Reload([]SourceConfig{c}); err != nil {
		t.Fatal(err)
	}
	if got := src.Wire(cfg).Hostname; got != "new.example.org" {
		t.Errorf("greets with %s", got)
	}
	if got := src.Wire(&smtp.Config{TLS: smtp.TLSNone}); got.TLS != smtp.TLSNone {
		t.Errorf("settings of another connection: %+v", got)
	}
}

// TestReloadSources: a source is the same while its name and its addresses are. One that is gone serves nobody.
func TestReloadSources(t *testing.T) {
	a, b := sourceOf("a", 1), sourceOf("b", 2)
	s := sourcesFrom(t, a, b)
	find := func(name string) *Source {
		src, _ := s.Choose([]string{name}, "gmail", true, false, noon)
		return src
	}
	oldA, oldB := find("a"), find("b")
	a.Weight, a.Reserved = 5, true
	b.Address = netip.MustParseAddr("192.0.2.77")
	if err := s.Reload([]SourceConfig{b, a}); err != nil {
		t.Fatal(err)
	}
	if find("a") != oldA || find("b") == oldB {
		t.Error("a source is not what it was, or is what it was not")
	}
	for _, test := range []struct {
		src   *Source
		names []string
		want  bool
	}{{oldA, nil, false}, {oldA, []string{"a"}, true}, {oldB, nil, false}, {oldB, []string{"b"}, false}, {find("b"), nil, true}} {
		if got := s.Allowed(test.src, test.names); got != test.want {
			t.Errorf("%s %v for %q: allowed %t", test.src.name, test.src.four, test.names, got)
		}
	}
	if err := s.Reload([]SourceConfig{a, a}); err == nil || find("b") == nil {
		t.Errorf("a reload with mistakes: %v", err)
	}
	if err := s.Reload(nil); err != nil || s.Allowed(oldA, []string{"a"}) || chosen(s, nil, "gmail", true, true, noon) != "" {
		t.Errorf("no tables: %v", err)
	}
}

func TestValidateSources(t *testing.T) {
	good := sourceOf("a", 1)
	good.Warmup = []Warmup{{Start: 1, Plan: []int{50, 50, 100}}, {Start: 1, Plan: []int{1}, Providers: []string{"gmail"}}}
	for _, test := range []struct {
		change func(*SourceConfig)
		want   string
	}{
		{func(c *SourceConfig) {}, ""},
		{func(c *SourceConfig) { c.Name = "" }, "source[0].name: "},
		{func(c *SourceConfig) { c.Name = "a b" }, "source[0].name: "},
		{func(c *SourceConfig) { c.Name = "b" }, "source[1].name: "},
		{func(c *SourceConfig) { c.Weight = -1 }, "source[0].weight: "},
		{func(c *SourceConfig) { c.Weight = maxWeight + 1 }, "source[0].weight: "},
		{func(c *SourceConfig) { c.Address = netip.Addr{} }, "source[0].address: is missing"},
		{func(c *SourceConfig) { c.Address = netip.MustParseAddr("2001:db8::1") }, "source[0].address: 2001:db8::1 is no IPv4"},
		{func(c *SourceConfig) { c.Address = netip.MustParseAddr("0.0.0.0") }, "source[0].address: nothing"},
		{func(c *SourceConfig) { c.Address = netip.MustParseAddr("192.0.2.99") }, "source[1].address: 192.0.2.99 is the address of source"},
		{func(c *SourceConfig) { c.Address6 = netip.MustParseAddr("192.0.2.5") }, "source[0].address6: 192.0.2.5 is no IPv6"},
		{func(c *SourceConfig) { c.Address6 = netip.MustParseAddr("::ffff:192.0.2.5") }, "source[0].address6: "},
		{func(c *SourceConfig) { c.Warmup[0].Start = 0 }, "source[0].warmup[0].start: is missing"},
		{func(c *SourceConfig) { c.Warmup[0].Plan = nil }, "source[0].warmup[0].plan: "},
		{func(c *SourceConfig) { c.Warmup[0].Plan = make([]int, maxPlan+1) }, "source[0].warmup[0].plan: "},
		{func(c *SourceConfig) { c.Warmup[0].Plan = []int{100, 50} }, "source[0].warmup[0].plan[1]: 50 is less than 100"},
		{func(c *SourceConfig) { c.Warmup[0].Plan = []int{0} }, "source[0].warmup[0].plan[0]: "},
		{func(c *SourceConfig) { c.Warmup[1].Providers = []string{""} }, "source[0].warmup[1].providers[0]: "},
		{func(c *SourceConfig) { c.Warmup[1].Providers = []string{"mx.example.com:25"} }, ""},
		{func(c *SourceConfig) { c.Warmup[1].Providers = []string{"gmail", "gmial"} }, `source[0].warmup[1].providers[1]: "gmial" is not in the table`},
		{func(c *SourceConfig) { c.Warmup[1].Providers = nil }, "source[0].warmup[1].providers: is missing"},
		{func(c *SourceConfig) { c.Warmup[0].Providers = []string{"gmail"} }, `source[0].warmup[1].providers: "gmail" has a plan`},
	} {
		c := good
		c.Warmup = append([]Warmup(nil), good.Warmup...)
		test.change(&c)
		err := ValidateSources([]SourceConfig{c, {Name: "b", Weight: 1, Address: netip.MustParseAddr("192.0.2.99")}})
		if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.HasPrefix(got, test.want) && test.want != "" {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if err := ValidateSources(make([]SourceConfig, maxSources+1)); err == nil || !strings.HasPrefix(err.Error(), "source: 257") {
		t.Errorf("too many: %.60v", err)
	}
}
