// Package scenario puts real parts together as an administrator would: a private Postfix or Sendmail with the settings
// that contrib adds to it, and Millrace as a process beside it. One sink receives all mail. The tests of this package
// and test/bench use it.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

// Scene is what a scenario works in: an MTA, a Millrace beside it, and a sink that is every receiver. New makes the
// sink and configures Millrace, the Start methods start the parts, and Close ends all of them.
type Scene struct {
	Dir      string
	Sink     *sink.Sink
	Remote   string // host:port that the MTA sends all remote mail to; the sink's listener "remote"
	Bulk     string // host:port that Millrace sends all its mail to; the sink's listener "bulk"
	Local    string // host:port that mail for LocalDomain goes to, by LMTP; the sink's listener "local"
	Millrace *Millrace
	Postfix  *mta.Postfix
	Sendmail *mta.Sendmail
	Opendkim *mta.Opendkim

	way   Way               // of NewBehind
	ports *strings.Replacer // puts this Scene's addresses in place of those documented

	closers []func() error
}

// LocalDomain is the MTA's own domain: mail for it never goes through Millrace.
const LocalDomain = "local.test"

// Options say what a Scene is made of.
type Options struct {
	Keep       bool              // keep every delivered message
	Receivers  sink.Character    // how the listeners "remote" and "bulk" behave
	Sign       string            // canonicalisation of an opendkim that signs before Millrace; "": none
	Config     string            // more lines for millrace.toml
	NoMillrace bool              // the MTA alone
	Main       map[string]string // more settings for main.cf
	Front      []string          // milters before Millrace, as in smtpd_milters
	OneLine    bool              // of contrib/postfix nothing but Millrace in smtpd_milters

	Launch func(*exec.Cmd) error // starts Millrace in place of exec.Cmd.Start; may be nil
}

// ContribDir is the contrib folder, relative to the working directory of a test. A command that works elsewhere sets
// it.
var ContribDir = filepath.Join("..", "..", "contrib")

// New makes the sink and, unless NoMillrace is set, configures a Millrace. Neither it nor an MTA is started yet; but an
// opendkim is, if one is wanted: the MTA must be told its address.
func New(dir, bin string, o Options) (*Scene, error) {
	s := &Scene{Dir: dir}
	var err error
	if s.Sink, err = sink.New(sink.Config{Keep: o.Keep}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.Sink.Close)
	if err := s.listen(o.Receivers); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.Sign != "" {
		if err := s.sign(o.Sign); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if o.NoMillrace {
		return s, nil
	}
	if err := s.configure(bin, o.Config); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Millrace.Launch = o.Launch
	return s, nil
}

func (s *Scene) listen(receivers sink.Character) error {
	for _, l := range []struct {
		addr *string
		is   sink.Character
	}{
		{&s.Remote, named(receivers, "remote")}, {&s.Bulk, named(receivers, "bulk")},
		{&s.Local, sink.Character{Name: "local", LMTP: true}},
	} {
		addr, err := s.Sink.Listen("127.0.0.1:0", l.is)
		if err != nil {
			return err
		}
		*l.addr = addr.String()
	}
	return nil
}

func named(c sink.Character, name string) sink.Character {
	c.Name = name
	return c
}

func (s *Scene) sign(form string) (err error) {
	dir, err := s.mkdir("opendkim")
	if err != nil {
		return err
	}
	if s.Opendkim, err = mta.StartOpendkim(dir, mta.OpendkimConfig{Canonicalization: form}); err == nil {
		s.closers = append(s.closers, s.Opendkim.Stop)
	}
	return err
}

// configure makes the Millrace. All its mail goes to the listener "bulk", unless extra names name servers.
func (s *Scene) configure(bin, extra string) error {
	dir, err := s.mkdir("millrace")
	if err != nil {
		return err
	}
	inject, err := process.FreeAddr()
	if err != nil {
		return err
	}
	if !strings.Contains(extra, "retry") {
		extra += "\nretry.schedule = [\"1s\"]"
	}
	if !strings.Contains(extra, "next_hops") {
		// The MTA sends all its mail to one relay host, so that it reaches the sink; beside such an MTA nothing is taken by default.
		relay := daemon.NextHop(s.Remote)
		host, _, _ := strings.Cut(relay, ":") // Sendmail keeps the port in its mailer
		extra += fmt.Sprintf("\nbulk.next_hops = [%q, %q]", relay, host)
	}
	if !strings.Contains(extra, "dns.servers") {
		extra += fmt.Sprintf("\n[route]\n\"*\" = %q\n", daemon.NextHop(s.Bulk))
	}
	s.Millrace, err = NewMillrace(bin, dir, inject, extra)
	return err
}

func (s *Scene) mkdir(name string) (string, error) {
	dir := filepath.Join(s.Dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// StartMillrace starts Millrace. Close stops it, unless a test has ended it before on purpose.
func (s *Scene) StartMillrace() error {
	if err := s.Millrace.Start(); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error {
		if s.Millrace.Over() {
			return nil
		}
		return s.Millrace.Stop(patience)
	})
	return nil
}

// StartPostfix starts a Postfix with the settings of contrib/postfix, in which only the addresses are replaced: Millrace, which starts
// first, finds no queue directory to put its socket into. TestPostfixUnixSocket does without this.
func (s *Scene) StartPostfix(o Options) error {
	dir, err := s.mkdir("postfix")
	if err != nil {
		return err
	}
	c := mta.PostfixConfig{Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}, Main: o.Main}
	c.Milters = o.Front
	if s.Opendkim != nil {
		c.Milters = append(c.Milters, s.Opendkim.PostfixMilter())
	}
	switch {
	case s.Millrace == nil:
	case o.OneLine:
		c.Milters = append(c.Milters, "inet:"+s.Millrace.Milter)
	default:
		f, err := mta.ReadFragment(filepath.Join(ContribDir, "postfix"))
		if err != nil {
			return err
		}
		c.Fragment = f.Replace("unix:millrace/milter.sock", "inet:"+s.Millrace.Milter).Replace("127.0.0.1:10026", s.Millrace.inject)
	}
	if s.Postfix, err = mta.StartPostfix(dir, c); err == nil {
		s.closers = append(s.closers, s.Postfix.Stop)
	}
	return err
}

// StartSendmail starts a Sendmail with the lines of contrib/sendmail, in which only the address is replaced.
func (s *Scene) StartSendmail() error {
	dir, err := s.mkdir("sendmail")
	if err != nil {
		return err
	}
	c := mta.SendmailConfig{Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}}
	if s.Opendkim != nil {
		c.Milters = append(c.Milters, s.Opendkim.SendmailMilter())
	}
	if s.Millrace != nil {
		if c.Fragment, err = mta.ReadSendmailFragment(filepath.Join(ContribDir, "sendmail"), s.Millrace.MilterSocket(), s.Millrace.inject); err != nil {
			return err
		}
	}
	if s.Sendmail, err = mta.StartSendmail(dir, c); err == nil {
		s.closers = append(s.closers, s.Sendmail.Stop)
	}
	return err
}

// Addr is host:port of the MTA, where clients hand in mail.
func (s *Scene) Addr() string {
	if s.Postfix != nil {
		return s.Postfix.Addr
	}
	return s.Sendmail.Addr
}

// Wait waits until the sink has n deliveries, at most for limit.
func (s *Scene) Wait(ctx context.Context, n int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.Sink.Wait(ctx, n)
}

// Close ends all parts, in the reverse order of their start.
func (s *Scene) Close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

// StartProxied starts a Postfix with a listener at front for bulk mail, which has Millrace's proxy listener before its queue, and with
// the listener behind the proxy at back.
func (s *Scene) StartProxied(front, proxy, back string) error {
	dir, err := s.mkdir("postfix")
	if err != nil {
		return err
	}
	c := mta.PostfixConfig{Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}, Master: []string{
		front + " inet n - n - - smtpd\n -o smtpd_proxy_filter=inet:" + proxy + "\n",
		back + " inet n - n - - smtpd\n -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n -o smtpd_client_restrictions=\n -o smtpd_helo_restrictions=\n" +
			" -o smtpd_sender_restrictions=\n -o smtpd_recipient_restrictions=permit_mynetworks,reject\n -o receive_override_options=no_unknown_recipient_checks,no_milters\n",
	}}
	if s.Postfix, err = mta.StartPostfix(dir, c); err == nil {
		s.closers = append(s.closers, s.Postfix.Stop)
	}
	return err
}
