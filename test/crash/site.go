package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/snapshot"
	"github.com/millrace/millrace/test/sink"
)

// commitInterval is the daemon's.
const commitInterval = 20 * time.Millisecond

// site is a daemon between an MTA and an internet that both belong to the harness, and survive it.
type site struct {
	dir     string
	sink    *sink.Sink // the receivers
	mta     *sink.Sink // where the MTA takes notifications from the daemon
	ledger  *ledger
	daemon  *daemon
	crashes []*crash
	events  []event
	told    []named // in place of a mail log, for tests without a daemon
	result  Result
}

// event is something done to the daemon that excuses nothing, but may explain much.
type event struct {
	what         string
	begin, until time.Time
}

// options of a site.
type options struct {
	bin    string
	dir    string   // of its own
	state  string   // state directory; "": below dir
	env    []string // of the daemon
	config string   // more lines
	tap    *tap
	shut   bool // the receivers cannot be reached: nothing is delivered
}

func newSite(o options) (*site, error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	if o.state == "" {
		o.state = filepath.Join(o.dir, "state")
	}
	s := &site{dir: o.dir}
	s.daemon = &daemon{bin: o.bin, dir: o.dir, state: o.state, env: o.env, tap: o.tap}
	if o.tap != nil {
		o.tap.state = o.state
	}
	var err error
	if s.ledger, err = newLedger(filepath.Join(o.dir, "ledger")); err != nil {
		return nil, err
	}
	if s.sink, err = sink.New(sink.Config{}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.mta, err = sink.New(sink.Config{Keep: true}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.configure(o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// configure opens the receivers and writes the daemon's configuration.
func (s *site) configure(o options) error {
	routes := ""
	for domain, is := range map[string]sink.Character{
		domains[0]: {}, domains[1]: {Delay: time.Millisecond}, domains[2]: {Greylist: 150 * time.Millisecond},
	} {
		is.Name, is.Refuse = listenerName, isRefused
		hop, err := listen(s.sink, is)
		if err != nil {
			return err
		}
		if o.shut {
			hop = "[127.0.0.1]:1"
		}
		routes += fmt.Sprintf("%q = %q\n", domain, hop)
	}
	inject, err := listen(s.mta, sink.Character{Name: listenerName})
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`hostname = "millrace.test"
state_dir = %q
mode = "deliver"
milter.listen = [%q]
bounce.inject = %q
bounce.delay = "100ms"
control.socket = %q
log.mail = %q
retry.schedule = ["200ms"]
pool.tls = "none"
pool.closed_for = ["200ms"]
ack = "journal"
journal.commit_interval = %q
journal.segment_bytes = 262144
snapshot.interval = "1s"
%s
[route]
%s`, s.daemon.state, "unix:"+s.daemon.door(), inject, s.daemon.socket(), s.daemon.mailLog(), commitInterval, o.config, routes)
	return os.WriteFile(s.daemon.config(), []byte(text), 0o600)
}

const listenerName = "receiver.test"

// listen returns the address as a next hop that is not looked up.
func listen(s *sink.Sink, is sink.Character) (string, error) {
	addr, err := s.Listen("127.0.0.1:0", is)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(addr.String())
	return "[" + host + "]:" + port, err
}

// arrived is how many recipients got a message, or were reported to its sender.
func (s *site) arrived() int { return s.sink.Count() + s.mta.Count() }

// quiet waits until the receivers have read what a dead daemon had sent.
func (s *site) quiet() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.sink.Counts(listenerName).Open+s.mta.Counts(listenerName).Open == 0 {
			return nil
		}
	}
	return errors.New("connections of a dead daemon stay open")
}

// end kills the daemon, if there is one.
func (s *site) end() error {
	if s.daemon.cmd == nil || s.daemon.over() {
		return nil
	}
	return s.daemon.kill()
}

// close ends everything.
func (s *site) close() error {
	err := s.end()
	if s.sink != nil {
		err = errors.Join(err, s.sink.Close())
	}
	if s.mta != nil {
		err = errors.Join(err, s.mta.Close())
	}
	return errors.Join(err, s.ledger.close())
}

// recover starts the daemon and checks that neither it nor the verifier says something is damaged: a crash damages nothing.
func (s *site) recover() error {
	s.verify()
	if err := s.daemon.start(); err != nil {
		return err
	}
	journal, err := s.daemon.ready()
	if err != nil {
		return err
	}
	if r := journal.Recovery; !r.Healthy() {
		s.result.violate("after crash %d the daemon says its journal is damaged, or mail is missing: %s; %v %v %v", len(s.crashes), r.String(), r.Damaged, r.Lost, r.Missing)
	}
	return nil
}

// verify reads the state directory as it was left.
func (s *site) verify() {
	if _, err := os.Stat(filepath.Join(s.daemon.state, "journal")); err != nil {
		return // nothing was ever taken
	}
	if err := snapshot.Verify(s.daemon.state); err != nil {
		s.result.violate("after crash %d the state directory does not verify: %v", len(s.crashes), err)
	}
}

// drain waits until nothing waits any more.
func (s *site) drain() error {
	last, since := int64(-1), time.Now()
	for {
		st, _, err := s.daemon.status()
		if err != nil {
			return errors.Join(s.alive(), fmt.Errorf("drain: %w", err))
		}
		if st.Messages == 0 {
			return nil
		}
		if n := st.Sent + st.Bounced + st.Deferrals; n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("%d messages wait and nothing has moved for %s", st.Messages, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// finish drains, stops, and looks whether a start after that finds anything left to do.
func (s *site) finish() error {
	if err := s.drain(); err != nil {
		waiting, lerr := s.daemon.waiting()
		if lerr != nil {
			return errors.Join(err, lerr)
		}
		s.result.violate("%v", err)
		s.balance(waiting)
		return nil
	}
	if err := s.daemon.stop(patience); err != nil {
		s.result.violate("stop: %v", err)
	}
	if err := s.recover(); err != nil {
		return err
	}
	if _, journal, err := s.daemon.status(); err != nil || journal.Recovery.Messages != 0 || !journal.Recovery.Clean {
		s.result.violate("a start after a clean stop with nothing left found %+v, %v", journal.Recovery, err)
	}
	if err := s.daemon.stop(patience); err != nil {
		s.result.violate("stop: %v", err)
	}
	s.balance(nil)
	return nil
}

// copyConfig gives d the site's configuration, with sockets of its own.
func (s *site) copyConfig(d *daemon) error {
	text, err := os.ReadFile(s.daemon.config())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	moved := strings.NewReplacer(s.daemon.door(), d.door(), s.daemon.socket(), d.socket()).Replace(string(text))
	return os.WriteFile(d.config(), []byte(moved), 0o600)
}
