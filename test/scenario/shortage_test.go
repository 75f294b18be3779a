package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

const (
	shortLiving  = 250 // sites that take mail, each with an IPv6 and an IPv4 address
	shortVisited = 200 // of them; the others are new when the descriptors have run out
	shortSilent  = 20  // sites that accept a connection and say nothing, likewise
	shortFiles   = 200 // descriptors
)

// TestShortage: on a machine without IPv6 and with 200 descriptors mail flows to many sites, although each has an IPv6 address
// and some are silent. When the descriptors run out, nothing spins, nobody is charged, and what waits says why. Mail flows
// when there are some again.
func TestShortage(t *testing.T) {
	mta.Require(t, mta.PostfixPart)
	if !alone(t) {
		return
	}
	bare(t)
	s := newShortage(t)
	s.flows(t)
	s.lacksIPv6(t)
	s.lacksDescriptors(t)
}

// shortage is a scene in which Millrace lacks what other daemons have.
type shortage struct {
	*Scene
	ask *console.Client // its connection was open before the descriptors ran out
	mta *standin.Conn   // likewise
}

func newShortage(t *testing.T) *shortage {
	t.Helper()
	names := dns.Start(t, shortZone())
	s := &shortage{Scene: beside(t, Options{
		Config: fmt.Sprintf("retry.schedule = [\"1s\"]\nsnapshot.interval = \"1s\"\ndns.servers = [%q]\ndns.allow = [\"10.8.0.0/16\", \"fd00::/8\"]", names.Addr()),
		Launch: limited,
	})}
	for i := range shortLiving {
		s.receive(t, i, sink.Character{Name: "bulk"})
	}
	for i := range shortSilent {
		s.receive(t, shortLiving+i, sink.Character{Name: "silent", Faults: []sink.Fault{{Stage: sink.Banner, Do: sink.Silence}}})
	}
	s.ask = console.NewClient(s.Millrace.Socket())
	t.Cleanup(s.ask.Close)
	conn, err := standin.Dial("unix", s.Millrace.MilterSocket(), standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.mta = conn
	return s
}

// shortZone has the living sites, the silent ones, and one that has an IPv6 address only.
func shortZone() string {
	var zone strings.Builder
	for i := range shortLiving + shortSilent {
		fmt.Fprintf(&zone, "d%d.test. MX 10 mx.d%d.test.\nmx.d%d.test. A %s\nmx.d%d.test. AAAA fd00::%x\n", i, i, i, shortAddr(i), i, i+1)
	}
	zone.WriteString("six.test. MX 10 mx.six.test.\nmx.six.test. AAAA fd00::6\n")
	return zone.String()
}

func shortAddr(i int) string { return fmt.Sprintf("10.8.%d.%d", i/100, i%100+1) }

func (s *shortage) receive(t *testing.T, i int, c sink.Character) {
	t.Helper()
	if _, err := s.Sink.Listen(shortAddr(i)+":25", c); err != nil {
		t.Fatal(err)
	}
}

// limited starts a daemon that may have so few descriptors. Go raises the limit of a program up to the hard one.
func limited(cmd *exec.Cmd) error {
	cmd.Args = append([]string{"sh", "-c", fmt.Sprintf("ulimit -n %d && exec \"$@\"", shortFiles), "sh"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = "/bin/sh"
	return cmd.Start()
}

// domains lists n sites from the given one on.
func domains(from, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("d%d.test", from+i))
	}
	return list
}

// flows sends a campaign to all sites by way of Postfix, silent ones in front.
func (s *shortage) flows(t *testing.T) {
	t.Helper()
	begin := s.used(t)
	send(t, s.Scene, load.Config{Messages: 2 * shortSilent, Domains: domains(shortLiving, shortSilent), Conns: 3, MinSize: 1500, Prefix: "silent"})
	r := send(t, s.Scene, load.Config{Messages: size(1000, 20_000), Domains: domains(0, shortVisited), Conns: 5, MinSize: 1500, Prefix: "flows"})
	arrived(t, s.Scene, r)
	t.Logf("flows: %s", s.used(t).since(begin))
}

// lacksIPv6 sends mail to a site that cannot be reached from here at all.
func (s *shortage) lacksIPv6(t *testing.T) {
	t.Helper()
	s.offer(t, "six.test")
	eventually(t, "the mail says that this machine lacks IPv6", func() bool {
		return strings.Contains(s.reasons(t)["six.test"].Reason, "IPv6 cannot be used on this machine")
	})
	if n := strings.Count(s.Millrace.Log(), "IPv6 cannot be used on this machine"); n < 1 || n > 3 {
		t.Errorf("%d lines of the log say so, want one a minute", n)
	}
}

// offer hands one message for a domain to the door, over a connection that has been open for long.
func (s *shortage) offer(t *testing.T, domain string) {
	t.Helper()
	v, err := s.mta.Send(&standin.Message{
		QueueID: "4A" + domain, From: "news@sender.test", Rcpts: standin.To("u@" + domain), Body: []byte("hello\r\n"),
		Header: []standin.Field{{Name: "X-Ledger", Value: " offered." + domain}, {Name: "List-Id", Value: " <news.sender.test>"}, {Name: "List-Unsubscribe", Value: " <https://sender.test/off>"}},
	})
	if err != nil || !v.Taken() {
		t.Fatalf("mail for %s was not taken: %+v, %v", domain, v, err)
	}
}

// reasons is why mail waits, by domain.
func (s *shortage) reasons(t *testing.T) map[string]relay.QueueStatus {
	t.Helper()
	all := make(map[string]relay.QueueStatus)
	for q, err := range s.ask.Queues(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all[q.Domain] = q
	}
	return all
}

// lacksDescriptors takes the right to open files away from the daemon for some seconds. Mail for sites that it knows, and for
// names that it must look up, waits.
func (s *shortage) lacksDescriptors(t *testing.T) {
	t.Helper()
	s.setLimit(t, 3)
	begin, before := s.used(t), s.Sink.Count()
	offered := domains(shortVisited-20, 40)
	for _, d := range offered {
		s.offer(t, d)
	}
	time.Sleep(3 * time.Second) // an error that is tried again at once is tried thousands of times by then
	asked := time.Now().Unix() - 1
	why := s.reasons(t)
	cost := s.used(t).since(begin)
	t.Logf("without descriptors: %s", cost)
	if cost.cpu > cost.time/2 || cost.log > 20_000 || cost.mail > 40_000 {
		t.Errorf("it spins: %s", cost)
	}
	for _, d := range offered {
		q, waits := why[d]
		if waits && q.Reason == "" || q.Next != 0 && q.Next < asked {
			t.Errorf("%s waits without a reason, or for a time that is over: %+v", d, q)
		}
	}
	s.setLimit(t, shortFiles)
	if err := s.Wait(t.Context(), before+len(offered), time.Minute); err != nil {
		t.Errorf("%v; %+v", err, s.reasons(t))
	}
	for line := range strings.Lines(s.Millrace.MailLog()) {
		if strings.Contains(line, ": 4Ad") && strings.Contains(line, "status=deferred") {
			t.Errorf("the receiver is blamed: %s", line)
		}
	}
	eventually(t, "the journal is written again", func() bool {
		st, err := s.ask.Status(t.Context())
		return err == nil && st.Journal.Blocked == "" && st.Journal.Unwritable == ""
	})
}

// setLimit changes how many descriptors the running daemon may have. What is open stays open.
func (s *shortage) setLimit(t *testing.T, n uint64) {
	t.Helper()
	if err := unix.Prlimit(s.pid(t), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: shortFiles}, nil); err != nil {
		t.Fatal(err)
	}
}

func (s *shortage) pid(t *testing.T) int {
	t.Helper()
	st, err := s.ask.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.PID
}

// cost is what the daemon has used up, or used up meanwhile.
type cost struct {
	time, cpu time.Duration
	log, mail int // bytes
}

func (c cost) String() string {
	return fmt.Sprintf("%s of CPU in %s, %d bytes of log, %d of mail log", c.cpu, c.time.Round(time.Millisecond), c.log, c.mail)
}

func (c cost) since(b cost) cost {
	return cost{c.time - b.time, c.cpu - b.cpu, c.log - b.log, c.mail - b.mail}
}

// started is the beginning of cost.time.
var started = time.Now()

// used reads the CPU time of the daemon, see proc_pid_stat(5): a tick is 10 ms.
func (s *shortage) used(t *testing.T) cost {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid(t)))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields, c := strings.Fields(rest), cost{time: time.Since(started), log: len(s.Millrace.Log()), mail: len(s.Millrace.MailLog())}
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		c.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	return c
}
