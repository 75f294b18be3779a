package smtpd

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// shutAccepter takes no message.
type shutAccepter struct{}

func (shutAccepter) Accept(*relay.Message) error { return relay.ErrFull }
func (shutAccepter) Heard(*relay.Message, bool)  {}

// rescueDoor is a door with a listener for filters. The MTA behind it must never be asked.
func rescueDoor(t *testing.T) (addr string) {
	t.Helper()
	bulk := filter.DefaultConfig()
	bulk.LocalDomains, bulk.SizeLimit = []string{"local.example"}, 1<<20
	f, err := filter.Compile(bulk, "mx.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Filter, cfg.Reinject, cfg.MaxSize = []string{"inet:127.0.0.1:8896"}, "[127.0.0.1]:1", 2<<20
	in, err := filter.NewIntake(cfg.Limits(), filter.Deliver, filter.Deps{
		Accept: shutAccepter{}, NewID: func() relay.ID { return 1 }, Filter: f, Sendable: smtp.Form.Sendable, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(cfg, Deps{Intake: in, Hostname: "mx.example"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(ln, Filter) }() // ends with Stop
	t.Cleanup(func() {
		if err := d.Stop(t.Context()); err == nil {
			<-served
		}
	})
	return ln.Addr().String()
}

// ask sends lines and returns the last line of the reply to each.
func ask(t *testing.T, addr string, lines ...string) (replies []string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(nc)
	for _, line := range append([]string{""}, lines...) {
		if line != "" {
			if _, err := nc.Write([]byte(line + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		all := ""
		for {
			text, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v behind %q", line, err, replies)
			}
			if all += text; len(text) > 3 && text[3] == ' ' {
				break
			}
		}
		replies = append(replies, all)
	}
	return replies[1:]
}

// TestRescueSendsNothingOn: what is not taken of a backlog stays with the MTA that brings it. Nothing is said for good.
func TestRescueSendsNothingOn(t *testing.T) {
	addr := rescueDoor(t)
	got := ask(t, addr, "LHLO "+RescueName, "MAIL FROM:<a@b.example> SIZE=9000000", "RSET",
		"MAIL FROM:<a@b.example>", "RCPT TO:<x@local.example>", "RCPT TO:<y@far.example> NOTIFY=NEVER", "RCPT TO:<z@far.example> FOO", "DATA", "Subject: x\r\n\r\ntext\r\n.")
	for i, want := range []string{"250", "451 4.", "250", "250", "451 4.1.2 " + NotTaken, "250", "451 4.", "354", "451 4."} {
		if last := got[i][strings.LastIndex(strings.TrimSuffix(got[i], "\r\n"), "\n")+1:]; !strings.HasPrefix(last, want) {
			t.Errorf("reply %d is %q, want %q", i, last, want)
		}
	}
	if !strings.Contains(got[0], RescueKeyword) {
		t.Errorf("does not say that it knows a rescue: %q", got[0])
	}
	if strings.Contains(got[0], "SIZE") {
		t.Errorf("announces a size, so that Postfix returns what is larger: %q", got[0])
	}
}

// TestRescueIsNamed: every other client has the door's usual answers.
func TestRescueIsNamed(t *testing.T) {
	addr := rescueDoor(t)
	for _, hello := range []string{"EHLO " + RescueName, "LHLO mx.example"} {
		got := ask(t, addr, hello, "MAIL FROM:<a@b.example> SIZE=9000000")
		if !strings.Contains(got[0], "SIZE") || strings.Contains(got[0], RescueKeyword) || !strings.HasPrefix(got[1], "552") {
			t.Errorf("%s: %q", hello, got)
		}
	}
}

func TestSoft(t *testing.T) {
	for in, want := range map[reply]reply{
		{554, "5.6.0", "no"}: {451, "4.6.0", "no"},
		{500, "", "what"}:    {451, "", "what"},
		{452, "4.5.3", "x"}:  {452, "4.5.3", "x"},
		{250, "2.0.0", "Ok"}: {250, "2.0.0", "Ok"},
	} {
		if got := in.soft(); got != want {
			t.Errorf("%v becomes %v, want %v", in, got, want)
		}
	}
}
