package scenario

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
)

// laidOut starts a scene whose Postfix follows contrib/postfix: first README.md, then these headings of FILTERS.md. The port
// of each documented address in places is replaced.
func laidOut(t *testing.T, c mta.PostfixConfig, o Options, places map[string]string, headings ...string) *Scene {
	t.Helper()
	mta.Require(t, mta.PostfixPart)
	o.Keep = true
	s := newScene(t, o)
	dir, err := s.mkdir("postfix")
	if err != nil {
		t.Fatal(err)
	}
	c.Relay, c.Local = s.Remote, map[string]string{LocalDomain: s.Local}
	if s.Postfix, err = mta.StartPostfix(dir, c); err != nil {
		t.Fatal(err)
	}
	s.closers = append(s.closers, s.Postfix.Stop)
	places["unix:millrace/milter.sock"], places["127.0.0.1:10026"] = "inet:"+s.Millrace.Milter, s.Millrace.inject
	var pairs []string
	for old, new := range places {
		pairs = append(pairs, old, new)
	}
	todo := steps(t, "postfix/README.md", "Add it")
	for _, heading := range headings {
		todo = append(todo, steps(t, "postfix/FILTERS.md", heading)...)
	}
	for _, block := range todo {
		if err := s.Postfix.Shell(strings.NewReplacer(pairs...).Replace(block)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// program starts a program of Debian's, which must listen at addr in the end. In CI it must be installed.
func program(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	need(t, name)
	p, err := process.Start(exec.Command(name, args...), filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL, patience) })
	if err := p.Await(patience, func() error {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			err = nc.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// site is a Postfix with a program that decides about the envelope.
type site struct {
	name  string
	setUp func(t *testing.T, c *mta.PostfixConfig)
	port  map[string]int // what arrives of a message to a@far.test that was handed in at port 25
	check func(t *testing.T, s *Scene)
}

// sites lose something if Millrace takes their mail on port 25, and keep it with a listener for bulk.
var sites = []site{
	{"spamass-milter -B", spamassMilter, map[string]int{"remote a@far.test": 1, "remote spam@far.test": 1}, nil},
	{"postsrsd", postsrsd, map[string]int{"remote a@far.test": 1}, func(t *testing.T, s *Scene) {
		for d := range s.Sink.All() {
			if d.Rcpt == "a@far.test" && !strings.HasPrefix(d.From, "SRS0=") {
				t.Errorf("the sender is %s", d.From)
			}
		}
	}},
	{"a policy service that holds", holding, map[string]int{}, func(t *testing.T, s *Scene) {
		if queue, err := s.Postfix.Queue(); err != nil || len(queue) != 1 || queue[0].Queue != "hold" {
			t.Errorf("queue %+v, %v", queue, err)
		}
	}},
}

// TestListenerForBulk: with the listener of FILTERS.md, nothing that these programs decide on port 25 is lost, and Millrace
// takes what comes by its own listener.
func TestListenerForBulk(t *testing.T) {
	for _, site := range sites {
		t.Run(site.name, func(t *testing.T) {
			var c mta.PostfixConfig
			site.setUp(t, &c)
			bulk := freeAddr(t)
			s := laidOut(t, c, Options{}, map[string]string{"127.0.0.1:2525": bulk}, "A listener for bulk")
			submit(t, s.Postfix.Addr, "<news@sender.test>", []string{"<a@far.test>"}, []int{250}, bulkMessage("port"))
			submit(t, bulk, "<news@own.test>", []string{"<b@far.test>"}, []int{250}, bulkMessage("bulk"))
			want := maps.Clone(site.port)
			want["bulk b@far.test"] = 1
			expect(t, s, want)
			if site.check != nil {
				site.check(t, s)
			}
		})
	}
}

// TestSpamassMilterInFront: with bulk.keep_added spamass-milter -B may stand before Millrace, and sender_bcc_maps too.
func TestSpamassMilterInFront(t *testing.T) {
	c := mta.PostfixConfig{Main: map[string]string{"sender_bcc_maps": "inline:{ { news@sender.test = copy@far.test } }"}}
	spamassMilter(t, &c)
	s := laidOut(t, c, Options{Config: "bulk.keep_added = true"}, map[string]string{})
	submit(t, s.Postfix.Addr, "<news@sender.test>", []string{"<a@far.test>"}, []int{250}, bulkMessage("front"))
	expect(t, s, map[string]int{"bulk a@far.test": 1, "remote spam@far.test": 1, "remote copy@far.test": 1})
	nothingBypassed(t, s)
	if err := s.Millrace.Replace("keep_added = true", "keep_added = false"); err != nil {
		t.Fatal(err)
	}
	got := found(findings(t, s, s.Postfix.ConfigDir()))
	for _, code := range []string{"bcc", "front-changes-envelope"} {
		if !slices.Contains(got, code) {
			t.Errorf("without keep_added: found %q, want %s", got, code)
		}
	}
}

// nothingBypassed: the check agrees that the layout is right. The relay host is the scene's own.
func nothingBypassed(t *testing.T, s *Scene) {
	t.Helper()
	if got := found(findings(t, s, s.Postfix.ConfigDir())); !slices.Equal(got, []string{"route-bypassed"}) {
		t.Errorf("found %q", got)
	}
}

// TestProgramsThatCallSendmail: with the commands of APPLICATIONS.md Millrace takes bulk mail of sendmail(1), with its DSN
// parameters, and leaves other mail of sendmail(1).
func TestProgramsThatCallSendmail(t *testing.T) {
	bulk := freeAddr(t)
	places := map[string]string{"127.0.0.1:2525": bulk}
	s := laidOut(t, mta.PostfixConfig{}, Options{}, places, "A listener for bulk")
	pipe := steps(t, "APPLICATIONS.md", "Programs that know only sendmail")[0]
	if err := s.Postfix.Shell(strings.ReplaceAll(pipe, "[127.0.0.1]:2525", daemon.NextHop(bulk))); err != nil {
		t.Fatal(err)
	}
	for rcpt, text := range map[string]string{
		"a@far.test": bulkMessage("sympa"), "b@far.test": "X-Ledger: cron\r\nSubject: cron\r\n\r\nHello.\r\n",
	} {
		cmd := exec.Command("sendmail", "-oi", "-odi", "-oem", "-f", "news@own.test", "-N", "success,delay,failure", "-V", "QQ314159", rcpt)
		cmd.Env = append(os.Environ(), "MAIL_CONFIG="+s.Postfix.ConfigDir())
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, "\r\n", "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	expect(t, s, map[string]int{"bulk a@far.test": 1, "remote b@far.test": 1})
	for d := range s.Sink.All() {
		notify, _ := d.Params.Value("NOTIFY")
		if envid, _ := d.Params.Value("ENVID"); envid != "QQ314159" || !strings.Contains(strings.ToUpper(notify), "SUCCESS") {
			t.Errorf("%s: DSN arguments did not pass: %+v", d.Rcpt, d.Params)
		}
	}
}

// spamassMilter puts spamass-milter in front, with a spamd that calls everything spam.
func spamassMilter(t *testing.T, c *mta.PostfixConfig) {
	spamd, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spamd.Close() })
	go func() { // ends when the listener is closed
		for {
			nc, err := spamd.Accept()
			if err != nil {
				return
			}
			callSpam(nc)
		}
	}()
	host, port, _ := net.SplitHostPort(spamd.Addr().String())
	addr := freeAddr(t)
	_, at, _ := net.SplitHostPort(addr)
	program(t, addr, "spamass-milter", "-p", "inet:"+at+"@127.0.0.1", "-B", "spam@far.test", "--", "-d", host, "-p", port)
	c.Milters = append(c.Milters, "inet:"+addr)
}

// callSpam answers one spamc.
func callSpam(nc net.Conn) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	request, err := io.ReadAll(nc) // spamc closes its side after the message
	_, text, found := bytes.Cut(request, []byte("\r\n\r\n"))
	if err != nil || !found {
		return
	}
	text = append([]byte("X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=20.0 required=5.0\r\n"), text...)
	fmt.Fprintf(nc, "SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: True ; 20.0 / 5.0\r\n\r\n%s", len(text), text)
}

// postsrsd rewrites the senders of domains that are not own.test.
func postsrsd(t *testing.T, c *mta.PostfixConfig) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("not a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	forward, reverse := freeAddr(t), freeAddr(t)
	port := func(addr string) string { _, port, _ := net.SplitHostPort(addr); return port }
	program(t, forward, "postsrsd", "-4", "-s"+secret, "-down.test", "-f"+port(forward), "-r"+port(reverse))
	c.Main = map[string]string{"sender_canonical_maps": "tcp:" + forward, "sender_canonical_classes": "envelope_sender"}
}

// holding is a policy service, as postfwd is one, that answers HOLD to mail of sender.test.
func holding(t *testing.T, c *mta.PostfixConfig) {
	policy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = policy.Close() })
	go func() { // ends when the listener is closed
		for {
			nc, err := policy.Accept()
			if err != nil {
				return
			}
			go hold(nc) // ends when Postfix hangs up
		}
	}()
	c.Main = map[string]string{"smtpd_recipient_restrictions": "check_policy_service inet:" + policy.Addr().String() + ", permit_mynetworks, reject"}
}

func hold(nc net.Conn) {
	defer nc.Close()
	action := "DUNNO"
	for in := bufio.NewScanner(nc); in.Scan(); {
		switch {
		case strings.HasPrefix(in.Text(), "sender=") && strings.HasSuffix(in.Text(), "@sender.test"):
			action = "HOLD"
		case in.Text() == "":
			fmt.Fprintf(nc, "action=%s\n\n", action)
			action = "DUNNO"
		}
	}
}

// TestBehindContentFilter: with the layout of FILTERS.md, all mail passes the content filter, and Millrace takes the bulk
// mail as the filter has made it. The filter is a stand-in for amavis: SMTP in, one more field, SMTP out.
func TestBehindContentFilter(t *testing.T) {
	back := freeAddr(t)
	filter := startContentFilter(t, back)
	s := laidOut(t, mta.PostfixConfig{
		Main: map[string]string{"content_filter": "smtp:[127.0.0.1]:" + strings.TrimPrefix(filter, "127.0.0.1:")},
		Master: []string{back + " inet n - n - - smtpd\n" + `    -o content_filter=
    -o smtpd_delay_reject=no
    -o smtpd_client_restrictions=permit_mynetworks,reject
    -o smtpd_recipient_restrictions=permit_mynetworks,reject
    -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_milters`},
	}, Options{}, map[string]string{"127.0.0.1:10025": back}, "Behind the content filter")
	submit(t, s.Postfix.Addr, "<news@sender.test>", []string{"<a@far.test>", "<b@" + LocalDomain + ">"}, []int{250, 250}, bulkMessage("bulk"))
	submit(t, s.Postfix.Addr, "<ann@sender.test>", []string{"<c@far.test>"}, []int{250}, "X-Ledger: plain\r\nFrom: <ann@sender.test>\r\nSubject: hello\r\n\r\nHello.\r\n")
	expect(t, s, map[string]int{"bulk a@far.test": 1, "local b@" + LocalDomain: 1, "remote c@far.test": 1})
	nothingBypassed(t, s)
	for d := range s.Sink.All() {
		if bytes.Count(d.Raw, []byte("X-Scanned: yes")) != 1 {
			t.Errorf("%s was not scanned once:\n%s", d.Rcpt, d.Raw)
		}
	}
}

// contentFilter is amavis as Postfix sees it.
type contentFilter struct {
	next  string
	from  string
	rcpts []string
}

func startContentFilter(t *testing.T, next string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &contentFilter{next: next}, nil }))
	server.Domain = "amavis.test"
	go func() { _ = server.Serve(ln) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}

func (f *contentFilter) Mail(from string, _ *gosmtp.MailOptions) error { f.from = from; return nil }

func (f *contentFilter) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	f.rcpts = append(f.rcpts, to)
	return nil
}

func (f *contentFilter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return smtp.SendMail(f.next, nil, f.from, f.rcpts, append([]byte("X-Scanned: yes\r\n"), text...))
}

func (f *contentFilter) Reset() { f.from, f.rcpts = "", nil }

func (f *contentFilter) Logout() error { return nil }
