// Package scenario puts real parts together as an administrator would: a Postfix or Sendmail of its own, Millrace as a
// process beside it with the settings contrib tells to add, and an internet that is a sink. Tests and benchmarks build
// on it.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
)

// Site is a mail site. Its parts are started by the functions below and ended by Close.
type Site struct {
	Dir      string
	Sink     *sink.Sink
	World    string // host:port where all remote mail goes that Postfix sends
	Bulk     string // host:port where all remote mail goes that Millrace sends
	Local    string // host:port where mail for LocalDomain goes, by LMTP
	Millrace *Daemon
	Postfix  *mta.Postfix
	Sendmail *mta.Sendmail
	Opendkim *mta.Opendkim

	closers []func() error
}

// LocalDomain is the site's own.
const LocalDomain = "local.test"

// Options say what a site is made of.
type Options struct {
	Keep       bool              // keep every delivered message
	World      sink.Character    // of the receivers, on either way
	Sign       string            // canonicalisation of an opendkim before us; "" for none
	Config     string            // more lines for millrace.toml
	NoMillrace bool              // the MTA alone
	Main       map[string]string // more settings for main.cf
	Stock      bool              // leave out what contrib tells to add but for the milter itself
}

// ContribDir is the contrib folder, seen from a test's or a command's working directory.
var ContribDir = filepath.Join("..", "..", "contrib")

// New makes the internet and, unless it is not wanted, a Millrace that is not started yet.
func New(dir, bin string, o Options) (*Site, error) {
	s := &Site{Dir: dir}
	var err error
	if s.Sink, err = sink.New(sink.Config{Keep: o.Keep}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.Sink.Close)
	if err := s.listen(o.World); err != nil {
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
	inject, err := freeAddr()
	if err == nil {
		s.Millrace, err = s.newDaemon(bin, inject, o.Config)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Site) listen(world sink.Character) error {
	for _, l := range []struct {
		addr *string
		is   sink.Character
	}{
		{&s.World, named(world, "world")}, {&s.Bulk, named(world, "bulk")},
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

func (s *Site) sign(form string) (err error) {
	dir, err := s.mkdir("opendkim")
	if err != nil {
		return err
	}
	if s.Opendkim, err = mta.StartOpendkim(dir, mta.OpendkimConfig{Canonicalization: form}); err == nil {
		s.closers = append(s.closers, s.Opendkim.Stop)
	}
	return err
}

func (s *Site) newDaemon(bin, inject, extra string) (*Daemon, error) {
	dir, err := s.mkdir("millrace")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(extra, "retry") {
		extra += "\nretry.schedule = [\"1s\"]"
	}
	d, err := NewDaemon(bin, dir, inject, fmt.Sprintf("%s\n[route]\n\"*\" = %q\n", extra, NextHop(s.Bulk)))
	if err != nil {
		return nil, err
	}
	d.inject = inject
	return d, nil
}

func (s *Site) mkdir(name string) (string, error) {
	dir := filepath.Join(s.Dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// StartMillrace starts it; Close stops it if it still runs then.
func (s *Site) StartMillrace() error {
	if err := s.Millrace.Start(); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error {
		select {
		case err := <-s.Millrace.ended:
			s.Millrace.ended <- err
			return nil // a test ended it on purpose and has looked at how
		default:
			return s.Millrace.Stop(patience)
		}
	})
	return nil
}

// StartPostfix starts a Postfix with what contrib/postfix tells to add, addresses apart.
func (s *Site) StartPostfix(o Options) error {
	dir, err := s.mkdir("postfix")
	if err != nil {
		return err
	}
	c := mta.PostfixConfig{Relay: s.World, Local: map[string]string{LocalDomain: s.Local}, Main: o.Main}
	if s.Opendkim != nil {
		c.Milters = append(c.Milters, s.Opendkim.PostfixMilter())
	}
	if s.Millrace != nil {
		f, err := mta.ReadFragment(filepath.Join(ContribDir, "postfix"))
		if err != nil {
			return err
		}
		c.Fragment = f.Replace("127.0.0.1:8895", s.Millrace.Milter).Replace("127.0.0.1:10026", s.Millrace.inject)
		if o.Stock {
			c.Fragment.Master = c.Fragment.Master[1:] // without in_flow_delay
		}
	}
	if s.Postfix, err = mta.StartPostfix(dir, c); err == nil {
		s.closers = append(s.closers, s.Postfix.Stop)
	}
	return err
}

// StartSendmail starts a Sendmail with what contrib/sendmail tells to add, addresses apart.
func (s *Site) StartSendmail() error {
	dir, err := s.mkdir("sendmail")
	if err != nil {
		return err
	}
	c := mta.SendmailConfig{Relay: s.World, Local: map[string]string{LocalDomain: s.Local}}
	if s.Opendkim != nil {
		c.Milters = append(c.Milters, s.Opendkim.SendmailMilter())
	}
	if s.Millrace != nil {
		if c.Fragment, err = s.sendmailFragment(); err != nil {
			return err
		}
	}
	if s.Sendmail, err = mta.StartSendmail(dir, c); err == nil {
		s.closers = append(s.closers, s.Sendmail.Stop)
	}
	return err
}

// Addr is where clients hand mail in.
func (s *Site) Addr() string {
	if s.Postfix != nil {
		return s.Postfix.Addr
	}
	return s.Sendmail.Addr
}

// Wait waits until n recipients have got something, at most for limit.
func (s *Site) Wait(ctx context.Context, n int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.Sink.Wait(ctx, n)
}

// Close ends all parts, the last one first.
func (s *Site) Close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

// sendmailFragment reads contrib's lines, with the address that is free here.
func (s *Site) sendmailFragment() (string, error) {
	text, err := os.ReadFile(filepath.Join(ContribDir, "sendmail", "millrace.mc"))
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(s.Millrace.Milter)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(string(text), "inet:8895@127.0.0.1", "inet:"+port+"@"+host), nil
}
