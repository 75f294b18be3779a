package scenario

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
)

// behind starts a Postfix and a Millrace as DOORS.md has them.
func behind(t *testing.T, w Way, o Options) *Scene {
	t.Helper()
	return behindIn(t, t.TempDir(), w, o)
}

func behindIn(t *testing.T, dir string, w Way, o Options) *Scene {
	t.Helper()
	mta.Require(t, mta.PostfixPart)
	s, err := NewBehind(dir, binary, w, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			logs(t, s)
		}
	})
	return s
}

// TestWays: each way of DOORS.md as it stands there, while the daemon is killed: bulk for other hosts goes by Millrace, and by Postfix
// where it is the fallback; all other mail goes by Postfix; each message arrives as it was sent, and who gets one twice is named.
func TestWays(t *testing.T) {
	for _, w := range Ways() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel() // it waits more than it works
			s := behind(t, w, Options{})
			o, err := s.Endure(t.Context(), AllKinds(size(300, 10_000), 50), size(2, 20))
			t.Log(o.String())
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Err(); err != nil {
				t.Error(err)
			}
			if o.Report.Acked() != len(o.Report.Records) || o.Sides.Millrace == 0 {
				t.Errorf("%d of %d acknowledged", o.Report.Acked(), len(o.Report.Records))
			}
		})
	}
}

// waits is a way whose mail waits in Postfix's queue while Millrace cannot take it.
func (w Way) waits() bool { return w.Name == ByLMTP.Name || w.Name == Waiting.Name }

// newsletters are messages of bulk. All of them must be acknowledged.
func newsletters(t *testing.T, s *Scene, prefix string, n int) load.Report {
	t.Helper()
	c := load.Config{Addr: s.Entry(), Prefix: prefix, Messages: n, Conns: 5, MinSize: 1000, Rcpts: 2, Domains: []string{prefix + ".test"}}
	if s.way.Name == Application.Name {
		c.Others = []string{s.Fallback()}
	}
	r, err := load.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Acked() != n {
		t.Fatalf("%s: %d of %d acknowledged; the first: %s", prefix, r.Acked(), n, r.Records[0].Reply)
	}
	return r
}

// by counts the arrivals of a campaign at a listener.
func (s *Scene) by(listener, prefix string) (n int) {
	for d := range s.Sink.All() {
		if d.Listener == listener && strings.HasPrefix(d.ID, prefix) {
			n++
		}
	}
	return n
}

// queued is how many messages wait with Postfix.
func (s *Scene) queued(t *testing.T) int {
	t.Helper()
	q, err := s.Postfix.Queue()
	if err != nil {
		t.Fatal(err)
	}
	return len(q)
}

// TestFailOpen: with the daemon down, hung and full, each way does what DOORS.md says: the mail flows by Postfix, or it waits there.
// Nothing bounces, nothing is refused, nothing is lost, and nothing arrives twice; Postfix suspends nobody.
func TestFailOpen(t *testing.T) {
	const n = 30
	for _, w := range append(Ways(), Waiting) {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel() // it waits more than it works
			s := behind(t, w, Options{Config: "queue.max_messages = 20\ngate.hold = \"0s\"\npool.closed_for = [\"1s\"]\n"})
			all := s.full(t, n)
			all = append(all, s.down(t, n)...)
			if w.Entry == "" { // what a hung daemon does to the client of a proxy, and of the door itself, is for other tests
				all = append(all, s.hung(t, n)...)
			}
			if err := load.Compare(all, s.Sink.All()).Err(); err != nil {
				t.Error(err)
			}
			s.quiet(t)
		})
	}
}

// full is the part with a gate that is shut, because no receiver answers.
func (s *Scene) full(t *testing.T, n int) []load.Record {
	if err := s.Sink.Shut("bulk"); err != nil {
		t.Fatal(err)
	}
	r := newsletters(t, s, "full", n)
	if s.way.waits() {
		eventually(t, "Postfix has the rest", func() bool { return s.deferred(t) > 0 && s.deferred(t) == s.queued(t) })
	} else {
		eventually(t, "the rest goes by Postfix", func() bool { return s.by("remote", "full") > 0 && s.queued(t) == 0 })
	}
	st, err := s.Millrace.Status()
	if err != nil || st.Messages == 0 || st.Messages > 20 {
		t.Errorf("%d messages wait with Millrace, %v", st.Messages, err)
	}
	t.Logf("full: %d of %d messages wait with Millrace, %d with Postfix, %d recipients were served by Postfix", st.Messages, n, s.queued(t), s.by("remote", "full"))
	if err := s.Sink.Reopen("bulk"); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(t.Context(), r); err != nil {
		t.Error(err)
	}
	if s.way.waits() && s.by("remote", "full") > 0 {
		t.Error("some of it went by Postfix")
	}
	return r.Records
}

// deferred is how many messages Postfix has put off.
func (s *Scene) deferred(t *testing.T) (n int) {
	t.Helper()
	q, err := s.Postfix.Queue()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range q {
		if m.Queue == "deferred" {
			n++
		}
	}
	return n
}

// down is the part without a daemon.
func (s *Scene) down(t *testing.T, n int) []load.Record {
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	r := newsletters(t, s, "down", n)
	if s.way.waits() {
		eventually(t, "all of it waits", func() bool { return s.deferred(t) == n })
	} else {
		eventually(t, "all of it goes by Postfix", func() bool { return s.by("remote", "down") == 2*n })
	}
	if err := s.Millrace.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(t.Context(), r); err != nil {
		t.Error(err)
	}
	return r.Records
}

// hung is the part with a daemon that does not answer, and to which the system opens connections all the same.
func (s *Scene) hung(t *testing.T, n int) []load.Record {
	s.Millrace.Signal(syscall.SIGSTOP)
	defer s.Millrace.Signal(syscall.SIGCONT)
	begin := time.Now()
	r := newsletters(t, s, "hung", n)
	if s.way.waits() {
		time.Sleep(2 * time.Second) // Postfix waits for a greeting
		if got := s.queued(t); got != n {
			t.Errorf("hung: %d of %d messages wait", got, n)
		}
	} else {
		eventually(t, "all of it goes by Postfix", func() bool { return s.by("remote", "hung") == 2*n })
		t.Logf("hung: %d messages went by Postfix in %s", n, time.Since(begin).Round(time.Second))
	}
	s.Millrace.Signal(syscall.SIGCONT)
	if err := s.settle(t.Context(), r); err != nil {
		t.Error(err)
	}
	return r.Records
}

// quiet looks for what Postfix must never say.
func (s *Scene) quiet(t *testing.T) {
	log, err := s.Postfix.Log()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log) {
		for _, bad := range []string{"suspended", "status=bounced", "fatal:", "panic:"} {
			if strings.Contains(line, bad) {
				t.Errorf("Postfix: %s", line)
				return
			}
		}
	}
	for _, bad := range s.Millrace.Complaints() {
		t.Error(bad)
	}
}

// TestWaysTakenAway: the commands that take each way away leave Postfix as it was.
func TestWaysTakenAway(t *testing.T) {
	t.Parallel() // it waits for Postfix more than it works
	mta.Require(t, mta.PostfixPart)
	pairs, err := freePorts(append([]string{"10026"}, documented...))
	if err != nil {
		t.Fatal(err)
	}
	s := &Scene{Dir: t.TempDir(), ports: strings.NewReplacer(pairs...), Remote: "127.0.0.1:1"}
	if err := s.layOut(Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	before := s.settings(t)
	for _, w := range []Way{AfterQueue, ChosenSenders, BeforeQueue, Application, Returning} {
		s.way = w
		if err := s.Obey(w.Headings...); err != nil {
			t.Fatal(err)
		}
		during := s.settings(t)
		if during == before {
			t.Errorf("%s: the commands do nothing", w.Name)
		}
		if w.Entry != "" { // the listener at the second address is a copy, with the options that are empty
			for _, option := range []string{"smtpd_milters", "content_filter"} {
				if !strings.Contains(during, s.At(w.second()+"/inet/"+option+" =\n")) {
					t.Errorf("%s: %s of the second listener is not empty", w.Name, option)
				}
			}
		}
		for i := len(w.Headings) - 1; i >= 0; i-- {
			if err := s.Obey(w.Headings[i] + ": take it away"); err != nil {
				t.Fatal(err)
			}
		}
		if after := s.settings(t); after != before {
			t.Errorf("%s: before:\n%s\nafter:\n%s", w.Name, before, after)
		}
	}
}

// settings are all of Postfix's that were given.
func (s *Scene) settings(t *testing.T) (all string) {
	t.Helper()
	for _, what := range []string{"-n", "-M", "-P"} {
		text, err := s.Postfix.Postconf(what)
		if err != nil {
			t.Fatal(err)
		}
		all += text
	}
	return all
}

// TestFlushAsTheService: a user without rights may have Postfix offer a message again, if he is in the group that DOORS.md gives to the
// service. Programs that run as their group, as postqueue does, do not under NoNewPrivileges.
func TestFlushAsTheService(t *testing.T) {
	t.Parallel() // it waits for Postfix more than it works
	need(t, "setpriv")
	s := behind(t, Waiting, Options{})
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	newsletters(t, s, "wait", 1)
	eventually(t, "it waits", func() bool { return s.deferred(t) == 1 })
	queue, err := s.Postfix.Queue()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Millrace.Start(); err != nil {
		t.Fatal(err)
	}
	flush := func(groups string) ([]byte, error) {
		return exec.CommandContext(t.Context(), "setpriv", "--no-new-privs", "--reuid=nobody", "--regid=nogroup", groups,
			"/usr/sbin/postqueue", "-c", s.Postfix.ConfigDir(), "-i", queue[0].ID).CombinedOutput()
	}
	if out, err := flush("--clear-groups"); err == nil {
		t.Errorf("without the group it works too: %s", out)
	}
	if out, err := flush("--groups=postdrop"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	eventually(t, "it comes", func() bool { return s.by("bulk", "wait") == 2 })
}

// TestChosenSendersGoRound: what "content_filter=smtp:" on the way back is for. Without it a message that is not bulk goes round until
// Postfix returns it; with it the message passes Millrace once.
func TestChosenSendersGoRound(t *testing.T) {
	for name, change := range map[string][]string{"as documented": nil, "without": {"content_filter=smtp:\\$relayhost", "content_filter="}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for Postfix more than it works
			w := ChosenSenders
			w.Change = append(append([]string(nil), change...), w.Change...)
			s := behind(t, w, Options{Receivers: sink.Character{Refuse: sink.Matching("bad*")}})
			text := strings.Replace(bulkMessage("letter"), "List-Id: <news.sender.test>\r\nList-Unsubscribe: <https://sender.test/off>\r\nPrecedence: bulk\r\n", "", 1)
			submit(t, s.Entry(), "<news@sender.test>", []string{"<a@far.test>"}, []int{250}, text)
			if change != nil {
				eventually(t, "it goes round", func() bool { return s.passed(t) > 5 })
				return
			}
			expect(t, s, map[string]int{"remote a@far.test": 1})
			if n := s.passed(t); n != 1 {
				t.Errorf("it has passed %d times", n)
			}
			submit(t, s.Entry(), "<news@sender.test>", []string{"<bad@far.test>"}, []int{250}, bulkMessage("bad"))
			expect(t, s, map[string]int{"remote a@far.test": 1, "remote news@sender.test": 1}) // the bounce
		})
	}
}

// passed is how many messages the SMTP door has passed on.
func (s *Scene) passed(t *testing.T) int {
	t.Helper()
	st, err := s.Millrace.Status()
	if err != nil {
		t.Fatal(err)
	}
	return int(st.Doors[1].Seen)
}

// TestHungProxy: with a daemon that hangs the client of a listener with smtpd_proxy_filter is told to try again, after the time that
// DOORS.md names, of which the test makes 10 seconds. The connection goes on, and mail flows when the daemon does.
func TestHungProxy(t *testing.T) {
	t.Parallel() // it waits
	s := behind(t, BeforeQueue, Options{})
	if err := s.Postfix.Shell(s.At("postconf -P 127.0.0.1:2526/inet/smtpd_proxy_timeout=10s; postfix reload")); err != nil {
		t.Fatal(err)
	}
	newsletters(t, s, "before", 5)
	s.Millrace.Signal(syscall.SIGSTOP)
	defer s.Millrace.Signal(syscall.SIGCONT)
	d := dialogueWith(t, s.Entry())
	d.say(2, "", "EHLO app.test")
	for range 2 {
		took := d.say(2, "MAIL FROM:<news@sender.test>") + d.say(4, "RCPT TO:<hung@far.test>") + d.say(2, "RSET")
		t.Logf("the client is put off after %s", took.Round(time.Second))
		if took > 30*time.Second {
			t.Errorf("it waited %s", took)
		}
	}
	s.Millrace.Signal(syscall.SIGCONT)
	d.envelope("late@far.test")
	d.content("late")
	eventually(t, "it is sent", func() bool { return s.by("bulk", "late") == 1 })
}

// TestFullBacklog: while no receiver answers and Millrace is full, Postfix keeps the mail and suspends nobody. When receivers answer,
// all of it comes by itself, within the minute that is promised and not after Postfix's five, each message once and none by Postfix. As a
// milter Millrace has such mail offered to its other door.
func TestFullBacklog(t *testing.T) {
	for _, w := range []Way{Waiting, ByLMTP, Returning} {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel() // it waits more than it works
			dir, n := t.TempDir(), size(60, 2000)
			s := behindIn(t, dir, w, Options{Config: "queue.max_messages = 40\ngate.hold = \"0s\"\npool.closed_for = [\"1s\"]\n" + Flushing(dir)})
			if err := s.Sink.Shut("bulk"); err != nil {
				t.Fatal(err)
			}
			r := newsletters(t, s, "full", n)
			eventually(t, "Postfix has put the rest off", func() bool { return s.deferred(t) > 0 && s.deferred(t) == s.queued(t) })
			put := s.deferred(t)
			time.Sleep(3 * time.Second) // Postfix is asked for nothing while there is no room
			if got := s.deferred(t); got != put {
				t.Errorf("%d messages were put off, then %d", put, got)
			}
			begin := time.Now()
			if err := s.Sink.Reopen("bulk"); err != nil {
				t.Fatal(err)
			}
			for end, want := begin.Add(time.Duration(size(1, 5))*time.Minute), recipientsOf(r); s.missing(want) > 0; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d recipients wait", s.missing(want))
				}
			}
			t.Logf("%d of %d messages were put off by Postfix, and came within %s", put, n, time.Since(begin).Round(time.Second))
			emptied(t, s)
			if err := load.Compare(r.Records, s.Sink.All()).Err(); err != nil || s.by("remote", "full") > 0 {
				t.Error(err, s.by("remote", "full"), "by Postfix")
			}
			s.quiet(t)
		})
	}
}
